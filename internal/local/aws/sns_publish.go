package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Limits of Publish and PublishBatch (https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html).
const (
	maxPublishSize  = 256 << 10
	maxPublishBatch = 10
)

// notification is a message on its way from a topic to its subscriptions.
type notification struct {
	id, message, subject string
	attributes           map[string]types.MessageAttributeValue
	topic                string
	version              string // of the signature
	at                   time.Time
}

// Publish sends a message of at most 256 KiB, its attributes counted, to all of a topic's subscriptions.
func (s *SNS) Publish(ctx context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return call(ctx, s.cloud, "SNS", "Publish", in, func(in *sns.PublishInput) (*sns.PublishOutput, error) {
		if in.PhoneNumber != nil || in.MessageGroupId != nil || in.MessageDeduplicationId != nil {
			return nil, unsupported("SMS and FIFO topics")
		}
		arn := in.TopicArn
		if arn == nil {
			arn = in.TargetArn
		}
		n, err := newNotification(in.Message, in.Subject, in.MessageStructure, in.MessageAttributes)
		if err != nil {
			return nil, err
		}
		if err := s.publish(ctx, arn, n); err != nil {
			return nil, err
		}
		return &sns.PublishOutput{MessageId: aws.String(n.id)}, nil
	})
}

// PublishBatch sends up to 10 messages, of 256 KiB together; each can fail by itself.
func (s *SNS) PublishBatch(ctx context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	return call(ctx, s.cloud, "SNS", "PublishBatch", in, func(in *sns.PublishBatchInput) (*sns.PublishBatchOutput, error) {
		if err := checkPublishBatch(in.PublishBatchRequestEntries); err != nil {
			return nil, err
		}
		out := &sns.PublishBatchOutput{}
		for _, e := range in.PublishBatchRequestEntries {
			n, err := newNotification(e.Message, e.Subject, e.MessageStructure, e.MessageAttributes)
			if err != nil {
				failed := failedEntry(e.Id, err)
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: failed.Code, Message: failed.Message, SenderFault: true})
				continue
			}
			if err := s.publish(ctx, in.TopicArn, n); err != nil {
				return nil, err
			}
			out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id, MessageId: aws.String(n.id)})
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
		return &types.TooManyEntriesInBatchRequestException{Message: aws.String("The batch request contains more entries than permissible (more than 10).")}
	}
	for _, e := range entries {
		id := aws.ToString(e.Id)
		if !validName(id, 1, 80, "-_") {
			return &types.InvalidBatchEntryIdException{Message: aws.String("The Id of a batch entry in a batch request doesn't abide by the specification.")}
		}
		if seen[id] {
			return &types.BatchEntryIdsNotDistinctException{Message: aws.String("Two or more batch entries in the request have the same Id.")}
		}
		seen[id] = true
		size += len(aws.ToString(e.Message)) + attributesSize(e.MessageAttributes)
	}
	if size > maxPublishSize {
		return &types.BatchRequestTooLongException{Message: aws.String("The length of all the batch messages put together is more than the limit.")}
	}
	return nil
}

func attributesSize(attributes map[string]types.MessageAttributeValue) int {
	size := 0
	for name, a := range attributes {
		size += len(name) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
	}
	return size
}

// newNotification checks a message.
func newNotification(message, subject, structure *string, attributes map[string]types.MessageAttributeValue) (*notification, error) {
	text := aws.ToString(message)
	switch {
	case structure != nil:
		return nil, unsupported("MessageStructure")
	case text == "":
		return nil, invalidParameter("Empty message")
	case len(text)+attributesSize(attributes) > maxPublishSize:
		return nil, invalidParameter("Message too long")
	case subject != nil && (len(*subject) < 1 || len(*subject) > 100 || strings.ContainsAny(*subject, "\n\r\t")):
		return nil, invalidParameter("Subject")
	}
	for name, a := range attributes {
		wrong := checkAttribute(name, aws.ToString(a.DataType), aws.ToString(a.StringValue), a.BinaryValue)
		if wrong == "" && aws.ToString(a.DataType) == "String.Array" {
			wrong = checkArray(name, *a.StringValue)
		}
		if wrong != "" {
			return nil, &types.InvalidParameterValueException{Message: aws.String(wrong)}
		}
	}
	copied := make(map[string]types.MessageAttributeValue, len(attributes))
	for name, a := range attributes {
		a.BinaryValue = append([]byte(nil), a.BinaryValue...)
		copied[name] = a
	}
	return &notification{id: newID(), message: text, subject: aws.ToString(subject), attributes: copied, at: time.Now()}, nil
}

// checkArray wants a JSON array of strings, numbers, booleans and nulls.
func checkArray(name, text string) (wrong string) {
	var list []any
	err := json.Unmarshal([]byte(text), &list)
	for _, v := range list {
		switch v.(type) {
		case map[string]any, []any:
			err = errors.New("nested value")
		}
	}
	if err != nil {
		return fmt.Sprintf("The message attribute '%s' has an invalid value for type 'String.Array': it must be a JSON array of strings, numbers, booleans and nulls", name)
	}
	return ""
}

