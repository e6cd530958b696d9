package streamhandler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/internal/emf"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// Scanner is the part of [*dynamodb.Client] that a [FailureHandler] needs.
type Scanner interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// FailureHandler handles the queue to which Lambda reports discarded records, which expired before they could be
// published. A report has the positions of the records, not their content, and the stream soon drops the records. So
// the handler publishes the empty message, which means that anything may have changed, for each prefix in the table.
// Create one with [NewFailureHandler]. It is safe for concurrent use.
//
// It does not read the stream and keeps no state: for a redelivered report it publishes again. The same batch of
// reports makes messages with the same IDs, but the queue may redeliver the reports in other batches.
type FailureHandler struct {
	settings
	table  string
	client Scanner
}

// NewFailureHandler returns a handler that finds the prefixes in the flag table and publishes through publisher.
// [TopicARN] is required. Wrong options are reported by each call of [FailureHandler.Handle].
func NewFailureHandler(publisher Publisher, table string, client Scanner, options ...Option) *FailureHandler {
	var problems []error
	if table == "" {
		problems = append(problems, errors.New("table: missing: pass the flag table's name"))
	}
	if client == nil {
		problems = append(problems, errors.New("client: nil: pass a DynamoDB client"))
	}
	return &FailureHandler{settings: newSettings(publisher, options, problems...), table: table, client: client}
}

// report is the message that Lambda sends about discarded records.
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
type report struct {
	RequestContext struct {
		Condition string `json:"condition"`
	} `json:"requestContext"`
	Batch struct {
		Shard   string `json:"shardId"`
		From    string `json:"startSequenceNumber"`
		To      string `json:"endSequenceNumber"`
		Records int    `json:"batchSize"`
	} `json:"DDBStreamBatchInfo"`
}

// Handle publishes one empty message for each prefix, for all reports in the event together. A message that is not a
// report is handled in the same way, because records may be lost. If anything fails, all reports fail and are
// redelivered. Handle returns an error only for wrong options.
func (f *FailureHandler) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	if f.err != nil || len(event.Records) == 0 {
		return events.SQSEventResponse{}, f.err
	}
	reports := make([]report, len(event.Records))
	id := sha256.New()
	for i, record := range event.Records {
		_ = json.Unmarshal([]byte(record.Body), &reports[i]) // a report without a shard is counted as unreadable
		id.Write([]byte(record.Body))
	}
	messages, reads, failure := f.messages(ctx, hex.EncodeToString(id.Sum(nil)[:16]))
	began := time.Now()
	if failure == nil {
		failure = f.announce(ctx, messages)
	}
	f.log(ctx, reports, reads, outcome{messages: messages, began: began, ended: time.Now(), failure: failure})

	if failure == nil {
		return events.SQSEventResponse{}, nil
	}
	failures := make([]events.SQSBatchItemFailure, len(event.Records))
	for i, record := range event.Records {
		failures[i].ItemIdentifier = record.MessageId
	}
	return events.SQSEventResponse{BatchItemFailures: failures}, nil
}

// messages returns the empty message for each prefix in the table, and the number of reads. Its reads must end with the
// time for publishing, so that time is left for announce. It does not find a kind whose rows are all gone, but
// LaunchDarkly's own kinds are always named.
func (f *FailureHandler) messages(ctx context.Context, id string) ([]*message, int, error) {
	ctx, _, cancel := budget(ctx)
	defer cancel()
	namespaces, reads, err := table.Namespaces(ctx, f.client, f.table)
	if err != nil {
		return nil, reads, fmt.Errorf("find prefixes in table %q: %w", f.table, err)
	}
	// Markers ($inited, $sync) make a prefix known too: an environment whose flags were all removed gets a message.
	var prefixes []string // in the order in which they were found
	kinds := map[string][]string{}
	for _, namespace := range namespaces {
		prefix, kind, ok := readNamespace(namespace)
		if !ok {
			continue
		}
		if _, known := kinds[prefix]; !known {
			prefixes = append(prefixes, prefix)
			kinds[prefix] = nil
		}
		if !layout.IsMarker(kind) && !strings.HasPrefix(kind, layout.BigSegments) {
			kinds[prefix] = append(kinds[prefix], kind)
		}
	}
	now := time.Now().UTC().Round(0)
	messages := make([]*message, len(prefixes))
	for i, prefix := range prefixes {
		messages[i] = newEmptyMessage(messageID(id, prefix, nil), prefix, kinds[prefix], now)
	}
	return messages, reads, nil
}

// log writes one line, without metrics: the queue's own metrics drive the alarm and the dashboard. Its level is ERROR
// even on success, because consumers received the changes most of a day late. It names the first few positions of the
// lost records.
func (f *FailureHandler) log(ctx context.Context, reports []report, reads int, o outcome) {
	records, unreadable, published, failures := 0, 0, 0, 0
	var lost []string
	for _, r := range reports {
		b := r.Batch
		records += b.Records
		switch {
		case b.Shard == "":
			unreadable++
		case len(lost) < maxLoggedRecords:
			lost = append(lost, fmt.Sprintf("%s: %s to %s: %s", b.Shard, b.From, b.To, r.RequestContext.Condition))
		}
	}
	for _, m := range o.messages {
		if m.published {
			published++
		}
	}
	line := "records expired unpublished: invalidated everything"
	if o.failure != nil {
		failures = 1
		line = "records expired unpublished, and not every prefix got a message; the reports will be retried"
	}
	attrs := []slog.Attr{
		slog.Int("ExpiredReports", len(reports)), slog.Int("ExpiredRecords", records),
		slog.Int("UnreadableReports", unreadable), slog.Int("TableReads", reads),
		slog.Int("Prefixes", len(o.messages)), slog.Int("Messages", published), slog.Int("Failures", failures),
		o.latency(), slog.Any("positions", lost),
	}
	emf.Log(ctx, f.logger, slog.LevelError, line, append(attrs, o.problems()...)...)
}
