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

// Publisher is what the handler needs of an SNS client. [*sns.Client] is one; it retries what can be retried.
type Publisher interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Handler announces what a table's stream says. Make one with [New]. It is safe for concurrent use.
type Handler struct {
	publisher Publisher
	topic     string
	maxSize   int // bytes, attributes included
	after     func(context.Context, []change.Message) error
	logger    *slog.Logger
	err       error // what is wrong with the options

	totals totals
}

// New makes a handler that publishes through publisher. [TopicARN] is required.
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

// Handle announces one batch of stream records. Where that fails part way, the response names the record to go on
// from. An error means the whole batch: wrong options, or a failure that has no record to name.
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
	if !isSequence(from) { // Lambda would take such an answer for success or for nonsense
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
	var firstErr error
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
		for _, m := range messages {
			m.done = false
		}
		return errors.Join(firstErr, fmt.Errorf("append what was published: %w", err))
	}
	return firstErr
}

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
