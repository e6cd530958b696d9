package streamhandler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

const (
	topicARN  = "arn:aws:sns:eu-west-1:123456789012:flags"
	streamARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/flags/stream/2026-01-01T00:00:00.000"
)

var recordTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// topic is a publisher that keeps what it is given. It refuses what SNS refuses.
type topic struct {
	mu     sync.Mutex
	inputs []*sns.PublishInput // guarded by mu
	calls  int                 // guarded by mu; those that failed included
	limit  int                 // bytes, attributes included; 0: 256 KiB
	before func(call int) error
}

func (p *topic) Publish(ctx context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.before != nil {
		if err := p.before(p.calls); err != nil {
			return nil, err
		}
	}
	size := len(*in.Message)
	for name, value := range in.MessageAttributes {
		if *value.StringValue == "" {
			return nil, errors.New("InvalidParameterValue: empty attribute")
		}
		size += len(name) + len(*value.DataType) + len(*value.StringValue)
	}
	if limit := max(p.limit, 32<<10); size > limit && (p.limit > 0 || size > 256<<10) {
		return nil, errors.New("InvalidParameter: message too long")
	}
	p.inputs = append(p.inputs, in)
	return &sns.PublishOutput{}, ctx.Err()
}

func (p *topic) messages(t testing.TB) []change.Message {
	t.Helper()
	var all []change.Message
	for _, in := range p.inputs {
		m, err := change.Parse([]byte(*in.Message))
		require.NoError(t, err)
		all = append(all, m)
	}
	return all
}

func (p *topic) changes(t testing.TB) []change.Change {
	t.Helper()
	var all []change.Change
	for _, m := range p.messages(t) {
		all = append(all, m.Changes...)
	}
	return all
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

// record is what the stream says of a change from before to after, either of which may be nil.
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

// event goes through JSON, as Lambda's do.
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
		response.BatchItemFailures = append(response.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: id})
	}
	return response
}

// logTo returns an option that logs JSON lines to the buffer.
func logTo(b *bytes.Buffer) streamhandler.Option {
	return streamhandler.Logger(slog.New(slog.NewJSONHandler(b, nil)))
}
