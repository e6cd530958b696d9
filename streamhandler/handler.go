package streamhandler

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Handler announces what a table's stream says. Make one with [New]. It is safe for concurrent use.
//
// It is a lambda.Handler: [Handler.Invoke] takes the event's JSON, and [Handler.Handle] one that is decoded.
type Handler struct {
	settings
	totals totals // has its own lock
}

// New makes a handler that publishes through publisher. [TopicARN] is required. It calls nothing: wrong options are
// reported by the first, and every, [Handler.Handle].
func New(publisher Publisher, options ...Option) *Handler {
	return &Handler{settings: newSettings(publisher, options)}
}

// Invoke is [Handler.Handle] for the JSON of an event, several times as fast: it is what lambda.Start calls. What is
// no event's JSON is an error.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	records, err := decodeEvent(payload)
	if err != nil {
		return nil, err
	}
	response, err := h.handle(ctx, records)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
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
	records := make([]record, len(event.Records))
	for i := range event.Records {
		records[i] = fromEvent(&event.Records[i])
	}
	return h.handle(ctx, records)
}

// handle is what both ways in share. Nothing of a batch outlives it but its counts: Lambda has the memory of what is still to
// be announced, and brings it again.
func (h *Handler) handle(ctx context.Context, records []record) (events.DynamoDBEventResponse, error) {
	if h.err != nil {
		return events.DynamoDBEventResponse{}, h.err
	}
	b := readBatch(records)
	messages := pack(b, h.maxSize)
	began := time.Now()
	failure := h.announce(ctx, messages)
	ended := time.Now()

	b.count(messages, failure)
	h.totals.add(b.stats)
	from := ""
	if failure != nil {
		from = firstUndone(messages)
	}
	h.log(ctx, b, outcome{messages, began, ended, failure, from})
	if failure == nil {
		return events.DynamoDBEventResponse{}, nil
	}
	if !isSequence(from) {
		// A record without a number sorts before all others (compareSequence), and so ends here as well. Lambda takes an empty name for the whole batch, and other names that it does not know too
		// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html); an error
		// says the same, and is counted where people look.
		return events.DynamoDBEventResponse{}, failure
	}
	return events.DynamoDBEventResponse{
		BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: from}},
	}, nil
}
