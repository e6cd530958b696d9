package streamhandler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/schema"
	"github.com/warmflags/warmflags/streamhandler"
)

const (
	topicARN  = "arn:aws:sns:eu-west-1:123456789012:flags"
	streamARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/flags/stream/2026-01-01T00:00:00.000"
)

var recordTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// topic is a publisher that keeps its inputs. It refuses what SNS refuses, and messages that do not match the schema.
type topic struct {
	mu     sync.Mutex
	inputs []*sns.PublishInput // guarded by mu
	calls  int                 // guarded by mu; includes failed calls
	limit  int                 // bytes, attributes included; 0: 256 KiB
	before func(call int) error
	refuse func(*sns.PublishInput) bool
}

var errRefused = &smithy.OperationError{ServiceID: "SNS", OperationName: "Publish",
	Err: &types.InvalidParameterException{
		Message: aws.String("Invalid parameter: something"),
	}}

func (p *topic) Publish(
	ctx context.Context, in *sns.PublishInput, _ ...func(*sns.Options),
) (*sns.PublishOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.before != nil {
		if err := p.before(p.calls); err != nil {
			return nil, err
		}
	}
	return &sns.PublishOutput{}, p.acceptLocked(ctx, in)
}

func (p *topic) acceptLocked(ctx context.Context, in *sns.PublishInput) error {
	for _, value := range in.MessageAttributes {
		if *value.StringValue == "" {
			return errors.New("empty attribute")
		}
	}
	if n := sizeOf(in.Message, in.MessageAttributes); n > p.maxSize() {
		return fmt.Errorf("message too long: %d bytes", n)
	}
	if p.refuse != nil && p.refuse(in) {
		return errRefused
	}
	if err := schema.Check(*in.Message); err != nil {
		return err
	}
	p.inputs = append(p.inputs, in)
	return ctx.Err()
}

func (p *topic) maxSize() int {
	if p.limit > 0 {
		return p.limit
	}
	return 256 << 10
}

// sizeOf returns a message's size as SNS counts it.
func sizeOf(body *string, attributes map[string]types.MessageAttributeValue) int {
	n := len(*body)
	for name, value := range attributes {
		n += len(name) + len(*value.DataType) + len(*value.StringValue)
	}
	return n
}

// batchTopic is a topic with PublishBatch. Single entries can fail; failEntry gets their numbers, counted over all
// calls.
type batchTopic struct {
	topic
	batches    int // calls of PublishBatch
	entries    int
	failEntry  func(entry int) error
	failBatch  func(call int) error
	omitFailed bool // omit failed entries from the answer
}

func (p *batchTopic) PublishBatch(
	ctx context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options),
) (*sns.PublishBatchOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches++
	if p.failBatch != nil {
		if err := p.failBatch(p.batches); err != nil {
			return nil, err
		}
	}
	total, ids := 0, map[string]bool{}
	for _, e := range in.PublishBatchRequestEntries {
		total += sizeOf(e.Message, e.MessageAttributes)
		ids[*e.Id] = true
	}
	if n := len(in.PublishBatchRequestEntries); n < 1 || n > 10 || len(ids) != n || total > p.maxSize() {
		return nil, fmt.Errorf("wrong batch: %d entries, %d names, %d bytes", n, len(ids), total)
	}
	out := &sns.PublishBatchOutput{}
	for _, e := range in.PublishBatchRequestEntries {
		p.entries++
		var err error
		if p.failEntry != nil {
			err = p.failEntry(p.entries)
		}
		if err == nil {
			err = p.acceptLocked(ctx, &sns.PublishInput{TopicArn: in.TopicArn, Message: e.Message,
				MessageAttributes: e.MessageAttributes})
		}
		switch {
		case err == nil:
			out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
		case !p.omitFailed:
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
		}
	}
	return out, nil
}

func (p *topic) messages(t rapid.TB) []change.Message {
	t.Helper()
	var all []change.Message
	for _, in := range p.inputs {
		m, err := change.Parse([]byte(*in.Message))
		require.NoError(t, err)
		all = append(all, m)
	}
	return all
}

func (p *topic) changes(t rapid.TB) []change.Change {
	t.Helper()
	var all []change.Change
	for _, m := range p.messages(t) {
		all = append(all, m.Changes...)
	}
	return all
}

// recorder keeps the messages that OnPublished gets. It is called concurrently.
type recorder struct {
	mu       sync.Mutex // guards messages
	messages []change.Message
}

func (r *recorder) record(_ context.Context, published []change.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, published...)
	return nil
}

func newHandler(p streamhandler.Publisher, options ...streamhandler.Option) *streamhandler.Handler {
	options = append([]streamhandler.Option{
		streamhandler.TopicARN(topicARN), streamhandler.Logger(slog.New(slog.DiscardHandler)),
	}, options...)
	return streamhandler.New(p, options...)
}

type image = map[string]events.DynamoDBAttributeValue

func keys(namespace, key string) image {
	return image{"namespace": events.NewStringAttribute(namespace), "key": events.NewStringAttribute(key)}
}

// flag is a row as LaunchDarkly's SDKs write it.
func flag(namespace, key, version string) image {
	row := keys(namespace, key)
	row["version"] = events.NewNumberAttribute(version)
	row["item"] = events.NewStringAttribute(`{"key":"` + key + `","version":` + version + `,"on":true,"deleted":false}`)
	return row
}

func with(row image, name string, value events.DynamoDBAttributeValue) image {
	row[name] = value
	return row
}

func without(row image, name string) image {
	delete(row, name)
	return row
}

// record returns the stream's record of a change from before to after. Either of them may be nil.
func record(sequence, namespace, key string, before, after image) events.DynamoDBEventRecord {
	name := events.DynamoDBOperationTypeModify
	switch {
	case before == nil:
		name = events.DynamoDBOperationTypeInsert
	case after == nil:
		name = events.DynamoDBOperationTypeRemove
	}
	return events.DynamoDBEventRecord{
		EventName: string(name), EventSource: "aws:dynamodb", EventSourceArn: streamARN,
		Change: events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: events.SecondsEpochTime{Time: recordTime},
			Keys:                        keys(namespace, key), OldImage: before, NewImage: after,
			SequenceNumber: sequence, StreamViewType: "NEW_AND_OLD_IMAGES",
		},
	}
}

// event returns an event that was encoded and decoded as JSON, as Lambda's events are.
func event(t testing.TB, records ...events.DynamoDBEventRecord) events.DynamoDBEvent {
	t.Helper()
	encoded, err := json.Marshal(events.DynamoDBEvent{Records: records})
	require.NoError(t, err)
	var decoded events.DynamoDBEvent
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	return decoded
}

func failures(ids ...string) events.DynamoDBEventResponse {
	var response events.DynamoDBEventResponse
	for _, id := range ids {
		failure := events.DynamoDBBatchItemFailure{ItemIdentifier: id}
		response.BatchItemFailures = append(response.BatchItemFailures, failure)
	}
	return response
}

// logTo returns an option that logs JSON lines to the buffer.
func logTo(b *bytes.Buffer) streamhandler.Option {
	return streamhandler.Logger(slog.New(slog.NewJSONHandler(b, nil)))
}

func sorted(names []string) []string { slices.Sort(names); return names }
