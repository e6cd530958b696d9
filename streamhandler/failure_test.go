package streamhandler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/streamhandler"
)

func newFailureHandler(p streamhandler.Publisher, client streamhandler.Scanner,
	options ...streamhandler.Option) *streamhandler.FailureHandler {
	options = append([]streamhandler.Option{
		streamhandler.TopicARN(topicARN), streamhandler.Logger(slog.New(slog.DiscardHandler)),
	}, options...)
	return streamhandler.NewFailureHandler(p, "flags", client, options...)
}

// reports returns an event with n of Lambda's reports.
func reports(t *testing.T, n int) (event events.SQSEvent) {
	t.Helper()
	for i := range n {
		var failure localaws.StreamFailure
		failure.RequestContext.Condition = "RecordAgeExpired"
		failure.Batch = localaws.StreamFailedBatch{ShardID: fmt.Sprint("shard-", i), StartSequenceNumber: "7",
			EndSequenceNumber: "9", BatchSize: 3}
		body, err := json.Marshal(failure)
		require.NoError(t, err)
		event.Records = append(event.Records, events.SQSMessage{MessageId: fmt.Sprint("m", i), Body: string(body)})
	}
	return event
}

// fullTable returns a table with three prefixes. One of them has only markers, another has users of big segments.
func fullTable(t *testing.T) *localaws.Cloud {
	cloud := localaws.New()
	t.Cleanup(cloud.Close)
	cloud.CreateFlagTable("flags")
	for i := range 30 {
		put(t, cloud, "features", fmt.Sprint("flag-", i), 1)
		put(t, cloud, "eu:prod:features", fmt.Sprint("flag-", i), 1)
		put(t, cloud, "eu:prod:segments", fmt.Sprint("segment-", i), 1)
		put(t, cloud, "eu:prod:own-kind", fmt.Sprint("thing-", i), 1)
		put(t, cloud, "eu:prod:big_segments_user", fmt.Sprint("user-", i), 0)
	}
	put(t, cloud, "eu:prod:$inited", "eu:prod:$inited", 0)
	put(t, cloud, "stage:$inited", "stage:$inited", 0)
	put(t, cloud, "stage:$sync", "stage:$sync", 0)
	put(t, cloud, ":malformed", "x", 1)
	return cloud
}

const fullTableNamespaces = 9

// linesOf returns the lines of a log.
func linesOf(t *testing.T, log *bytes.Buffer) (lines []map[string]any) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(log.Bytes())); d.More(); {
		var line map[string]any
		require.NoError(t, d.Decode(&line))
		lines = append(lines, line)
	}
	return lines
}

func TestFailureHandlerPublishesToEveryPrefix(t *testing.T) {
	cloud := fullTable(t)
	var log bytes.Buffer
	topic := &batchTopic{}
	var passedOn recorder
	e := newFailureHandler(topic, cloud.DynamoDB, logTo(&log), streamhandler.OnPublished(passedOn.record))
	response, err := e.Handle(context.Background(), reports(t, 3))
	require.NoError(t, err)
	assert.Empty(t, response.BatchItemFailures)

	messages := topic.messages(t)
	kinds := map[string]string{}
	for i, m := range messages {
		assert.Empty(t, m.Changes)
		assert.NotEmpty(t, m.ID)
		kinds[m.Prefix] = *topic.inputs[i].MessageAttributes["kind"].StringValue
	}
	require.Len(t, messages, 3)
	assert.Len(t, kinds, 3)
	for _, kind := range []string{"features", "segments", "own-kind"} {
		assert.Contains(t, kinds["eu:prod"], kind)
	}
	assert.Equal(t, `["features","segments"]`, kinds["stage"])
	assert.ElementsMatch(t, messages, passedOn.messages)
	assert.Equal(t, fullTableNamespaces+1, cloud.Calls("Scan"), "one read for each namespace, and one at the end")

	require.Len(t, linesOf(t, &log), 1)
	line := linesOf(t, &log)[0]
	assert.NotContains(t, line, "_aws", "no metric, because nothing reads one")
	assert.Equal(t, "ERROR", line["level"])
	assert.Equal(t, []any{3.0, 9.0, 3.0, 3.0, 0.0, 0.0, fullTableNamespaces + 1.0}, []any{
		line["ExpiredReports"], line["ExpiredRecords"], line["Prefixes"], line["Messages"], line["UnreadableReports"],
		line["Failures"], line["TableReads"],
	})
	assert.Contains(t, log.String(), "shard-1: 7 to 9: RecordAgeExpired")

	t.Run("again, with the same IDs", func(t *testing.T) {
		_, err := e.Handle(context.Background(), reports(t, 3))
		require.NoError(t, err)
		assert.Equal(t, messages[0].ID, topic.messages(t)[3].ID)
		_, err = e.Handle(context.Background(), reports(t, 2))
		require.NoError(t, err)
		assert.NotEqual(t, messages[0].ID, topic.messages(t)[6].ID)
	})
	t.Run("a message that is not a report", func(t *testing.T) {
		before := len(topic.inputs)
		_, err := e.Handle(context.Background(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "x",
			Body: "something was lost"}, {Body: "{}"}}})
		require.NoError(t, err)
		assert.Len(t, topic.inputs, before+3)
		lines := linesOf(t, &log)
		assert.InDelta(t, 2, lines[len(lines)-1]["UnreadableReports"], 0)
	})
	t.Run("no reports, no messages", func(t *testing.T) {
		before := len(topic.inputs)
		_, err := e.Handle(context.Background(), events.SQSEvent{})
		require.NoError(t, err)
		assert.Len(t, topic.inputs, before)
	})
}

