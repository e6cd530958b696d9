package subscriber_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const visibility = 30 * time.Second

// account is a topic with its subscriptions and queues, in virtual time. Its methods are those of both clients.
type account struct {
	fakeSNS
	mu     sync.Mutex // guards all below
	queues map[string]*fakeQueue
	subs   map[string]string // subscription's ARN -> queue's URL
	calls  []string          // operations, in order
	before func(ctx context.Context, operation string) error
	last   struct {
		create    *sqs.CreateQueueInput
		set       *sqs.SetQueueAttributesInput
		subscribe *sns.SubscribeInput
	}
}

type fakeQueue struct {
	retention time.Duration
	messages  []*fakeMessage
	tags      map[string]string
}

type fakeMessage struct {
	body         string
	sent, hidden time.Time // hidden: until when
	receipt      string
}

func newAccount() *account {
	return &account{queues: map[string]*fakeQueue{}, subs: map[string]string{}}
}

// intercept has f called before each call; an error is returned instead of making the call.
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

// begin is the start of every call. The caller holds the lock when it returns nil.
func (a *account) begin(ctx context.Context, operation string) error {
	a.mu.Lock()
	a.calls = append(a.calls, operation)
	before := a.before
	a.mu.Unlock()
	if before != nil {
		if err := before(ctx, operation); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.mu.Lock()
	return nil
}

// publish sends to all queues that are subscribed.
func (a *account) publish(body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, url := range a.subs {
		if q := a.queues[url]; q != nil {
			q.messages = append(q.messages, &fakeMessage{body: body, sent: time.Now()})
		}
	}
}

// left are the queues, subscriptions and messages that there are.
func (a *account) left() (queues, subscriptions, messages int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.queues {
		messages += len(q.messages)
	}
	return len(a.queues), len(a.subs), messages
}

// lose removes queues or subscriptions as somebody else might.
func (a *account) lose(queues, subscriptions bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if queues {
		clear(a.queues)
	}
	if subscriptions {
		clear(a.subs)
	}
}

func (a *account) tag(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.queues {
		return q.tags[name]
	}
	return ""
}

func noQueue() error { return fmt.Errorf("operation error: %w", &sqstypes.QueueDoesNotExist{}) }

func (a *account) CreateQueue(ctx context.Context, in *sqs.CreateQueueInput, _ ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error) {
	if err := a.begin(ctx, "CreateQueue"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	a.last.create = in
	retention := must(time.ParseDuration(in.Attributes["MessageRetentionPeriod"] + "s"))
	a.queues[*in.QueueName] = &fakeQueue{retention: retention, tags: in.Tags}
	return &sqs.CreateQueueOutput{QueueUrl: in.QueueName}, nil
}

func (a *account) DeleteQueue(ctx context.Context, in *sqs.DeleteQueueInput, _ ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error) {
	if err := a.begin(ctx, "DeleteQueue"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	if a.queues[*in.QueueUrl] == nil {
		return nil, noQueue()
	}
	delete(a.queues, *in.QueueUrl)
	return &sqs.DeleteQueueOutput{}, nil
}

func (a *account) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if err := a.begin(ctx, "GetQueueAttributes"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	if a.queues[*in.QueueUrl] == nil {
		return nil, noQueue()
	}
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{"QueueArn": "arn:aws:sqs:us-east-1:123456789012:" + *in.QueueUrl}}, nil
}

func (a *account) SetQueueAttributes(ctx context.Context, in *sqs.SetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error) {
	if err := a.begin(ctx, "SetQueueAttributes"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	a.last.set = in
	return &sqs.SetQueueAttributesOutput{}, nil
}

func (a *account) TagQueue(ctx context.Context, in *sqs.TagQueueInput, _ ...func(*sqs.Options)) (*sqs.TagQueueOutput, error) {
	if err := a.begin(ctx, "TagQueue"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	q := a.queues[*in.QueueUrl]
	if q == nil {
		return nil, noQueue()
	}
	for k, v := range in.Tags {
		q.tags[k] = v
	}
	return &sqs.TagQueueOutput{}, nil
}

func (a *account) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if err := a.begin(ctx, "ReceiveMessage"); err != nil {
		return nil, err
	}
	a.mu.Unlock()
	for end := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second); ; {
		out, err := a.receive(in)
		if err != nil || len(out.Messages) > 0 || !time.Now().Before(end) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// receive is a short poll.
func (a *account) receive(in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[*in.QueueUrl]
	if q == nil {
		return nil, noQueue()
	}
	now := time.Now()
	q.messages = slices.DeleteFunc(q.messages, func(m *fakeMessage) bool { return now.Sub(m.sent) >= q.retention })
	out := &sqs.ReceiveMessageOutput{}
	for _, m := range q.messages {
		if len(out.Messages) < int(in.MaxNumberOfMessages) && !now.Before(m.hidden) {
			m.hidden, m.receipt = now.Add(visibility), fmt.Sprintf("%p %v", m, now.UnixNano())
			out.Messages = append(out.Messages, sqstypes.Message{Body: &m.body, ReceiptHandle: aws.String(m.receipt)})
		}
	}
	return out, nil
}

func (a *account) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if err := a.begin(ctx, "DeleteMessageBatch"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	q := a.queues[*in.QueueUrl]
	if q == nil {
		return nil, noQueue()
	}
	for _, e := range in.Entries {
		q.messages = slices.DeleteFunc(q.messages, func(m *fakeMessage) bool { return m.receipt == *e.ReceiptHandle })
	}
	return &sqs.DeleteMessageBatchOutput{}, nil
}

func (a *account) Subscribe(ctx context.Context, in *sns.SubscribeInput, _ ...func(*sns.Options)) (*sns.SubscribeOutput, error) {
	if err := a.begin(ctx, "Subscribe"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	a.last.subscribe = in
	arn := fmt.Sprintf("%s:%d", topic, len(a.calls))
	a.subs[arn] = (*in.Endpoint)[len("arn:aws:sqs:us-east-1:123456789012:"):]
	return &sns.SubscribeOutput{SubscriptionArn: &arn}, nil
}

func (a *account) Unsubscribe(ctx context.Context, in *sns.UnsubscribeInput, _ ...func(*sns.Options)) (*sns.UnsubscribeOutput, error) {
	if err := a.begin(ctx, "Unsubscribe"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	delete(a.subs, *in.SubscriptionArn)
	return &sns.UnsubscribeOutput{}, nil
}

func (a *account) GetSubscriptionAttributes(ctx context.Context, in *sns.GetSubscriptionAttributesInput, _ ...func(*sns.Options)) (*sns.GetSubscriptionAttributesOutput, error) {
	if err := a.begin(ctx, "GetSubscriptionAttributes"); err != nil {
		return nil, err
	}
	defer a.mu.Unlock()
	if _, ok := a.subs[*in.SubscriptionArn]; !ok {
		return nil, &snstypes.NotFoundException{}
	}
	return &sns.GetSubscriptionAttributesOutput{}, nil
}
