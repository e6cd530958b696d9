package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// Limits of SQS (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
const (
	maxQueueBatch   = 10
	maxQueueMessage = 1 << 20
	maxVisibility   = 43200
	maxWait         = 20
)

// SendMessage adds a message.
func (s *SQS) SendMessage(ctx context.Context, in *sqs.SendMessageInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return sqsCall(ctx, s, "SendMessage", in, func(in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		id, err := q.accept(in, time.Now())
		return &sqs.SendMessageOutput{MessageId: &id}, err
	})
}

// SendMessageBatch adds up to 10 messages of at most 1 MiB in total. Each can fail separately.
func (s *SQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return sqsCall(ctx, s, "SendMessageBatch", in,
		func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			q, err := s.queue(in.QueueUrl)
			if err != nil {
				return nil, err
			}
			ids, size := make([]string, len(in.Entries)), 0
			for i, e := range in.Entries {
				ids[i] = aws.ToString(e.Id)
				size += len(aws.ToString(e.MessageBody)) + sizeOfAttributes(e.MessageAttributes)
			}
			if err := checkBatch(ids); err != nil {
				return nil, err
			}
			if size > maxQueueMessage {
				return nil, &types.BatchRequestTooLong{
					Message: aws.String(fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have "+
						"sent %d bytes.", maxQueueMessage, size)),
					ErrorCodeOverride: aws.String("AWS.SimpleQueueService.BatchRequestTooLong"),
				}
			}
			out := &sqs.SendMessageBatchOutput{}
			for _, e := range in.Entries {
				id, err := q.accept(&sqs.SendMessageInput{
					MessageBody: e.MessageBody, MessageAttributes: e.MessageAttributes,
					MessageGroupId: e.MessageGroupId, MessageDeduplicationId: e.MessageDeduplicationId,
				}, time.Now())
				if err != nil {
					out.Failed = append(out.Failed, failedEntry(e.Id, err))
					continue
				}
				out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id, MessageId: &id})
			}
			return out, nil
		})
}

// checkBatch checks the IDs of a batch's entries.
func checkBatch(ids []string) error {
	if len(ids) < 1 || len(ids) > maxQueueBatch {
		return &types.TooManyEntriesInBatchRequest{
			Message: aws.String(fmt.Sprintf("Maximum number of entries per request are 10. You have sent %d.",
				len(ids))),
			ErrorCodeOverride: aws.String("AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
		}
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return &types.BatchEntryIdsNotDistinct{Message: aws.String("Id " + id + " repeated."),
				ErrorCodeOverride: aws.String("AWS.SimpleQueueService.BatchEntryIdsNotDistinct")}
		}
	}
	return nil
}

func failedEntry(id *string, err error) types.BatchResultErrorEntry {
	code, text := errorOf(err)
	return types.BatchResultErrorEntry{Id: id, SenderFault: true, Code: &code, Message: &text}
}

// accept checks a message, adds it to the queue and returns its ID.
func (q *queue) accept(in *sqs.SendMessageInput, now time.Time) (id string, err error) {
	body := aws.ToString(in.MessageBody)
	switch {
	case body == "":
		return "", apiError("MissingParameter", "The request must contain the parameter MessageBody.")
	case len(body)+sizeOfAttributes(in.MessageAttributes) > maxQueueMessage:
		return "", invalidValue("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.",
			maxQueueMessage)
	case !q.fifo() && in.MessageDeduplicationId != nil:
		return "", invalidValue("Value %s for parameter MessageDeduplicationId is invalid. Reason: The request "+
			"includes a parameter that is not valid for this queue type.", *in.MessageDeduplicationId)
	case q.fifo() && aws.ToString(in.MessageGroupId) == "":
		return "", apiError("MissingParameter", "The request must contain the parameter MessageGroupId.")
	case q.fifo() && in.MessageDeduplicationId == nil && q.attributes["ContentBasedDeduplication"] != "true":
		return "", invalidValue("The queue should either have ContentBasedDeduplication enabled or " +
			"MessageDeduplicationId provided explicitly")
	}
	deduplicationID := aws.ToString(in.MessageDeduplicationId)
	if in.MessageDeduplicationId == nil {
		deduplicationID = contentHash(body)
	}
	m := &message{body: body, attributes: maps.Clone(in.MessageAttributes), group: aws.ToString(in.MessageGroupId)}
	return q.send(m, deduplicationID, now), nil
}

// sizeOfAttributes returns the size of the attributes' names, types and values in bytes.
func sizeOfAttributes(attributes map[string]types.MessageAttributeValue) int {
	size := 0
	for name, a := range attributes {
		size += len(name) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
	}
	return size
}

