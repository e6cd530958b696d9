package streamhandler

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Handler publishes the changes in a table's stream. Create one with [New]. It is safe for concurrent use.
//
// It is a lambda.Handler: pass it to lambda.Start.
type Handler struct {
	settings

	mu    sync.Mutex // guards stats
	stats Stats
}

// New returns a handler that publishes through publisher. [TopicARN] is required. New does not call AWS. Wrong options
// are reported by each call of [Handler.Invoke] and [Handler.Handle].
func New(publisher Publisher, options ...Option) *Handler {
	return &Handler{settings: newSettings(publisher, options)}
}

// Invoke publishes one batch of stream records, which come from one shard, in the shard's order:
//
//  1. It reads the records into one change for each item, and skips rows that are not items.
//  2. It packs the changes of each prefix into messages.
//  3. It publishes the messages, and passes the published ones to [OnPublished].
//  4. It returns an empty response if everything is done, and otherwise the record to continue from.
//
// If it returns an error, Lambda redelivers the whole batch. The errors are wrong options, a payload that is not an
// event, and a failure to which no sequence number belongs.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	response, err := h.handle(ctx, payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// Handle is [Handler.Invoke] for an event that was already decoded. It encodes the event again, so it is slower.
func (h *Handler) Handle(ctx context.Context, event events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return events.DynamoDBEventResponse{}, fmt.Errorf("encode stream event: %w", err)
	}
	return h.handle(ctx, payload)
}

// handle keeps only the counts of a batch: Lambda redelivers what is not yet published.
func (h *Handler) handle(ctx context.Context, payload []byte) (events.DynamoDBEventResponse, error) {
	if h.err != nil {
		return events.DynamoDBEventResponse{}, h.err
	}
	records, err := decodeEvent(payload)
	if err != nil {
		return events.DynamoDBEventResponse{}, err
	}
	b := readBatch(records)
	messages := pack(b, h.maxSize)
	began := time.Now()
	failure := h.announce(ctx, messages)
	from := firstUndone(messages)

	b.count(messages, failure)
	h.add(b.stats)
	h.log(ctx, b, outcome{messages, began, time.Now(), failure, from})
	if failure == nil {
		return events.DynamoDBEventResponse{}, nil
	}
	if !isSequence(from) {
		// Lambda redelivers the whole batch both for an unknown record and for an error. An error is also counted in
		// the function's metric Errors
		// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html).
		return events.DynamoDBEventResponse{}, failure
	}
	return events.DynamoDBEventResponse{
		BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: from}},
	}, nil
}