// publish delivers to queues, and starts deliveries to HTTP endpoints.
func (s *SNS) publish(ctx context.Context, arn *string, n *notification) error {
	s.mu.Lock()
	t, err := s.topic(arn)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	n.topic, n.version = t.arn, t.attributes["SignatureVersion"]
	var targets []subscription
	for _, sub := range t.subscriptions {
		if sub.confirmed {
			target := *sub
			target.attributes = map[string]string{"RawMessageDelivery": sub.attributes["RawMessageDelivery"], "DeliveryPolicy": sub.attributes["DeliveryPolicy"]}
			targets = append(targets, target)
		}
	}
	s.mu.Unlock()
	envelope, mark := "", newID() // made at most once: all subscriptions' are alike but for their ARN, at the mark
	for _, target := range targets {
		raw := target.attributes["RawMessageDelivery"] == "true"
		if !raw && envelope == "" {
			envelope = n.envelope(mark)
		}
		body := n.message
		if !raw {
			body = strings.Replace(envelope, mark, target.arn, 1)
		}
		s.deliver(ctx, target, n, body, raw)
	}
	return nil
}

// Delivery is the input of the operation "Deliver", which [Cloud.Intercept] sees: SNS is about to hand a message to a
// subscription.
type Delivery struct {
	SubscriptionARN, Protocol, Endpoint string
	MessageID, Body                     string
	Attempt                             int // 1 for the first
}

// ErrLost is for an interceptor of "Deliver" to return: it loses the message for that subscription. With any other error the
// delivery is tried again, as after a failure in AWS.
var ErrLost = errors.New("message lost on purpose")

// queueRetry is how long SNS waits before it delivers to a queue again.
const queueRetry = time.Second

// deliver makes the first attempt for a queue at once, and all other attempts in the background.
func (s *SNS) deliver(ctx context.Context, to subscription, n *notification, body string, raw bool) {
	if to.protocol == "sqs" {
		err := s.toQueue(context.WithoutCancel(ctx), to, n, body, raw, 1)
		if err == nil {
			return
		}
		s.cloud.background(func(ctx context.Context) {
			for attempt := 2; err != nil && pause(ctx, queueRetry); attempt++ {
				err = s.toQueue(ctx, to, n, body, raw, attempt)
			}
		})
		return
	}
	header := map[string]string{"x-amz-sns-subscription-arn": to.arn}
	if raw {
		header["x-amz-sns-rawdelivery"] = "true"
	}
	s.cloud.background(func(ctx context.Context) {
		s.toEndpoint(ctx, to, post{kind: "Notification", id: n.id, topic: n.topic, body: body, header: header})
	})
}

// toQueue makes one attempt. An error means: try again. What can never succeed is counted, logged and given up, as
// SNS gives up at once on what the queue's owner must put right.
func (s *SNS) toQueue(ctx context.Context, to subscription, n *notification, body string, raw bool, attempt int) error {
	err := s.cloud.enter(ctx, "Deliver", &Delivery{to.arn, to.protocol, to.endpoint, n.id, body, attempt})
	if errors.Is(err, ErrLost) {
		s.giveUp(to, n.id, err)
		return nil
	}
	if err != nil {
		return err
	}
	e := sqstypes.SendMessageBatchRequestEntry{MessageBody: aws.String(body)}
	if raw && len(n.attributes) > 0 {
		e.MessageAttributes = map[string]sqstypes.MessageAttributeValue{}
		for name, a := range n.attributes {
			e.MessageAttributes[name] = sqstypes.MessageAttributeValue{DataType: a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
		}
	}
	if err := s.cloud.SQS.fromTopic(n.topic, to.endpoint, e); err != nil {
		s.giveUp(to, n.id, err)
	}
	return nil
}

func (s *SNS) giveUp(to subscription, id string, err error) {
	s.mu.Lock()
	s.undelivered++
	s.mu.Unlock()
	s.cloud.log().Warn("a message of a topic was not delivered", "subscription", to.arn, "endpoint", to.endpoint, "message", id, "error", err)
}

// Undelivered is how many messages could not be delivered to a subscription so far, and were given up.
func (s *SNS) Undelivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.undelivered
}

// fromTopic sends a topic's message to a queue, if the queue's policy allows it.
func (s *SQS) fromTopic(topicARN, queueARN string, e sqstypes.SendMessageBatchRequestEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byARN(queueARN)
	if q == nil {
		return noQueue()
	}
	p, err := parsePolicy(q.attributes["Policy"])
	if err != nil || !p.allowsTopic(topicARN, queueARN) {
		return apiError("AccessDenied", fmt.Sprintf("the policy of queue %q does not let sns.amazonaws.com send for topic %q", queueARN, topicARN))
	}
	_, err = q.accept(e, time.Now())
	return err
}
