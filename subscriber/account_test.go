package subscriber_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/subscriber"
)

// visibility is SQS's default: how long a message that was received and not deleted is hidden.
const visibility = 30 * time.Second

// account is an in-memory AWS account with the topic. It records the calls of the code under test. Calls that the test
// makes with own are not recorded and never fail.
type account struct {
	*localaws.Cloud
	t      *testing.T
	own    context.Context
	mu     sync.Mutex // guards the fields below
	calls  []string   // operations, in order
	inputs map[string]any
	before func(ctx context.Context, operation string) error
}

type ownKey struct{}

func newAccount(t *testing.T) *account {
	a := &account{Cloud: localaws.New(), t: t, own: context.WithValue(context.Background(), ownKey{}, true),
		inputs: map[string]any{}}
	t.Cleanup(a.Close)
	a.Logger = slog.New(slog.DiscardHandler)
	a.Intercept(func(ctx context.Context, operation string, input any) error {
		if d, ok := input.(*localaws.Delivery); ok {
			return a.deliver(d)
		}
		if ctx.Value(ownKey{}) != nil {
			return nil
		}
		a.mu.Lock()
		a.calls, a.inputs[operation] = append(a.calls, operation), input
		before := a.before
		a.mu.Unlock()
		if before != nil {
			return before(ctx, operation)
		}
		return nil
	})
	out, err := a.SNS.CreateTopic(a.own, &sns.CreateTopicInput{Name: aws.String("flags")})
	require.NoError(t, err)
	require.Equal(t, topic, *out.TopicArn)
	return a
}

// deliver loses a message that the queue's policy refuses. SNS does so too: it does not retry a refused message.
func (a *account) deliver(d *localaws.Delivery) error {
	url, err := a.SQS.GetQueueUrl(a.own,
		&sqs.GetQueueUrlInput{QueueName: aws.String(d.Endpoint[strings.LastIndexByte(d.Endpoint, ':')+1:])})
	if err != nil {
		return localaws.ErrLost // there is no such queue
	}
	out, err := a.SQS.GetQueueAttributes(a.own, &sqs.GetQueueAttributesInput{
		QueueUrl: url.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNamePolicy},
	})
	require.NoError(a.t, err)
	source := d.SubscriptionARN[:strings.LastIndexByte(d.SubscriptionARN, ':')]
	allowed, err := allows(out.Attributes["Policy"], d.Endpoint, send{"sns.amazonaws.com", source, true})
	require.NoError(a.t, err)
	if !allowed {
		return localaws.ErrLost
	}
	return nil
}

// options makes a subscriber use the account.
func (a *account) options() []subscriber.Option {
	return []subscriber.Option{subscriber.SNSClient(a.SNS), subscriber.SQSClient(a.SQS)}
}

// intercept calls f before each call. If f returns an error, the call returns that error and is not made.
func (a *account) intercept(f func(ctx context.Context, operation string) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before = f
}

func (a *account) count(operation string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, c := range a.calls {
		if c == operation {
			n++
		}
	}
	return n
}

// publish publishes to the topic.
func (a *account) publish(body string) {
	_, err := a.SNS.Publish(a.own, &sns.PublishInput{TopicArn: aws.String(topic), Message: &body})
	require.NoError(a.t, err)
}

func (a *account) queues() []string {
	out, err := a.SQS.ListQueues(a.own, &sqs.ListQueuesInput{})
	require.NoError(a.t, err)
	return out.QueueUrls
}

func (a *account) subscriptions() (arns []string) {
	out, err := a.SNS.ListSubscriptionsByTopic(a.own, &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(topic)})
	require.NoError(a.t, err)
	for _, s := range out.Subscriptions {
		arns = append(arns, *s.SubscriptionArn)
	}
	return arns
}

// left returns the numbers of queues and subscriptions.
func (a *account) left() [2]int { return [2]int{len(a.queues()), len(a.subscriptions())} }

// requireNoMessages requires that all queues are empty, so that every message was acknowledged.
func (a *account) requireNoMessages() {
	for _, url := range a.queues() {
		out, err := a.SQS.GetQueueAttributes(a.own, &sqs.GetQueueAttributesInput{
			QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
		})
		require.NoError(a.t, err)
		require.Equal(a.t, "0", out.Attributes["ApproximateNumberOfMessages"])
		require.Equal(a.t, "0", out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	}
}

// lose removes queues or subscriptions, as another program could.
func (a *account) lose(queues, subscriptions bool) {
	if subscriptions {
		for _, arn := range a.subscriptions() {
			_, err := a.SNS.Unsubscribe(a.own, &sns.UnsubscribeInput{SubscriptionArn: &arn})
			require.NoError(a.t, err)
		}
	}
	if queues { // last, because this wakes the subscriber, which makes a new queue and a new subscription
		for _, url := range a.queues() {
			_, err := a.SQS.DeleteQueue(a.own, &sqs.DeleteQueueInput{QueueUrl: &url})
			require.NoError(a.t, err)
		}
	}
}

// tag returns the value of a tag of the only queue.
func (a *account) tag(name string) string {
	out, err := a.SQS.ListQueueTags(a.own, &sqs.ListQueueTagsInput{QueueUrl: &a.queues()[0]})
	require.NoError(a.t, err)
	return out.Tags[name]
}
