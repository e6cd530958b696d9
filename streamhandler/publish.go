package streamhandler

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/change"
)

// Publisher is the part of [*sns.Client] that a handler needs.
//
// Publish returns nil only if the topic has the message. The client retries (three attempts by default); the handler
// calls Publish once for each message in an invocation. Publish must return when its context ends, which is before the
// invocation's deadline.
type Publisher interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// BatchPublisher is an optional interface of a [Publisher]; [*sns.Client] implements it. It is used if a batch of
// records makes several messages.
type BatchPublisher interface {
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

const (
	// maxEntries is the largest number of messages in a PublishBatch call. SNS limits their total size to that of one
	// message. https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
	maxEntries = 10
	// maxConcurrentPrefixes is the largest number of concurrent calls of OnPublished.
	maxConcurrentPrefixes = 10
)

// announce publishes the messages, passes them to onPublished, and marks those that are done. After a failure it
// continues with the other messages, because each prefix has its own consumers. It returns the first error of
// publishing joined with all errors of onPublished.
func (s *settings) announce(ctx context.Context, messages []*message) error {
	publishing, appending, cancel := budget(ctx)
	defer cancel()
	return errors.Join(s.publishAll(publishing, messages), s.passOn(appending, messages))
}

// passOn calls onPublished for each prefix. If a call fails, processes that read only the journal miss the changes
// until the same records are redelivered. If a call is refused as invalid, a retry would be refused too and would block
// the shard, so its messages count as done and the refusal is logged.
func (s *settings) passOn(ctx context.Context, messages []*message) error {
	byPrefix := map[string][]*message{}
	for _, m := range messages {
		if m.done = m.published && s.onPublished == nil; m.published && !m.done {
			byPrefix[m.Prefix] = append(byPrefix[m.Prefix], m)
		}
	}
	errs := make([]error, len(byPrefix))
	var calls errgroup.Group
	calls.SetLimit(maxConcurrentPrefixes)
	i := 0
	for prefix, published := range byPrefix {
		failure := &errs[i]
		i++
		calls.Go(func() error {
			bodies := make([]change.Message, len(published))
			for i, m := range published {
				bodies[i] = m.Message
			}
			err := s.onPublished(ctx, bodies)
			refused := isRefusal(err)
			for _, m := range published {
				m.done = err == nil || refused
				if refused {
					m.notPassedOn = err
				}
			}
			if !refused && err != nil {
				*failure = fmt.Errorf("pass published messages of prefix %q to OnPublished: %w", prefix, err)
			}
			return nil
		})
	}
	_ = calls.Wait() // failures are in errs
	return errors.Join(errs...)
}

// publishAll publishes the messages in order, with several messages in a call where possible. It returns only the first
// error, because the others most likely have the same cause.
func (s *settings) publishAll(ctx context.Context, messages []*message) (firstErr error) {
	for len(messages) > 0 {
		n := s.fitsCall(messages)
		var err error
		if n > 1 {
			err = s.publishBatch(ctx, messages[:n])
		} else {
			err = s.publish(ctx, messages[0])
		}
		if err != nil && firstErr == nil {
			firstErr = fmt.Errorf("publish to %q: %w", s.topic, err)
		}
		messages = messages[n:]
	}
	return firstErr
}

// fitsCall returns how many of the next messages fit into one call.
func (s *settings) fitsCall(messages []*message) int {
	if s.batches == nil {
		return 1
	}
	n, total := 1, messages[0].size()
	for n < min(len(messages), maxEntries) {
		if total += messages[n].size(); total > s.maxSize {
			break
		}
		n++
	}
	return n
}

// publishBatch publishes messages with one call, and then publishes those that were not accepted one by one, to find
// the reason for each. So a message that SNS refuses or throttles does not stop the others. If the call failed as a
// whole without a refusal, single calls would most likely fail too, so publishBatch makes none.
func (s *settings) publishBatch(ctx context.Context, messages []*message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in := &sns.PublishBatchInput{TopicArn: aws.String(s.topic)}
	for i, m := range messages {
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, types.PublishBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), Message: aws.String(m.body), MessageAttributes: m.attributes,
		})
	}
	out, err := s.batches.PublishBatch(ctx, in)
	switch {
	case err == nil:
		for _, entry := range out.Successful {
			if i, err := strconv.Atoi(aws.ToString(entry.Id)); err == nil && i >= 0 && i < len(messages) {
				messages[i].published = true
			}
		}
	case !isRefusal(err):
		return err
	}
	var firstErr error
	for _, m := range messages {
		if m.published {
			continue
		}
		if err := s.publish(ctx, m); err != nil && firstErr == nil {
			firstErr = err
		}
	}
	return firstErr
}

