package aws

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Limits of Publish and PublishBatch (https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html).
const (
	maxPublishSize  = 256 << 10
	maxPublishBatch = 10
)

// notification is a message to be delivered to a topic's subscriptions.
type notification struct {
	id, body   string
	attributes map[string]sqstypes.MessageAttributeValue
}

// Publish sends a message of at most 256 KiB, including its attributes, to all subscriptions of a topic.
func (s *SNS) Publish(ctx context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return call(ctx, s.cloud, "SNS", "Publish", in, func(in *sns.PublishInput) (*sns.PublishOutput, error) {
		n, err := newNotification(in.Message, in.MessageAttributes)
		if err == nil {
			err = s.publish(ctx, in.TopicArn, n)
		}
		return &sns.PublishOutput{MessageId: &n.id}, err
	})
}

// PublishBatch sends up to 10 messages of at most 256 KiB in total. Each can fail separately.
func (s *SNS) PublishBatch(ctx context.Context, in *sns.PublishBatchInput,
	_ ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	return call(ctx, s.cloud, "SNS", "PublishBatch", in,
		func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error) {
			if err := checkPublishBatch(in.PublishBatchRequestEntries); err != nil {
				return nil, err
			}
			out := &sns.PublishBatchOutput{}
			for _, e := range in.PublishBatchRequestEntries {
				n, err := newNotification(e.Message, e.MessageAttributes)
				if err != nil {
					code, text := errorOf(err)
					out.Failed = append(out.Failed,
						types.BatchResultErrorEntry{Id: e.Id, Code: &code, Message: &text, SenderFault: true})
					continue
				}
				if err := s.publish(ctx, in.TopicArn, n); err != nil {
					return nil, err
				}
				out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id, MessageId: &n.id})
			}
			return out, nil
		})
}

func checkPublishBatch(entries []types.PublishBatchRequestEntry) error {
	size, seen := 0, map[string]bool{}
	switch {
	case len(entries) == 0:
		return &types.EmptyBatchRequestException{Message: aws.String("The batch request doesn't contain any entries.")}
	case len(entries) > maxPublishBatch:
		return &types.TooManyEntriesInBatchRequestException{Message: aws.String("The batch request contains more " +
			"entries than permissible (more than 10).")}
	}
	for _, e := range entries {
		if seen[aws.ToString(e.Id)] {
			return &types.BatchEntryIdsNotDistinctException{Message: aws.String("Two or more batch entries in the " +
				"request have the same Id.")}
		}
		seen[aws.ToString(e.Id)] = true
		size += len(aws.ToString(e.Message)) + sizeOfAttributes(toQueueAttributes(e.MessageAttributes))
	}
	if size > maxPublishSize {
		return &types.BatchRequestTooLongException{Message: aws.String("The length of all the batch messages put " +
			"together is more than the limit.")}
	}
	return nil
}

// toQueueAttributes converts message attributes to SQS's types, as raw delivery does.
func toQueueAttributes(attributes map[string]types.MessageAttributeValue) map[string]sqstypes.MessageAttributeValue {
	converted := map[string]sqstypes.MessageAttributeValue{}
	for name, a := range attributes {
		converted[name] = sqstypes.MessageAttributeValue{DataType: a.DataType, StringValue: a.StringValue,
			BinaryValue: a.BinaryValue}
	}
	return converted
}

// newNotification checks a message.
func newNotification(message *string, attributes map[string]types.MessageAttributeValue) (n notification, err error) {
	n = notification{newID(), aws.ToString(message), toQueueAttributes(attributes)}
	switch {
	case n.body == "":
		return n, invalidParameter("Empty message")
	case len(n.body)+sizeOfAttributes(n.attributes) > maxPublishSize:
		return n, invalidParameter("Message too long")
	}
	for name, a := range n.attributes {
		if aws.ToString(a.StringValue) == "" {
			return n, &types.InvalidParameterValueException{Message: aws.String(
				"The message attribute '" + name +
					"' must contain non-empty message attribute value for message attribute type '" +
					aws.ToString(a.DataType) + "'.")}
		}
	}
	return n, nil
}

// publish delivers to a topic's queues.
func (s *SNS) publish(ctx context.Context, arn *string, n notification) error {
	s.mu.Lock()
	t, err := s.topic(arn)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	targets := slices.Clone(t.subscriptions)
	s.mu.Unlock()
	for _, to := range targets {
		s.deliver(ctx, to, n)
	}
	return nil
}

// Delivery is the input of the operation "Deliver", for [Cloud.Intercept]: SNS will deliver a message to a
// subscription.
type Delivery struct {
	SubscriptionARN, Endpoint string
	MessageID, Body           string
	Attempt                   int // from 1
}

// ErrLost makes SNS lose a message for one subscription if an interceptor of "Deliver" returns it. After any other
// error, the delivery is retried, as after a failure in AWS.
var ErrLost = errors.New("message lost on purpose")

// queueRetry is the pause before SNS retries a delivery to a queue.
const queueRetry = time.Second

// deliver makes the first attempt at once and the retries in the background.
func (s *SNS) deliver(ctx context.Context, to *subscription, n notification) {
	err := s.attempt(context.WithoutCancel(ctx), to, n, 1)
	if err == nil {
		return
	}
	s.cloud.background(func(ctx context.Context) {
		for attempt := 2; err != nil && pause(ctx, queueRetry); attempt++ {
			err = s.attempt(ctx, to, n, attempt)
		}
	})
}

// attempt makes one attempt. An error means that it must be retried. A delivery that cannot succeed is logged and
// given up.
func (s *SNS) attempt(ctx context.Context, to *subscription, n notification, number int) error {
	err := s.cloud.enter(ctx, "Deliver", &Delivery{to.arn, to.endpoint, n.id, n.body, number})
	if err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	if err == nil {
		err = s.cloud.SQS.fromTopic(to.endpoint, n)
	}
	if err != nil {
		s.cloud.log().Warn("message not delivered", "subscription", to.arn, "endpoint", to.endpoint,
			"message", n.id, "error", err)
	}
	return nil
}

// fromTopic adds a topic's message to a queue.
func (s *SQS) fromTopic(queueARN string, n notification) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byARN(queueARN)
	if q == nil {
		return noQueue()
	}
	_, err := q.accept(&sqs.SendMessageInput{MessageBody: &n.body, MessageAttributes: n.attributes}, time.Now())
	return err
}
