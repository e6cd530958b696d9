package streamhandler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

var errDown = errors.New("topic is down")

// failOn fails the calls with these numbers, counted from 1.
func failOn(calls ...int) func(int) error {
	return func(call int) error {
		for _, c := range calls {
			if c == call {
				return errDown
			}
		}
		return nil
	}
}

func rose(sequence, namespace, key string, to int) events.DynamoDBEventRecord {
	before, after := flag(namespace, key, fmt.Sprint(to-1)), flag(namespace, key, fmt.Sprint(to))
	return record(sequence, namespace, key, before, after)
}

func TestOneMessageForEachPrefix(t *testing.T) {
	topic := &topic{}
	h := newHandler(topic)
	response, err := h.Handle(context.Background(), event(t,
		rose("1", "prod:features", "a", 2), rose("2", "stage:features", "a", 9), rose("3", "features", "a", 4),
		rose("4", "prod:segments", "a", 3), rose("5", "prod:features", "a", 3),
	))
	require.NoError(t, err)
	assert.Equal(t, failures(), response)
	messages := topic.messages(t)
	require.Len(t, messages, 3)
	assert.Equal(t, "prod", messages[0].Prefix)
	assert.Equal(t, []change.Change{
		{Kind: "features", Key: "a", Version: 3, Time: recordTime}, {Kind: "segments", Key: "a", Version: 3,
			Time: recordTime},
	}, messages[0].Changes)
	assert.Equal(t, "stage", messages[1].Prefix)
	assert.Equal(t, 9, messages[1].Changes[0].Version)
	assert.Empty(t, messages[2].Prefix)
	assert.Equal(t, `["features","segments"]`, *topic.inputs[0].MessageAttributes["kind"].StringValue)
	assert.Equal(t, topicARN, *topic.inputs[0].TopicArn)
	assert.False(t, messages[0].Time.IsZero())

	stats := h.Stats()
	assert.Positive(t, stats.Bytes)
	stats.Bytes = 0
	assert.Equal(t, streamhandler.Stats{Batches: 1, Records: 5, Changes: 4, Coalesced: 1, Messages: 3}, stats)
}

func TestOnlyPublishedChangesCountAsUnknown(t *testing.T) {
	topic := &topic{before: failOn(1)}
	h := newHandler(topic)
	removed := event(t, record("1", "features", "a", flag("features", "a", "1"), nil))
	response, err := h.Handle(context.Background(), removed)
	require.NoError(t, err)
	assert.Equal(t, failures("1"), response)
	assert.Zero(t, h.Stats().Unknown)
	_, err = h.Handle(context.Background(), removed)
	require.NoError(t, err)
	assert.Equal(t, 1, h.Stats().Unknown)
}

func TestABatchWithoutChangesPublishesNothing(t *testing.T) {
	topic := &topic{}
	appended := 0
	h := newHandler(topic, streamhandler.OnPublished(func(context.Context, []change.Message) error {
		appended++
		return nil
	}))
	marker := record("1", "$inited", "$inited", nil, keys("$inited", "$inited"))
	response, err := h.Handle(context.Background(), event(t, marker))
	require.NoError(t, err)
	assert.Equal(t, failures(), response)
	assert.Zero(t, topic.calls)
	assert.Zero(t, appended)
	encoded, err := json.Marshal(response)
	require.NoError(t, err)
	assert.JSONEq(t, `{"batchItemFailures":null}`, string(encoded), "for Lambda, null means complete success")
}

func TestAnswerNamesTheLowestUnpublishedRecord(t *testing.T) {
	const long = "1234567890123456789012345678901234567890" // 40 digits
	batch := []events.DynamoDBEventRecord{
		rose("98", "a:features", "x", 2), rose("99", "b:features", "x", 2), rose("100", "a:features", "y", 2),
		rose("101", "c:features", "x", 2), rose("102", "b:features", "x", 3), rose(long, "d:features", "x", 2),
	}
	tests := []struct {
		name string
		fail []int // of the messages a, b, c, d
		want []string
	}{
		{"none", nil, nil},
		{"all", []int{1, 2, 3, 4}, []string{"98"}},
		{"the first", []int{1}, []string{"98"}},
		{"a coalesced item's first record counts, not its last", []int{2, 3}, []string{"99"}},
		{"in the middle", []int{3}, []string{"101"}},
		{"the last, longer than an int64", []int{4}, []string{long}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			topic := &topic{before: failOn(test.fail...)}
			response, err := newHandler(topic).Handle(context.Background(), event(t, batch...))
			require.NoError(t, err)
			assert.Equal(t, failures(test.want...), response)
			assert.Equal(t, 4, topic.calls, "a failed prefix does not stop the others")
		})
	}
	t.Run("numbers are compared as numbers", func(t *testing.T) {
		for _, pair := range [][2]string{{"9", "10"}, {"999", long}, {"5", "0010"}, {long, "9" + long[1:]}} {
			// The higher number comes first in the batch, so only a comparison finds the lower one.
			records := []events.DynamoDBEventRecord{
				rose(pair[1], "a:features", "x", 2), rose(pair[0], "b:features", "x", 2),
			}
			response, err := newHandler(&topic{before: failOn(1, 2)}).Handle(context.Background(), event(t, records...))
			require.NoError(t, err)
			assert.Equal(t, failures(pair[0]), response)
		}
	})
	t.Run("without a valid sequence number, the whole batch fails", func(t *testing.T) {
		for _, bad := range []string{"", "x1", "-1", "1.5"} {
			records := []events.DynamoDBEventRecord{rose("7", "a:features", "x", 2), rose(bad, "b:features", "x", 2)}
			_, err := newHandler(&topic{before: failOn(1, 2)}).Handle(context.Background(), event(t, records...))
			assert.ErrorIs(t, err, errDown, bad)
		}
	})
}

