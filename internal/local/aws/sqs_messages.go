package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// Limits of SQS (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
const (
	maxQueueBatch     = 10
	maxQueueBatchSize = 1 << 20
	maxVisibility     = 43200
	maxWait           = 20
)

// SendMessage adds a message.
func (s *SQS) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return sqsCall(ctx, s, "SendMessage", in, func(in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		e := types.SendMessageBatchRequestEntry{
			MessageBody: in.MessageBody, MessageAttributes: in.MessageAttributes, DelaySeconds: in.DelaySeconds,
			MessageGroupId: in.MessageGroupId, MessageDeduplicationId: in.MessageDeduplicationId,
		}
		made, err := q.accept(e, time.Now())
		if err != nil {
			return nil, err
		}
		return &sqs.SendMessageOutput{
			MessageId: aws.String(made.id), MD5OfMessageBody: bodyMD5(*in.MessageBody), MD5OfMessageAttributes: attributesMD5(in.MessageAttributes),
			SequenceNumber: optional(made.sequence),
		}, nil
	})
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// SendMessageBatch adds up to 10 messages; each can fail by itself.
func (s *SQS) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return sqsCall(ctx, s, "SendMessageBatch", in, func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		ids, size := make([]string, len(in.Entries)), 0
		for i, e := range in.Entries {
			ids[i] = aws.ToString(e.Id)
			size += messageSize(aws.ToString(e.MessageBody), e.MessageAttributes)
		}
		if err := checkBatch(ids); err != nil {
			return nil, err
		}
		if size > maxQueueBatchSize {
			return nil, &types.BatchRequestTooLong{
				Message:           aws.String(fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxQueueBatchSize, size)),
				ErrorCodeOverride: aws.String("AWS.SimpleQueueService.BatchRequestTooLong"),
			}
		}
		out := &sqs.SendMessageBatchOutput{}
		for _, e := range in.Entries {
			made, err := q.accept(e, time.Now())
			if err != nil {
				out.Failed = append(out.Failed, failedEntry(e.Id, err))
				continue
			}
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{
				Id: e.Id, MessageId: aws.String(made.id), MD5OfMessageBody: bodyMD5(*e.MessageBody),
				MD5OfMessageAttributes: attributesMD5(e.MessageAttributes), SequenceNumber: optional(made.sequence),
			})
		}
		return out, nil
	})
}

func failedEntry(id *string, err error) types.BatchResultErrorEntry {
	e := types.BatchResultErrorEntry{Id: id, SenderFault: true, Code: aws.String("InternalError"), Message: aws.String(err.Error())}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = aws.String(api.ErrorCode()), aws.String(api.ErrorMessage())
	}
	return e
}

// checkBatch checks the ids of a batch's entries.
func checkBatch(ids []string) error {
	code := func(c string) *string { return aws.String("AWS.SimpleQueueService." + c) }
	switch {
	case len(ids) == 0:
		return &types.EmptyBatchRequest{Message: aws.String("There should be at least one entry in the request."), ErrorCodeOverride: code("EmptyBatchRequest")}
	case len(ids) > maxQueueBatch:
		return &types.TooManyEntriesInBatchRequest{
			Message:           aws.String(fmt.Sprintf("Maximum number of entries per request are 10. You have sent %d.", len(ids))),
			ErrorCodeOverride: code("TooManyEntriesInBatchRequest"),
		}
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !validName(id, 1, 80, "-_") {
			return &types.InvalidBatchEntryId{Message: aws.String("A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."), ErrorCodeOverride: code("InvalidBatchEntryId")}
		}
		if seen[id] {
			return &types.BatchEntryIdsNotDistinct{Message: aws.String("Id " + id + " repeated."), ErrorCodeOverride: code("BatchEntryIdsNotDistinct")}
		}
		seen[id] = true
	}
	return nil
}

// messageSize counts the body and the attributes' names, types and values.
func messageSize(body string, attributes map[string]types.MessageAttributeValue) int {
	size := len(body)
	for name, a := range attributes {
		size += len(name) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
	}
	return size
}

// accept checks a message and sends it.
func (q *queue) accept(e types.SendMessageBatchRequestEntry, now time.Time) (sent, error) {
	if err := q.check(e); err != nil {
		return sent{}, err
	}
	m := &message{
		body: *e.MessageBody, attributes: maps.Clone(e.MessageAttributes),
		group: aws.ToString(e.MessageGroupId), deduplicationID: aws.ToString(e.MessageDeduplicationId),
	}
	if q.fifo() && e.MessageDeduplicationId == nil {
		m.deduplicationID = contentHash(m.body)
	}
	delay := time.Duration(e.DelaySeconds) * time.Second
	if e.DelaySeconds == 0 {
		delay = q.seconds("DelaySeconds")
	}
	return q.send(m, delay, now), nil
}

