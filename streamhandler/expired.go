package streamhandler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/emf"
)

// Scanner is what [Expired] needs of a DynamoDB client. [*dynamodb.Client] is one.
type Scanner interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Expired handles the queue to which Lambda reports the records that it gave up, because they expired before they
// could be published. A report has the records' positions, not what was in them, and the stream soon drops them.
// So it publishes, to each prefix that the table knows, that anything may have changed. Make one with [NewExpired].
// It is safe for concurrent use.
//
// It works without the table's stream and remembers nothing: reports that come again are answered again, usually with
// messages of the same IDs. Do not rely on it: the queue may bring them with others.
type Expired struct {
	settings
	table  string
	client Scanner

	mu    sync.Mutex
	stats ExpiredStats // guarded by mu
}

// ExpiredStats counts what an [Expired] did since it was made.
type ExpiredStats struct {
	Reports    int // reports handled, those delivered again included
	Unreadable int // of these, those that are not as Lambda writes them; they are handled all the same
	Failures   int // batches of reports that failed; the queue delivers them again
	Reads      int // requests to the table
	Messages   int // messages published
}

// NewExpired makes a handler that finds prefixes in a flag table, and publishes through publisher. [TopicARN] is
// required. What is wrong is reported by each [Expired.Handle].
func NewExpired(publisher Publisher, table string, client Scanner, options ...Option) *Expired {
	var problems []error
	if table == "" {
		problems = append(problems, errors.New("table: missing: pass the flag table's name"))
	}
	if client == nil {
		problems = append(problems, errors.New("client: nil: pass a DynamoDB client"))
	}
	return &Expired{settings: newSettings(publisher, options, problems...), table: table, client: client}
}

// report is what Lambda sends of records that it gave up.
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