func TestRetriedBatchKeepsItsIDs(t *testing.T) {
	topic := &topic{}
	h := newHandler(topic)
	batch := event(t, rose("1", "a:features", "x", 2), rose("2", "b:features", "x", 2))
	other := event(t, rose("3", "a:features", "x", 3))
	for _, e := range []events.DynamoDBEvent{batch, batch, other} {
		_, err := h.Handle(context.Background(), e)
		require.NoError(t, err)
	}
	m := topic.messages(t)
	require.Len(t, m, 5)
	assert.Equal(t, m[0].ID, m[2].ID)
	assert.Equal(t, m[1].ID, m[3].ID)
	ids := map[string]bool{m[0].ID: true, m[1].ID: true, m[4].ID: true}
	assert.Len(t, ids, 3)
}

func TestSplitsAtTheSizeLimit(t *testing.T) {
	for _, limit := range []int{32 << 10, 256 << 10} {
		for _, prefix := range []string{"", "p:"} {
			var records []events.DynamoDBEventRecord
			for i := range 1200 {
				namespace := prefix + "features"
				if i%100 == 99 {
					namespace = fmt.Sprint(prefix, "kind", i)
				}
				key := fmt.Sprintf("%04d%s", i, strings.Repeat("<", i%700))
				records = append(records, rose(fmt.Sprint(i+1), namespace, key, 2))
			}
			topic := &topic{limit: limit}
			response, err := newHandler(topic, streamhandler.MaxMessageSize(limit)).Handle(context.Background(),
				events.DynamoDBEvent{Records: records})
			require.NoError(t, err)
			assert.Equal(t, failures(), response)
			messages := topic.messages(t)
			ids := map[string]bool{}
			var got []string
			total := 0
			for i, m := range messages {
				ids[m.ID] = true
				total += len(*topic.inputs[i].Message)
				for _, c := range m.Changes {
					got = append(got, c.Key[:4])
				}
			}
			require.Len(t, got, len(records))
			assert.IsIncreasing(t, got)
			assert.Len(t, ids, len(messages))
			assert.LessOrEqual(t, len(messages), total/(limit-8<<10)+1, "as few as fit")
		}
	}
	t.Run("the largest change fits the smallest limit", func(t *testing.T) {
		for _, namespace := range []string{
			strings.Repeat("<", 2048), strings.Repeat("<", 512) + ":<",
			strings.Repeat("<", 512) + ":" + strings.Repeat("<", 1535),
		} {
			topic := &topic{limit: 32 << 10}
			_, err := newHandler(topic, streamhandler.MaxMessageSize(32<<10)).Handle(context.Background(),
				event(t, rose("1", namespace, strings.Repeat("&", 1024), 2)))
			require.NoError(t, err)
			assert.Len(t, topic.inputs, 1)
		}
	})
}

// slow publishes the first message at once. For the others it waits until the context ends.
type slow struct {
	topic
	ended time.Time
}

func (p *slow) Publish(ctx context.Context, in *sns.PublishInput, o ...func(*sns.Options)) (*sns.PublishOutput, error) {
	if p.calls > 0 {
		p.calls++
		<-ctx.Done()
		p.ended = time.Now()
		return nil, ctx.Err()
	}
	return p.topic.Publish(ctx, in, o...)
}

func TestAnswersBeforeTheDeadline(t *testing.T) {
	for timeout, left := range map[time.Duration]time.Duration{
		30 * time.Second: 2 * time.Second, 4 * time.Second: time.Second,
	} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				defer cancel()
				deadline, _ := ctx.Deadline()
				topic := &slow{}
				appended := 0
				onPublished := func(ctx context.Context, published []change.Message) error {
					require.NoError(t, ctx.Err())
					<-ctx.Done()
					assert.Equal(t, left/4, time.Until(deadline))
					appended += len(published)
					return nil
				}
				h := newHandler(topic, streamhandler.OnPublished(onPublished))
				response, err := h.Handle(ctx, event(t,
					rose("1", "a:features", "x", 2), rose("2", "b:features", "x", 2), rose("3", "c:features", "x", 2)))
				require.NoError(t, err)
				assert.Equal(t, failures("2"), response)
				assert.Equal(t, left, deadline.Sub(topic.ended))
				assert.Equal(t, 2, topic.calls, "no call after the time for publishing")
				assert.Equal(t, 1, appended)
				require.NoError(t, ctx.Err())
			})
		})
	}
}