func (q *queue) check(e types.SendMessageBatchRequestEntry) error {
	body := aws.ToString(e.MessageBody)
	if body == "" {
		return apiError("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	if !validText(body) {
		return &types.InvalidMessageContents{Message: aws.String("Invalid characters were found in the message body. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")}
	}
	if limit, _ := strconv.Atoi(q.attributes["MaximumMessageSize"]); messageSize(body, e.MessageAttributes) > limit {
		return invalidValue("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	if len(e.MessageAttributes) > 10 {
		return invalidValue("Number of message attributes [%d] exceeds the allowed maximum [10].", len(e.MessageAttributes))
	}
	for name, a := range e.MessageAttributes {
		if wrong := checkAttribute(name, aws.ToString(a.DataType), aws.ToString(a.StringValue), a.BinaryValue); wrong != "" {
			return invalidValue("%s", wrong)
		}
	}
	if e.DelaySeconds < 0 || e.DelaySeconds > 900 {
		return invalidValue("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", e.DelaySeconds)
	}
	switch {
	case !q.fifo() && e.MessageDeduplicationId != nil:
		return invalidValue("Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", *e.MessageDeduplicationId)
	case !q.fifo():
		return nil
	case aws.ToString(e.MessageGroupId) == "":
		return apiError("MissingParameter", "The request must contain the parameter MessageGroupId.")
	case e.MessageDeduplicationId == nil && q.attributes["ContentBasedDeduplication"] != "true":
		return invalidValue("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case e.DelaySeconds != 0:
		return invalidValue("Value %d for parameter DelaySeconds is invalid. Reason: The request includes a parameter that is not valid for this queue type.", e.DelaySeconds)
	}
	return nil
}

// checkAttribute says what is wrong with a message attribute of SQS or SNS, if anything is.
func checkAttribute(name, dataType, text string, binary []byte) (wrong string) {
	base, _, _ := strings.Cut(dataType, ".")
	switch {
	case !validName(name, 1, 256, "_-."):
		return fmt.Sprintf("Message (user) attribute name %q is invalid: it can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters", name)
	case base != "String" && base != "Number" && base != "Binary":
		return fmt.Sprintf("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
	case base == "Binary" && len(binary) == 0, base != "Binary" && text == "":
		return fmt.Sprintf("The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", name, dataType)
	case base == "Number":
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return fmt.Sprintf("Can't cast the value of message (user) attribute '%s' to a number.", name)
		}
	case !validText(text):
		return fmt.Sprintf("Message (user) attribute '%s' value contains invalid characters.", name)
	}
	return ""
}

// validText says whether SQS accepts a text's characters.
func validText(text string) bool {
	for _, c := range text {
		if c < 0x20 && c != 0x9 && c != 0xa && c != 0xd || c == 0xfffe || c == 0xffff {
			return false
		}
	}
	return utf8.ValidString(text)
}

// ReceiveMessage returns up to 10 messages and hides them, waiting for the first one for WaitTimeSeconds. The context
// ends the wait.
func (s *SQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return call(ctx, s.cloud, "SQS", "ReceiveMessage", in, func(in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
		if n := in.MaxNumberOfMessages; n < 0 || n > maxQueueBatch {
			return nil, invalidValue("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", n)
		}
		if n := in.WaitTimeSeconds; n < 0 || n > maxWait {
			return nil, invalidValue("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", n)
		}
		if n := in.VisibilityTimeout; n < 0 || n > maxVisibility {
			return nil, invalidValue("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200, if provided.", n)
		}
		began := time.Now()
		for {
			list, look, changed, err := s.take(in, began)
			if err != nil || list != nil {
				return &sqs.ReceiveMessageOutput{Messages: list}, err
			}
			if look <= 0 {
				return &sqs.ReceiveMessageOutput{}, nil
			}
			timer := time.NewTimer(look)
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

// take receives what is there. Without any, it says after what time to look again, 0 for not at all, and what channel
// is closed if the queue changes before.
func (s *SQS) take(in *sqs.ReceiveMessageInput, began time.Time) (list []types.Message, look time.Duration, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queue(in.QueueUrl)
	if err != nil {
		return nil, 0, nil, err
	}
	now := time.Now()
	hide := q.seconds("VisibilityTimeout")
	if in.VisibilityTimeout > 0 {
		hide = time.Duration(in.VisibilityTimeout) * time.Second
	}
	var deadLetters *queue
	if r, ok := q.redrive(); ok {
		deadLetters = s.byARN(r.Target)
	}
	received, next := q.receive(max(1, int(in.MaxNumberOfMessages)), hide, now, deadLetters)
	for _, m := range received {
		list = append(list, m.output(in))
	}
	wait := time.Duration(in.WaitTimeSeconds) * time.Second
	if in.WaitTimeSeconds == 0 {
		wait = q.seconds("ReceiveMessageWaitTimeSeconds")
	}
	look = began.Add(wait).Sub(now)
	if !next.IsZero() && look > 0 {
		look = min(look, next.Sub(now))
	}
	return list, look, q.changed, nil
}

// output is the message as ReceiveMessage returns it, with the attributes that were asked for.
func (m *message) output(in *sqs.ReceiveMessageInput) types.Message {
	all := map[string]string{
		"SenderId": accountID, "SentTimestamp": milliseconds(m.sent), "ApproximateReceiveCount": strconv.Itoa(m.receives),
		"ApproximateFirstReceiveTimestamp": milliseconds(m.received), "MessageGroupId": m.group,
		"MessageDeduplicationId": m.deduplicationID, "SequenceNumber": m.sequence, "DeadLetterQueueSourceArn": m.source,
	}
	maps.DeleteFunc(all, func(name, v string) bool {
		asked := slices.Contains(in.MessageSystemAttributeNames, types.MessageSystemAttributeName(name)) || slices.Contains(in.MessageSystemAttributeNames, types.MessageSystemAttributeNameAll) ||
			slices.Contains(in.AttributeNames, types.QueueAttributeName(name)) || slices.Contains(in.AttributeNames, types.QueueAttributeNameAll) //nolint:staticcheck // older callers ask so
		return v == "" || !asked
	})
	attributes := maps.Clone(m.attributes)
	maps.DeleteFunc(attributes, func(name string, _ types.MessageAttributeValue) bool {
		return !askedFor(in.MessageAttributeNames, name)
	})
	out := types.Message{
		MessageId: aws.String(m.id), ReceiptHandle: aws.String(m.handle), Body: aws.String(m.body), MD5OfBody: bodyMD5(m.body),
		MD5OfMessageAttributes: attributesMD5(attributes),
	}
	if len(all) > 0 {
		out.Attributes = all
	}
	if len(attributes) > 0 {
		out.MessageAttributes = attributes
	}
	return out
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// askedFor says whether MessageAttributeNames ("All", ".*", "name", "prefix.*") ask for an attribute.
func askedFor(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, wild := strings.CutSuffix(n, ".*")
		return n == "All" || n == name || wild && strings.HasPrefix(name, prefix)
	})
}

// DeleteMessage deletes a received message. In a standard queue, an older receipt handle than the latest deletes
// nothing; in a FIFO queue, an expired one is refused.
func (s *SQS) DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	return sqsCall(ctx, s, "DeleteMessage", in, func(in *sqs.DeleteMessageInput) (*sqs.DeleteMessageOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err == nil {
			err = q.delete(aws.ToString(in.ReceiptHandle), time.Now())
		}
		return &sqs.DeleteMessageOutput{}, err
	})
}

func (q *queue) delete(handle string, now time.Time) error {
	m, latest, err := q.find(handle)
	if err != nil || m == nil {
		return err
	}
	if q.fifo() && (!latest || !m.visible.After(now)) {
		return invalidValue("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
	}
	if latest {
		q.remove(m)
	}
	return nil
}

// DeleteMessageBatch deletes up to 10 messages; each can fail by itself.
func (s *SQS) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return sqsCall(ctx, s, "DeleteMessageBatch", in, func(in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
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

// ChangeMessageVisibility hides a received message for so many seconds from now; 0 shows it at once.
func (s *SQS) ChangeMessageVisibility(ctx context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	return sqsCall(ctx, s, "ChangeMessageVisibility", in, func(in *sqs.ChangeMessageVisibilityInput) (*sqs.ChangeMessageVisibilityOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		if in.VisibilityTimeout < 0 || in.VisibilityTimeout > maxVisibility {
			return nil, invalidValue("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", in.VisibilityTimeout)
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