func TestFailureHandlerFailsAsAWhole(t *testing.T) {
	all := []events.SQSBatchItemFailure{{ItemIdentifier: "m0"}, {ItemIdentifier: "m1"}}
	handle := func(t *testing.T, e *streamhandler.FailureHandler) {
		response, err := e.Handle(context.Background(), reports(t, 2))
		require.NoError(t, err)
		assert.Equal(t, all, response.BatchItemFailures)
	}
	t.Run("the table cannot be read", func(t *testing.T) {
		cloud := fullTable(t)
		cloud.Intercept(func(context.Context, string, any) error { return errDown })
		handle(t, newFailureHandler(&topic{}, cloud.DynamoDB))
	})
	t.Run("one message cannot be published", func(t *testing.T) {
		topic := &topic{before: failOn(2)}
		handle(t, newFailureHandler(topic, fullTable(t).DynamoDB))
		assert.Len(t, topic.inputs, 2, "the other messages are published")
	})
	t.Run("OnPublished fails", func(t *testing.T) {
		fails := streamhandler.OnPublished(func(context.Context, []change.Message) error { return errDown })
		handle(t, newFailureHandler(&topic{}, fullTable(t).DynamoDB, fails))
	})
	t.Run("wrong options", func(t *testing.T) {
		_, err := streamhandler.NewFailureHandler(nil, "", nil).Handle(context.Background(), events.SQSEvent{})
		for _, part := range []string{"publisher: nil", "table: missing", "client: nil", "TopicARN: missing"} {
			assert.ErrorContains(t, err, part)
		}
	})
	t.Run("another kind of table", func(t *testing.T) {
		var log bytes.Buffer
		e := newFailureHandler(&topic{}, scan(func(*dynamodb.ScanInput) *dynamodb.ScanOutput {
			row := map[string]types.AttributeValue{"id": &types.AttributeValueMemberN{Value: "1"}}
			return &dynamodb.ScanOutput{Items: []map[string]types.AttributeValue{row}}
		}), logTo(&log))
		handle(t, e)
		assert.Contains(t, log.String(), "not a flag table")
	})
}

type scan func(*dynamodb.ScanInput) *dynamodb.ScanOutput

func (s scan) Scan(
	_ context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options),
) (*dynamodb.ScanOutput, error) {
	return s(in), nil
}

// Some databases accept a start key only if the row exists, and otherwise start again. They are read to their end too.
func TestFailureHandlerEndsOnADatabaseThatCannotSkip(t *testing.T) {
	topic, rows := &topic{}, []string{"a:features", "a:features", "a:features", "b:features"}
	e := newFailureHandler(topic, scan(func(in *dynamodb.ScanInput) *dynamodb.ScanOutput {
		at := 0
		if n, ok := in.ExclusiveStartKey["row"].(*types.AttributeValueMemberN); ok {
			_, _ = fmt.Sscan(n.Value, &at)
		}
		if at == len(rows) {
			return &dynamodb.ScanOutput{}
		}
		row := map[string]types.AttributeValue{"namespace": &types.AttributeValueMemberS{Value: rows[at]}}
		next := &types.AttributeValueMemberN{Value: fmt.Sprint(at + 1)}
		return &dynamodb.ScanOutput{
			Items:            []map[string]types.AttributeValue{row},
			LastEvaluatedKey: map[string]types.AttributeValue{"row": next},
		}
	}))
	response, err := e.Handle(context.Background(), reports(t, 1))
	require.NoError(t, err)
	assert.Empty(t, response.BatchItemFailures)
	assert.Len(t, topic.inputs, 2)
}

// A topic is down for longer than a stream keeps its records. For the records that expire, each prefix gets the empty
// message.
func TestRecordsThatExpireAreAnnouncedAsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := localaws.New()
		defer cloud.Close()
		stream := cloud.CreateFlagTable("flags")
		quiet := slog.New(slog.DiscardHandler)
		queue, err := cloud.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("failures")})
		require.NoError(t, err)
		down := time.Now().Add(30 * time.Hour)
		topic := &topic{before: func(int) error {
			if time.Now().Before(down) {
				return errDown
			}
			return nil
		}}
		put(t, cloud, "prod:features", "a", 1)
		put(t, cloud, "stage:features", "b", 1)

		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Hour)
		defer cancel()
		mapping := localaws.StreamMapping{
			Streams: cloud.Streams, StreamARN: stream, Handler: newHandler(topic).Handle, Logger: quiet,
			Poll: time.Minute,
			OnFailure: func(ctx context.Context, failure localaws.StreamFailure) {
				body, err := json.Marshal(failure)
				require.NoError(t, err)
				_, err = cloud.SQS.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl,
					MessageBody: aws.String(string(body))})
				require.NoError(t, err)
			},
		}
		var log bytes.Buffer
		expired := newFailureHandler(topic, cloud.DynamoDB, logTo(&log))
		consumer := localaws.QueueMapping{
			SQS: cloud.SQS, QueueURL: *queue.QueueUrl, Handler: expired.Handle, Logger: quiet,
		}
		ended := make(chan error, 2)
		go func() { ended <- mapping.Run(ctx) }()
		go func() { ended <- consumer.Run(ctx) }()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)

		everything := map[string]bool{}
		for _, m := range topic.messages(t) {
			assert.Empty(t, m.Changes)
			everything[m.Prefix] = true
		}
		assert.Equal(t, map[string]bool{"prod": true, "stage": true}, everything)
		lines := linesOf(t, &log)
		assert.Greater(t, len(lines), 1, "the reports had to be retried")
		for _, line := range lines {
			assert.Zero(t, line["UnreadableReports"])
		}
	})
}
