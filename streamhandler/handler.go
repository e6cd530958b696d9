package streamhandler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/change"
)

// Publisher is what the handler needs of an SNS client. [*sns.Client] is one.
//
// Publish returns nil only when the topic has the message. The handler calls it for one message after the other, and
// once for each: retrying what can be retried is the client's (three attempts, by default). It must heed its
// context, which ends before the invocation does.
type Publisher interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Handler announces what a table's stream says. Make one with [New]. It is safe for concurrent use.
type Handler struct {
	// What follows is set by New and never changes.
	publisher Publisher
	topic     string // its ARN
	maxSize   int    // bytes of a message, attributes included
	after     func(context.Context, []change.Message) error
	logger    *slog.Logger
	err       error // what is wrong with the options; nil if nothing is

	totals totals // has its own lock
}

// New makes a handler that publishes through publisher. [TopicARN] is required. It calls nothing: wrong options are
// reported by the first, and every, [Handler.Handle].
func New(publisher Publisher, options ...Option) *Handler {
	h := &Handler{publisher: publisher, maxSize: defaultMaxSize}
	for _, option := range options {
		option(h)
	}
	if h.logger == nil {
		h.logger = slog.Default()
	}
	h.err = h.check()
	return h
}

// Handle announces one batch of stream records, which are of one shard and in its order:
//
//  1. It reads the records into one change for each item, and passes over those that are none of ours.
//  2. It packs each prefix's changes into messages.
//  3. It publishes them, and hands those that were published to [After].
//  4. It answers: an empty response when all of it is done, else the record to go on from.
//
// An error means the whole batch again: wrong options, or a failure that has no sequence number to name.
func (h *Handler) Handle(ctx context.Context, event events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	if h.err != nil {
		return events.DynamoDBEventResponse{}, h.err
	}
	b := readBatch(event.Records)
	messages, failure := pack(b, h.topic, h.maxSize)
	if failure == nil {
		failure = h.announce(ctx, messages)
	}
	b.count(messages, failure)
	h.totals.add(b.stats)
	from := ""
	if failure != nil {
		from = firstUndone(messages)
	}
	h.log(ctx, b, failure, from)
	if failure == nil {
		return events.DynamoDBEventResponse{}, nil
	}
	if !isSequence(from) {
		// Lambda takes an empty name for the whole batch, and other names that it does not know too
		// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html); an error
		// says the same, and is counted where people look.
		return events.DynamoDBEventResponse{}, failure
	}
	return events.DynamoDBEventResponse{
		BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: from}},
	}, nil
}

// announce publishes the messages in turn and marks those that are done: published, and handed to after. A failure
// does not keep the others back, since each prefix has its own consumers. It returns what failed first.
func (h *Handler) announce(ctx context.Context, messages []*message) error {
	publishing, appending, cancel := budget(ctx)
	defer cancel()

	var published []change.Message
	var firstErr error // the others are most likely the same
	for _, m := range messages {
		if err := h.publish(publishing, m); err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		m.published, m.done = true, true
		published = append(published, m.Message)
	}
	if h.after == nil || len(published) == 0 {
		return firstErr
	}
	if err := h.after(appending, published); err != nil {
		// Those that only learn from After have missed what the topic's subscribers have seen. Only the
		// same records again can tell them.
		for _, m := range messages {
			m.done = false
		}
		return errors.Join(firstErr, fmt.Errorf("append what was published: %w", err))
	}
	return firstErr
}

// publish publishes one message, if there is time. A call that was cut off may have been heard: then the message is
// published twice.
func (h *Handler) publish(ctx context.Context, m *message) error {
	err := ctx.Err() // a publisher might try although the time is over
	if err == nil {
		_, err = h.publisher.Publish(ctx, m.input)
	}
	if err != nil {
		return fmt.Errorf("publish to %q: %w", h.topic, err)
	}
	return nil
}

// answerTime is kept of an invocation's time for what follows publishing: After, and the answer itself. Of an
// invocation that has less than four times as much left, a quarter is kept.
const answerTime = 2 * time.Second

// budget divides the time until ctx's deadline. A function that is cut off at its deadline answers nothing, and
// Lambda would have the whole batch published again, and perhaps cut off again.
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
