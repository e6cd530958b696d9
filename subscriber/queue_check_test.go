package subscriber_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/subscriber"
)

// altered is an SNS that returns other attributes for one subscription.
type altered struct {
	*localaws.SNS
	attributes map[string]string // returned for the subscription; nil: its own attributes are returned
	of         string            // the subscription's ARN
}

func (s *altered) GetSubscriptionAttributes(
	ctx context.Context, in *sns.GetSubscriptionAttributesInput, o ...func(*sns.Options),
) (*sns.GetSubscriptionAttributesOutput, error) {
	if s.attributes != nil && *in.SubscriptionArn == s.of {
		return &sns.GetSubscriptionAttributesOutput{Attributes: s.attributes}, nil
	}
	return s.SNS.GetSubscriptionAttributes(ctx, in, o...)
}

// alter replaces attributes of the only subscription.
func (s *altered) alter(a *account, changes map[string]string) {
	s.of = a.subscriptions()[0]
	out, err := a.SNS.GetSubscriptionAttributes(a.own, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &s.of})
	require.NoError(a.t, err)
	s.attributes = out.Attributes
	maps.Copy(s.attributes, changes)
}

func (a *account) recreateTopic() {
	_, err := a.SNS.DeleteTopic(a.own, &sns.DeleteTopicInput{TopicArn: aws.String(topic)})
	require.NoError(a.t, err)
	_, err = a.SNS.CreateTopic(a.own, &sns.CreateTopicInput{Name: aws.String("flags")})
	require.NoError(a.t, err)
}

func (a *account) setPolicy(policy string) {
	_, err := a.SQS.SetQueueAttributes(a.own, &sqs.SetQueueAttributesInput{
		QueueUrl: &a.queues()[0], Attributes: map[string]string{"Policy": policy},
	})
	require.NoError(a.t, err)
}