// ReceiveMessage returns up to 10 messages and hides them. It waits for the first message for WaitTimeSeconds, or
// until its context ends.
func (s *SQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput,
	_ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return call(ctx, s.cloud, "SQS", "ReceiveMessage", in,
		func(in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
			if n := in.MaxNumberOfMessages; n < 0 || n > maxQueueBatch {
				return nil, invalidValue("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be "+
					"between 1 and 10, if provided.", n)
			}
			if n := in.WaitTimeSeconds; n < 0 || n > maxWait {
				return nil, invalidValue("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and "+
					"<= 20, if provided.", n)
			}
			began := time.Now()
			for {
				list, wait, changed, err := s.take(in, began)
				if err != nil || list != nil {
					return &sqs.ReceiveMessageOutput{Messages: list}, err
				}
				if wait <= 0 {
					return &sqs.ReceiveMessageOutput{}, nil
				}
				timer := time.NewTimer(wait)
				select {
				case <-changed:
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return nil, &smithy.CanceledError{Err: ctx.Err()}
				}
				timer.Stop()
			}
		})
}

// take receives the visible messages. If there are none, it returns the time until a hidden message becomes visible
// (0 if there is no such message), and a channel that is closed when the queue changes.
func (s *SQS) take(in *sqs.ReceiveMessageInput, began time.Time) (list []types.Message, wait time.Duration,
	changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, 0, nil, err
	}
	now := time.Now()
	received, next := q.receive(max(1, int(in.MaxNumberOfMessages)), now, s.byARN(q.redrive().Target))
	for _, m := range received {
		list = append(list, m.output(in))
	}
	poll := time.Duration(in.WaitTimeSeconds) * time.Second
	if in.WaitTimeSeconds == 0 {
		poll = q.seconds("ReceiveMessageWaitTimeSeconds")
	}
	wait = began.Add(poll).Sub(now)
	if !next.IsZero() && wait > 0 {
		wait = min(wait, next.Sub(now))
	}
	return list, wait, q.changed, nil
}

// output converts a message for ReceiveMessage. It includes message attributes only if all are requested.
func (m *message) output(in *sqs.ReceiveMessageInput) types.Message {
	all := map[string]string{
		"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10), "ApproximateReceiveCount": strconv.Itoa(m.receives),
		"MessageGroupId": m.group,
	}
	maps.DeleteFunc(all, func(name, v string) bool {
		asked := slices.Contains(in.MessageSystemAttributeNames, types.MessageSystemAttributeName(name)) ||
			slices.Contains(in.MessageSystemAttributeNames, types.MessageSystemAttributeNameAll)
		return v == "" || !asked
	})
	out := types.Message{MessageId: &m.id, ReceiptHandle: aws.String(m.handle), Body: &m.body, Attributes: all}
	if slices.Contains(in.MessageAttributeNames, "All") {
		out.MessageAttributes = maps.Clone(m.attributes)
	}
	return out
}

// DeleteMessage deletes a received message.
func (s *SQS) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput,
	_ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	return sqsCall(ctx, s, "DeleteMessage", in, func(in *sqs.DeleteMessageInput) (*sqs.DeleteMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err == nil {
			err = q.delete(aws.ToString(in.ReceiptHandle), time.Now())
		}
		return &sqs.DeleteMessageOutput{}, err
	})
}

// DeleteMessageBatch deletes up to 10 messages. Each can fail separately.
func (s *SQS) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return sqsCall(ctx, s, "DeleteMessageBatch", in,
		func(in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
			q, err := s.queue(in.QueueUrl)
			if err != nil {
				return nil, err
			}
			ids := make([]string, len(in.Entries))
			for i, e := range in.Entries {
				ids[i] = aws.ToString(e.Id)
			}
			if err := checkBatch(ids); err != nil {
				return nil, err
			}
			out := &sqs.DeleteMessageBatchOutput{}
			for _, e := range in.Entries {
				if err := q.delete(aws.ToString(e.ReceiptHandle), time.Now()); err != nil {
					out.Failed = append(out.Failed, failedEntry(e.Id, err))
					continue
				}
				out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
			}
			return out, nil
		})
}

// errorOf returns an error's code and text, for an entry of a batch.
func errorOf(err error) (code, text string) {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode(), api.ErrorMessage()
	}
	return "InternalError", err.Error()
}

// ChangeMessageVisibility hides a received message for VisibilityTimeout seconds from now; 0 makes it visible at
// once.
func (s *SQS) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput,
	_ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	return sqsCall(ctx, s, "ChangeMessageVisibility", in,
		func(in *sqs.ChangeMessageVisibilityInput) (*sqs.ChangeMessageVisibilityOutput, error) {
			q, err := s.queue(in.QueueUrl)
			if err != nil {
				return nil, err
			}
			if in.VisibilityTimeout < 0 || in.VisibilityTimeout > maxVisibility {
				return nil, invalidValue("Value %d for parameter VisibilityTimeout is invalid. Reason: "+
					"VisibilityTimeout must be an integer between 0 and 43200.", in.VisibilityTimeout)
			}
			m, latest, err := q.find(aws.ToString(in.ReceiptHandle))
			if err != nil {
				return nil, err
			}
			now := time.Now()
			if m == nil || !latest || !m.visible.After(now) {
				return nil, &types.MessageNotInflight{
					Message:           aws.String("The message referred to is not in flight."),
					ErrorCodeOverride: aws.String("AWS.SimpleQueueService.MessageNotInflight"),
				}
			}
			m.visible = now.Add(time.Duration(in.VisibilityTimeout) * time.Second)
			q.wake()
			return &sqs.ChangeMessageVisibilityOutput{}, nil
		})
}
