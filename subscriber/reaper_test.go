package subscriber_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

// kill ends a process without cleanup, so its queue and subscription remain.
func kill(a *account, s *service) {
	fail(a, errors.New("killed"), "Unsubscribe", "DeleteQueue")
	require.Error(a.t, s.end())
	a.intercept(nil)
}

func reaper(a *account) *subscriber.Reaper {
	return &subscriber.Reaper{SQS: a.SQS, SNS: a.SNS, TopicARN: topic}
}

func reap(t *testing.T, r *subscriber.Reaper) []subscriber.Orphan {
	orphans, err := r.Reap(t.Context())
	require.NoError(t, err)
	return orphans
}

func TestReaperRemovesOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		lives := start(a, subscriber.Owner("lives"))
		dies := start(a, subscriber.Owner("dies"))
		pass(90 * time.Minute)
		beat := time.Now().UTC().Truncate(time.Hour) // both started at a full hour
		kill(a, dies)
		require.Equal(t, [2]int{2, 2}, a.left())
		// Another topic's queue, a queue without tags, and a queue of another program.
		other := map[string]string{subscriber.TagTopic: topic + "-2", subscriber.TagHeartbeat: "2000-01-01T00:00:00Z"}
		for name, tags := range map[string]map[string]string{
			"warmflags_flags_a": other, "warmflags_flags_b": nil, "orders": nil,
		} {
			_, err := a.SQS.CreateQueue(a.own, &sqs.CreateQueueInput{QueueName: &name, Tags: tags})
			require.NoError(t, err)
		}
		assert.Empty(t, reap(t, reaper(a)), "its process may still be running")
		pass(22*time.Hour + 30*time.Minute)
		assert.Empty(t, reap(t, reaper(a)))
		pass(time.Hour)

		r := reaper(a)
		r.DryRun = true
		would := reap(t, r)
		require.Len(t, would, 1)
		assert.Equal(t, "dies", would[0].Owner)
		assert.NotEmpty(t, would[0].Subscription)
		assert.WithinDuration(t, beat, would[0].Heartbeat, 30*time.Second)
		assert.Equal(t, [2]int{5, 2}, a.left())
		assert.Equal(t, would, reap(t, reaper(a)))
		assert.Equal(t, [2]int{4, 1}, a.left())
		assert.Empty(t, reap(t, reaper(a)))

		lives.take()
		a.publish(message("", "a"))
		pass(time.Second)
		assert.Equal(t, []string{"a"}, lives.take())
		require.NoError(t, lives.end())
	})
}

// A subscription without a queue fails at each publish until it is removed.
func TestReaperRemovesSubscriptionsWithoutAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		kill(a, start(a))
		a.lose(true, false)
		theirs := "arn:aws:sqs:us-east-1:999999999999:warmflags_flags_x" // in another account, which cannot be read
		_, err := a.SNS.Subscribe(a.own, &sns.SubscribeInput{
			TopicArn: aws.String(topic), Protocol: aws.String("sqs"), Endpoint: &theirs,
			Attributes: map[string]string{"RawMessageDelivery": "true"},
		})
		require.NoError(t, err)
		dead := reap(t, reaper(a))
		require.Len(t, dead, 1)
		assert.Equal(t, subscriber.Orphan{Subscription: dead[0].Subscription}, dead[0])
		assert.Equal(t, [2]int{0, 1}, a.left())
	})
}

func TestReaperKeepsWhatItCannotRemove(t *testing.T) {
	for _, operation := range []string{
		"ListSubscriptionsByTopic", "ListQueues", "ListQueueTags", "Unsubscribe", "DeleteQueue",
	} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				kill(a, start(a))
				pass(25 * time.Hour)
				fail(a, errors.New("access denied"), operation)
				dead, err := reaper(a).Reap(context.Background())
				require.ErrorContains(t, err, "access denied")
				assert.Empty(t, dead)
				assert.Len(t, a.queues(), 1)
				a.intercept(nil)
				assert.Len(t, reap(t, reaper(a)), 1)
			})
		})
	}
	r := subscriber.Reaper{TopicARN: "flags", OrphanAfter: time.Hour}
	_, err := r.Reap(t.Context())
	for _, want := range []string{`topic "flags"`, "the SQS or the SNS client is nil", "OrphanAfter is 1h0m0s"} {
		require.ErrorContains(t, err, want)
	}
}

// oddARNs adds subscriptions to the list as SNS lists removed and unconfirmed ones.
type oddARNs struct {
	subscriber.ReaperSNS
	arns map[string]string // by the end of the queue's ARN
}

func (s oddARNs) ListSubscriptionsByTopic(
	ctx context.Context, in *sns.ListSubscriptionsByTopicInput, o ...func(*sns.Options),
) (*sns.ListSubscriptionsByTopicOutput, error) {
	out, err := s.ReaperSNS.ListSubscriptionsByTopic(ctx, in, o...)
	for queue, arn := range s.arns {
		out.Subscriptions = append([]snstypes.Subscription{{
			SubscriptionArn: &arn, Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:" + queue),
			Protocol: aws.String("sqs"),
		}}, out.Subscriptions...)
	}
	return out, err
}

// SNS lists "Deleted" and "PendingConfirmation" in place of an ARN. Such subscriptions cannot be removed. They do not
// prevent that others are removed.
func TestReaperSkipsSubscriptionsWithoutAnARN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		kill(a, start(a))
		gone := start(a)
		kill(a, gone)
		url := a.queues()[0]
		_, err := a.SQS.DeleteQueue(a.own, &sqs.DeleteQueueInput{QueueUrl: &url}) // its subscription remains
		require.NoError(t, err)
		r := reaper(a)
		r.SNS = oddARNs{a.SNS, map[string]string{
			"warmflags_flags_1": "Deleted", "warmflags_flags_2": "PendingConfirmation",
		}}
		pass(25 * time.Hour)
		assert.Len(t, reap(t, r), 2, "the queue with its subscription, and the subscription alone")
		assert.Equal(t, [2]int{0, 0}, a.left())
	})
	t.Run("of an orphaned queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			kill(a, start(a))
			queue := a.queues()[0]
			name := queue[strings.LastIndexByte(queue, '/')+1:]
			a.lose(false, true)
			r := reaper(a)
			r.SNS = oddARNs{a.SNS, map[string]string{name: "PendingConfirmation"}}
			pass(25 * time.Hour)
			orphans := reap(t, r)
			require.Len(t, orphans, 1)
			assert.Empty(t, orphans[0].Subscription)
			assert.Equal(t, [2]int{0, 0}, a.left())
		})
	})
}