// Handle answers reports that wait together with one message to each prefix, in which nothing but the prefix is said.
// A message that is no report is answered in the same way: what it wanted to say may have been worth it. When
// anything fails, all of them fail and come again. The only error is about wrong options.
func (e *Expired) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	if e.err != nil || len(event.Records) == 0 {
		return events.SQSEventResponse{}, e.err
	}
	stats := ExpiredStats{Reports: len(event.Records)}
	var reports []report
	id := sha256.New() // the same reports together make messages of the same IDs
	for _, record := range event.Records {
		var r report
		if json.Unmarshal([]byte(record.Body), &r) != nil || r.Batch.Shard == "" {
			stats.Unreadable++
		} else {
			reports = append(reports, r)
		}
		id.Write([]byte(record.Body))
	}
	messages, failure := e.messages(ctx, hex.EncodeToString(id.Sum(nil)[:16]), &stats)
	began := time.Now()
	if failure == nil {
		failure = e.announce(ctx, messages)
	}
	for _, m := range messages {
		if m.published {
			stats.Messages++
		}
	}
	if failure != nil {
		stats.Failures++
	}
	e.add(stats)
	e.log(ctx, reports, stats, outcome{messages: messages, began: began, ended: time.Now(), failure: failure})

	var response events.SQSEventResponse
	for _, record := range event.Records {
		if failure != nil {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return response, nil
}

// messages makes the empty message for each prefix in the table. It reads the table within the time for publishing, so that
// some is left for announce. A kind whose rows are all gone is not found; LaunchDarkly's own are always named.
func (e *Expired) messages(ctx context.Context, id string, stats *ExpiredStats) ([]*message, error) {
	ctx, _, cancel := budget(ctx)
	defer cancel()
	namespaces, err := e.namespaces(ctx, stats)
	if err != nil {
		return nil, fmt.Errorf("find prefixes in table %q: %w", e.table, err)
	}
	// A prefix is known by any of its rows, those without flags ($inited, $sync) included: an environment whose flags
	// were all removed is told too.
	var prefixes []string // in the order in which they were found
	kinds := map[string][]string{}
	for _, namespace := range namespaces {
		prefix, kind, ok := splitNamespace(namespace)
		if !ok || !sendable(namespace) { // which no consumer can be told of either
			continue
		}
		if _, known := kinds[prefix]; !known {
			prefixes = append(prefixes, prefix)
			kinds[prefix] = nil
		}
		if kind[0] != '$' && !strings.HasPrefix(kind, bigSegments) {
			kinds[prefix] = append(kinds[prefix], kind)
		}
	}
	now := time.Now().UTC().Round(0)
	messages := make([]*message, len(prefixes))
	for i, prefix := range prefixes {
		messages[i] = newEmptyMessage(messageID(id, prefix, nil), prefix, kinds[prefix], now)
	}
	return messages, nil
}

// lastKey sorts after every key that a row has: 1,024 bytes, which is the most, of the highest character.
var lastKey = strings.Repeat("\U0010FFFF", 256)

// namespaces lists the table's partition keys. A scan returns each partition's rows together, so it reads one row and
// goes on behind the partition's last possible one: a read for each namespace, however many flags or members of big
// segments there are.
// https://aws.amazon.com/blogs/database/generate-a-distinct-set-of-partition-keys-for-an-amazon-dynamodb-table-efficiently/
func (e *Expired) namespaces(ctx context.Context, stats *ExpiredStats) ([]string, error) {
	in := &dynamodb.ScanInput{
		TableName: aws.String(e.table), Limit: aws.Int32(1), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#n"), ExpressionAttributeNames: map[string]string{"#n": attrNamespace},
	}
	var found []string
	for {
		stats.Reads++
		out, err := e.client.Scan(ctx, in)
		if err != nil {
			return nil, err
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
		for _, row := range out.Items {
			namespace, ok := row[attrNamespace].(*types.AttributeValueMemberS)
			if !ok {
				return nil, errors.New("it is no flag table: its rows have no namespace")
			}
			if slices.Contains(found, namespace.Value) {
				continue // a database that did not go behind the partition: row by row, then
			}
			found = append(found, namespace.Value)
			in.ExclusiveStartKey = map[string]types.AttributeValue{
				attrNamespace: namespace, attrKey: &types.AttributeValueMemberS{Value: lastKey},
			}
		}
		if len(in.ExclusiveStartKey) == 0 {
			return found, nil
		}
	}
}

// Stats returns the counts so far.
func (e *Expired) Stats() ExpiredStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// add adds one batch of reports to the counts.
func (e *Expired) add(s ExpiredStats) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Reports += s.Reports
	e.stats.Unreadable += s.Unreadable
	e.stats.Failures += s.Failures
	e.stats.Reads += s.Reads
	e.stats.Messages += s.Messages
}

// log writes one line. It is an error even when all went well: consumers heard most of a day late of what changed. The
// positions in it are for people: soon nothing can be read there any more.
func (e *Expired) log(ctx context.Context, reports []report, s ExpiredStats, o outcome) {
	records := 0
	var lost []string // the first few
	for _, r := range reports {
		records += r.Batch.Records
		if b := r.Batch; len(lost) < keptStrays {
			lost = append(lost, fmt.Sprintf("%s: %s to %s: %s", b.Shard, b.From, b.To, r.RequestContext.Condition))
		}
	}
	attrs := emf.Attrs(o.ended, emf.Function(), []emf.Metric{
		emf.Count("ExpiredReports", s.Reports), emf.Count("ExpiredRecords", records), emf.Count("UnreadableReports", s.Unreadable),
		emf.Count("TableReads", s.Reads), emf.Count("Prefixes", len(o.messages)), emf.Count("Messages", s.Messages), emf.Count("Failures", s.Failures),
		emf.Milliseconds("PublishLatency", o.ended.Sub(o.began)),
	})
	attrs = append(attrs, slog.Any("positions", lost))
	line := "records expired unpublished: invalidated everything"
	if err := refusalOf(o.messages); err != nil {
		attrs = append(attrs, slog.String("refusal", err.Error()))
	}
	if o.failure != nil {
		line = "records expired unpublished, and not all consumers were told: it is tried again"
		attrs = append(attrs, slog.String("error", o.failure.Error()))
	}
	emf.Log(ctx, e.logger, slog.LevelError, line, attrs...)
}