// losses are changes after which messages are no longer delivered, and the cause that is logged.
var losses = map[string]struct {
	change func(a *account, s *altered)
	cause  string
}{
	"the queue was deleted": {func(a *account, _ *altered) { a.lose(true, false) },
		"the queue does not exist"},
	"the subscription was deleted": {func(a *account, _ *altered) { a.lose(false, true) },
		"the subscription does not exist"},
	"both were deleted": {func(a *account, _ *altered) { a.lose(true, true) },
		"the queue does not exist"},
	"the topic was deleted and created again": {func(a *account, _ *altered) { a.recreateTopic() },
		"the subscription does not exist"},
	"the topic was re-created, and SNS still returns the old subscription": {func(a *account, s *altered) {
		s.alter(a, nil)
		a.recreateTopic()
	}, "the topic was deleted and created again"},
	"raw delivery was turned off": {func(a *account, s *altered) {
		s.alter(a, map[string]string{"RawMessageDelivery": "false"})
	}, `RawMessageDelivery is \"false\" instead of \"true\"`},
	"a filter policy was set": {func(a *account, s *altered) {
		s.alter(a, map[string]string{"FilterPolicy": `{"kind":["x"]}`})
	}, "FilterPolicy is"},
	"the subscription is not confirmed": {func(a *account, s *altered) {
		s.alter(a, map[string]string{"PendingConfirmation": "true"})
	}, "PendingConfirmation is"},
	"the subscription has another endpoint": {func(a *account, s *altered) {
		s.alter(a, map[string]string{"Endpoint": "arn:aws:sqs:us-east-1:000000000000:other"})
	}, "Endpoint is"},
	"the subscription is to another topic": {func(a *account, s *altered) {
		s.alter(a, map[string]string{"TopicArn": topic + "2"})
	}, "TopicArn is"},
	"the queue's policy was removed": {func(a *account, _ *altered) { a.setPolicy("") },
		"the queue's policy was changed"},
	"the queue's policy lets another topic send": {func(a *account, _ *altered) {
		a.setPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}`)
	}, "the queue's policy was changed"},
}

// If anything that delivery depends on differs from what Run created, a new queue replaces the old one within minutes,
// and everything is invalidated.
func TestQueueIsReplacedWhenDeliveryChanged(t *testing.T) {
	for name, c := range losses {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				changed := &altered{SNS: a.SNS}
				s := start(a, subscriber.SNSClient(changed))
				pass(2 * time.Minute)
				s.take()
				c.change(a, changed)
				a.publish(message("", "lost"))
				pass(6 * time.Minute)
				assert.Contains(t, s.take(), "*")
				assert.Equal(t, [2]int{1, 1}, a.left(), "the old queue and subscription are removed")
				assert.Equal(t, 2, a.count("CreateQueue"))
				assert.EqualValues(t, 1, s.Stats().Lost)
				assert.EqualValues(t, 2, s.Stats().Subscribed)
				assert.Contains(t, s.log.String(), c.cause)
				pass(2 * time.Minute)
				s.take()
				a.publish(message("", "a"))
				pass(time.Second)
				assert.Equal(t, []string{"a"}, s.take())
				pass(time.Hour)
				assert.Equal(t, 2, a.count("CreateQueue"), "replaced only once")
				require.NoError(t, s.end())
				assert.Equal(t, [2]int{0, 0}, a.left())
			})
		})
	}
}

// In a day without a change nothing is created, and each check makes three calls.
func TestQueueChecksCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		pass(24 * time.Hour)
		assert.Empty(t, s.take())
		assert.Equal(t, 1, a.count("CreateQueue"))
		for _, operation := range []string{"GetSubscriptionAttributes", "GetQueueAttributes", "Subscribe"} {
			assert.LessOrEqual(t, a.count(operation), 24*12+2, operation)
			assert.Greater(t, a.count(operation), 24*11, operation)
		}
		assert.EqualValues(t, 1, s.Stats().Subscribed)
		require.NoError(t, s.end())
	})
}

// A failed check, for example because of a missing permission, does not replace the queue.
func TestQueueChecksThatFailChangeNothing(t *testing.T) {
	for _, operation := range []string{"GetSubscriptionAttributes", "GetQueueAttributes", "Subscribe"} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				s := settled(a)
				fail(a, errors.New("access denied"), operation)
				pass(time.Hour)
				assert.Empty(t, s.take())
				assert.Equal(t, 1, a.count("CreateQueue"))
				assert.Zero(t, s.Stats().Lost)
				assert.Greater(t, s.Stats().Errors, int64(10))
				require.NoError(t, s.end())
			})
		})
	}
}

// AWS may return an equivalent policy that is written differently.
func TestQueueAcceptsAnEquivalentPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		policy := a.inputs["SetQueueAttributes"].(*sqs.SetQueueAttributesInput).Attributes["Policy"]
		other := strings.NewReplacer(`["sns.amazonaws.com"]`, `"sns.amazonaws.com"`,
			`"Principal":"*"`, `"Principal":{"AWS":"*"}`,
			`"Action":"sqs:SendMessage"`, `"Action":["sqs:SendMessage"]`).Replace(policy)
		require.NotEqual(t, policy, other)
		a.setPolicy(other)
		pass(time.Hour)
		assert.Empty(t, s.take())
		assert.Zero(t, s.Stats().Lost)
		require.NoError(t, s.end())
	})
}

// A queue that is deleted during an outage of SQS or SNS is replaced when the outage ends.
func TestQueueIsReplacedAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		fail(a, errors.New("throttled"), "Subscribe")
		a.lose(true, true)
		pass(10 * time.Minute)
		assert.Empty(t, s.take(), "nothing is invalidated before there is a subscription")
		assert.LessOrEqual(t, a.count("CreateQueue"), 30, "the intervals grow")
		assert.Empty(t, a.queues(), "each partly created queue was removed")
		a.intercept(nil)
		pass(time.Minute)
		assert.Equal(t, []string{"*"}, s.take())
		require.NoError(t, s.end())
	})
}
