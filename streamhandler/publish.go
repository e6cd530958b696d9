package streamhandler

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"github.com/warmflags/warmflags/change"
)

// What becomes of a message:
//
//  1. SNS has it: it is published, and done when After has it as well (or there is none);
//  2. SNS refuses it for what is in it: the empty message takes its place, and that one is published;
//  3. anything else, such as throttling or no time left: it is not published, and not done;
//  4. After fails: none is done, whatever was published.
//
// The batch goes on from the first record of all messages that are not done (firstUndone), and is done without any.

// Publisher is what is needed of an SNS client. [*sns.Client] is one.
//
// Publish returns nil only when the topic has the message. Retrying what can be retried is the client's (three
// attempts, by default): the handler asks once for each message in an invocation. It must heed its context, which
// ends before the invocation does.
type Publisher interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// BatchPublisher is an optional interface of a [Publisher], which [*sns.Client] has: it is used where a batch of
// records makes several messages.
type BatchPublisher interface {
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// maxEntries is the most messages that PublishBatch takes; together they have at most the size of one.
// https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
const maxEntries = 10

// announce publishes the messages and marks those that are done: published, and handed to after. A failure does not
// keep the others back, since each prefix has its own consumers. It returns what failed first. After comes second and
// gets only what was published: what was not comes again with its records, and is appended then.
func (s *settings) announce(ctx context.Context, messages []*message) error {
	publishing, appending, cancel := budget(ctx)
	defer cancel()

	firstErr := s.publishAll(publishing, messages)
	var published []change.Message
	for _, m := range messages {
		if m.published {
			m.done = true
			published = append(published, m.Message)
		}
	}
	if s.after == nil || len(published) == 0 {
		return firstErr
	}
	if err := s.after(appending, published); err != nil {
		// Those that only learn from After have missed what the topic's subscribers have seen. Only the
		// same records again can tell them.
		for _, m := range messages {
			m.done = false
		}
		return errors.Join(firstErr, fmt.Errorf("append what was published: %w", err))
	}
	return firstErr
}

// publishAll publishes the messages in their order, several in a call where it can. It returns what failed first:
// the others are most likely the same.
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

// fitsCall is how many of the next messages go into one call.
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

// publishBatch publishes messages with one call. Those that the topic does not have after it are published one by
// one, which finds out why: one that SNS refuses, or slows down, does not keep the others back. A call that failed as
// a whole would most likely fail again, so then nothing more is tried.
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

// publish publishes one message, if there is time. A call that was cut off may have been heard: then the message is
// published twice.
//
// Where SNS refuses the message for what is in it, trying again would be refused again, and block the shard for a
// day. So the empty message takes its place, which says more than was to be said, and has nothing of the records but
// the prefix; then the same without attributes. If even that is refused, it is not the message's fault but the
// topic's or the function's, which can be mended: then it is to be tried again, as after all other errors.
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

// call makes one call of SNS, as the client retries it.
func (s *settings) call(ctx context.Context, body string, attributes map[string]types.MessageAttributeValue) error {
	if err := ctx.Err(); err != nil { // a publisher might try although the time is over
		return err
	}
	_, err := s.publisher.Publish(ctx, &sns.PublishInput{
		TopicArn: aws.String(s.topic), Message: aws.String(body), MessageAttributes: attributes,
	})
	return err
}

// isRefusal tells what SNS will always say to this message from what may be otherwise later: throttling, broken
// connections, missing permissions (a deployment heals them), and all that is not known here.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
func isRefusal(err error) bool {
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

// answerTime is kept of an invocation's time for what follows publishing: After, and the answer itself. Of an
// invocation that has less than four times as much left, a quarter is kept.
const answerTime = 2 * time.Second

// budget divides the time until ctx's deadline. A function that is cut off at its deadline answers nothing, and
// Lambda would have the whole batch published again, and perhaps cut off again. With 10 seconds left, publishing has 8,
// appending what is left of 9.5, and the answer half a second; with less than 8, these are 3/4, 15/16 and 1/16 of it.
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