func TestWrongOptionsAreReportedTogether(t *testing.T) {
	h := streamhandler.New(nil, streamhandler.MaxMessageSize(-1))
	_, err := h.Handle(context.Background(), events.DynamoDBEvent{})
	require.Error(t, err)
	for _, part := range []string{"publisher", "TopicARN: missing", "MaxMessageSize(-1)"} {
		assert.ErrorContains(t, err, part)
	}
	for _, arn := range []string{
		"flags", "arn:aws:sqs:eu-west-1:123456789012:flags", topicARN + ":sub", topicARN + ".fifo",
		"arn:aws:sns:eu-west-1:1:",
	} {
		_, err := streamhandler.New(&topic{}, streamhandler.TopicARN(arn)).Handle(context.Background(),
			events.DynamoDBEvent{})
		assert.ErrorContains(t, err, fmt.Sprintf("TopicARN(%q)", arn))
	}
	for _, size := range []int{0, 32<<10 - 1, 1<<20 + 1} {
		_, err := newHandler(&topic{}, streamhandler.MaxMessageSize(size)).Handle(context.Background(),
			events.DynamoDBEvent{})
		assert.ErrorContains(t, err, "MaxMessageSize")
	}
}

func TestLogsOneLinePerBatchAndNoFlagData(t *testing.T) {
	var log bytes.Buffer
	topic := &topic{before: failOn(2)}
	secret := with(flag("prod:features", "a", "2"), "item", events.NewStringAttribute(`{"variations":["hush"]}`))
	_, err := newHandler(topic, logTo(&log)).Handle(context.Background(), event(t,
		record("1", "prod:features", "a", nil, secret), rose("2", "stage:features", "b", 2),
		record("3", "$sync", "$sync", nil, keys("$sync", "$sync"))))
	require.NoError(t, err)
	var line map[string]any
	require.NoError(t, json.Unmarshal(log.Bytes(), &line), "one line")
	require.Equal(t, []string{
		"Changes", "Failures", "Messages", "NotPassedOn", "Refused",
		"SkippedForeign", "SkippedMalformed", "SkippedNoItem", "SkippedOwn",
	}, metrics(t, line), "only what is read, because CloudWatch charges for each metric")
	for _, name := range []string{"time", "_aws", "MessageBytes", "PublishLatency", "OldestRecordAge"} {
		assert.Contains(t, line, name)
		delete(line, name)
	}
	assert.Equal(t, map[string]any{
		"level": "ERROR", "msg": "stream batch", "Records": 3.0, "Changes": 2.0, "Coalesced": 0.0, "Messages": 1.0,
		"UnknownVersion": 0.0, "SkippedOwn": 1.0, "SkippedNoItem": 0.0, "SkippedForeign": 0.0, "SkippedMalformed": 0.0,
		"Refused": 0.0, "NotPassedOn": 0.0, "Failures": 1.0, "retry_from": "2",
		"error": `publish to "` + topicARN + `": topic is down`,
	}, line)
	assert.NotContains(t, log.String(), "hush")
	assert.NotContains(t, *topic.inputs[0].Message, "hush")
}

// metrics checks that the line has every metric that it declares, and returns their sorted names.
func metrics(t *testing.T, line map[string]any) (names []string) {
	t.Helper()
	var declared struct {
		CloudWatchMetrics []struct {
			Namespace string
			Metrics   []struct{ Name, Unit string }
		}
	}
	encoded, err := json.Marshal(line["_aws"])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(encoded, &declared))
	for _, d := range declared.CloudWatchMetrics {
		assert.Equal(t, "warmflags", d.Namespace)
		for _, m := range d.Metrics {
			assert.IsType(t, 0.0, line[m.Name], m.Name)
			assert.NotEmpty(t, m.Unit)
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestFieldsOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		topic := &topic{before: func(int) error { time.Sleep(1500 * time.Millisecond); return nil }}
		first, second := rose("1", "a:features", "x", 2), rose("2", "b:features", "x", 2)
		first.Change.ApproximateCreationDateTime.Time = time.Now().Add(-2 * time.Second)
		second.Change.ApproximateCreationDateTime.Time = time.Now().Add(-7 * time.Second)
		_, err := newHandler(topic, logTo(&log)).Handle(context.Background(),
			events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{first, second}})
		require.NoError(t, err)
		assert.Contains(t, log.String(), `"PublishLatency":3000,`)
		assert.Contains(t, log.String(), `"OldestRecordAge":10,`)
	})
}