// publish publishes one message, if ctx has not ended. A call that timed out may have succeeded; then the message is
// published twice.
//
// A message that SNS refuses because of its content would be refused again, and would block the shard for a day. So
// publish replaces it by the empty message, which invalidates more and has nothing of the records except the prefix. If
// SNS refuses that too, publish sends it without attributes. If SNS refuses even that, the cause is the topic or the
// function, not the message. Both can be fixed, so the message is retried, as after all other errors.
func (s *settings) publish(ctx context.Context, m *message) error {
	err := s.call(ctx, m.body, m.attributes)
	if err == nil {
		m.published = true
		return nil
	}
	if !isRefusal(err) {
		return err
	}
	empty := newEmptyMessage(m.ID+"-all", m.Prefix, m.kinds, m.Time)
	again := s.call(ctx, empty.body, empty.attributes)
	if isRefusal(again) {
		empty.attributes = nil
		again = s.call(ctx, empty.body, nil)
	}
	if again != nil {
		return errors.Join(err, again)
	}
	empty.items, empty.published, empty.refusal = m.items, true, err
	*m = *empty
	return nil
}

// call calls SNS once; the client retries.
func (s *settings) call(ctx context.Context, body string, attributes map[string]types.MessageAttributeValue) error {
	if err := ctx.Err(); err != nil { // a Publisher might ignore that ctx has ended
		return err
	}
	_, err := s.publisher.Publish(ctx, &sns.PublishInput{
		TopicArn: aws.String(s.topic), Message: aws.String(body), MessageAttributes: attributes,
	})
	return err
}

// isRefusal reports whether err is AWS's refusal of a request as invalid, which no retry can fix. Throttling, broken
// connections, missing permissions (which a deployment can fix) and all unknown errors are not refusals.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
//
// DynamoDB refuses a transaction, such as a write of several copies of a journal, with a reason for each of its writes.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func isRefusal(err error) bool {
	var canceled *dynamodbtypes.TransactionCanceledException
	if errors.As(err, &canceled) {
		refused := false
		for _, reason := range canceled.CancellationReasons {
			switch aws.ToString(reason.Code) {
			case "ValidationError":
				refused = true
			case "", "None": // this write was not the cause
			default:
				return false // a retry can fail in another way
			}
		}
		return refused
	}
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.ErrorCode() {
	case "InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationError", "ValidationException",
		"BatchRequestTooLong":
		return true
	}
	return false
}

// answerTime is the part of an invocation's time that is reserved for what follows publishing: OnPublished and the
// response. If less than four times as much is left, a quarter of the time left is reserved.
const answerTime = 2 * time.Second

// budget divides the time until ctx's deadline. If a function reaches its deadline, it returns no response, and Lambda
// redelivers the whole batch, which can time out again. With 10 seconds left, publishing must end after 8 seconds and
// OnPublished after 9.5 seconds. With less than 8 seconds left, they must end after 3/4 and 15/16 of that time.
func budget(ctx context.Context) (publishing, appending context.Context, cancel func()) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, ctx, func() {}
	}
	kept := min(answerTime, time.Until(deadline)/4)
	publishing, cancelPublishing := context.WithDeadline(ctx, deadline.Add(-kept))
	appending, cancelAppending := context.WithDeadline(ctx, deadline.Add(-kept/4))
	return publishing, appending, func() { cancelPublishing(); cancelAppending() }
}
