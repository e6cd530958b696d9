package streamhandler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

// prefixes returns one record for each of n prefixes, named from p0 on.
func prefixes(n int) (records []events.DynamoDBEventRecord) {
	for i := range n {
		records = append(records, rose(fmt.Sprint(i+1), fmt.Sprintf("p%d:features", i), "x", 2))
	}
	return records
}

func throttled() error {
	return &smithy.GenericAPIError{Code: "Throttled", Message: "Rate exceeded", Fault: smithy.FaultClient}
}

// only fails the calls with these numbers with err.
func only(err error, numbers ...int) func(int) error {
	return func(n int) error {
		for _, number := range numbers {
			if n == number {
				return err
			}
		}
		return nil
	}
}

func TestSeveralMessagesInACall(t *testing.T) {
	tooLong := &smithy.GenericAPIError{Code: "BatchRequestTooLong"}
	tests := []struct {
		name            string
		messages        int
		topic           *batchTopic
		batches, single int // calls
		want            []string
	}{
		{"one", 1, &batchTopic{}, 0, 1, nil},
		{"ten", 10, &batchTopic{}, 1, 0, nil},
		{"eleven", 11, &batchTopic{}, 1, 1, nil},
		{"twenty-five", 25, &batchTopic{}, 3, 0, nil},
		{"failed entries are published one by one", 10, &batchTopic{failEntry: only(errDown, 2, 7)}, 1, 2, nil},
		{"entries without an answer are too", 10,
			&batchTopic{failEntry: only(errDown, 2, 7), omitFailed: true}, 1, 2, nil},
		{"an entry fails twice", 10,
			&batchTopic{failEntry: only(errDown, 2, 7), topic: topic{before: only(errDown, 2)}}, 1, 2, []string{"7"}},
		{"after a failed call there are no single calls", 12, &batchTopic{failBatch: only(throttled(), 1)}, 2, 0,
			[]string{"1"}},
		{"after a refused call there are", 12, &batchTopic{failBatch: only(tooLong, 1)}, 2, 10, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHandler(test.topic)
			response, err := h.Handle(context.Background(), event(t, prefixes(test.messages)...))
			require.NoError(t, err)
			assert.Equal(t, failures(test.want...), response)
			assert.Equal(t, test.batches, test.topic.batches)
			assert.Equal(t, test.single, test.topic.calls)
			assert.Equal(t, len(test.topic.inputs), h.Stats().Messages)
			seen := map[string]bool{}
			for _, m := range test.topic.messages(t) {
				assert.Len(t, m.Changes, 1)
				seen[m.Prefix] = true
			}
			if test.want == nil {
				assert.Len(t, seen, test.messages)
			}
			for _, in := range test.topic.inputs {
				assert.Equal(t, topicARN, *in.TopicArn)
				assert.Contains(t, in.MessageAttributes, "prefix")
			}
		})
	}
}

func TestACallHasAtMostTheSizeOfAMessage(t *testing.T) {
	for _, limit := range []int{32 << 10, 256 << 10} {
		topic := &batchTopic{topic: topic{limit: limit}}
		var records []events.DynamoDBEventRecord
		for i := range 300 {
			namespace, key := fmt.Sprintf("p%d:features", i%30), fmt.Sprint(i, strings.Repeat("x", 900))
			records = append(records, rose(fmt.Sprint(i+1), namespace, key, 2))
		}
		h := newHandler(topic, streamhandler.MaxMessageSize(limit))
		_, err := h.Handle(context.Background(), event(t, records...))
		require.NoError(t, err)
		assert.Len(t, topic.changes(t), 300)
		assert.Len(t, topic.inputs, 30)
		assert.Less(t, topic.batches+topic.calls, 30)
	}
}

// The largest batch of a Lambda event source, 10,000 records of 10,000 flags, makes as few messages as possible.
func TestTheLargestBatch(t *testing.T) {
	topic := &batchTopic{}
	var records []events.DynamoDBEventRecord
	for i := range 10_000 {
		records = append(records, rose(fmt.Sprint(i+1), "production:features", fmt.Sprint("flag-", i), 2))
	}
	h := newHandler(topic)
	response, err := h.Handle(context.Background(), events.DynamoDBEvent{Records: records})
	require.NoError(t, err)
	assert.Equal(t, failures(), response)
	assert.Len(t, topic.changes(t), 10_000)
	assert.Len(t, topic.inputs, h.Stats().Bytes/(250<<10)+1, "as few as fit")
}

// namesPoison reports whether a message has a change of the flag "poison".
func namesPoison(in *sns.PublishInput) bool { return strings.Contains(*in.Message, `"poison"`) }

func TestARefusedMessageIsReplacedByTheEmptyMessage(t *testing.T) {
	batch := []events.DynamoDBEventRecord{
		rose("1", "a:features", "x", 2), rose("2", "b:features", "poison", 2), rose("3", "b:own-kind", "y", 2),
		rose("4", "c:features", "z", 2),
	}
	publishers := map[string]func() (streamhandler.Publisher, *topic){
		"one by one": func() (streamhandler.Publisher, *topic) { p := &topic{}; return p, p },
		"in batches": func() (streamhandler.Publisher, *topic) { p := &batchTopic{}; return p, &p.topic },
	}
	for name, publisher := range publishers {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p, topic := publisher()
			topic.refuse = namesPoison
			var passedOn recorder
			h := newHandler(p, logTo(&log), streamhandler.OnPublished(passedOn.record))
			response, err := h.Handle(context.Background(), event(t, batch...))
			require.NoError(t, err)
			assert.Equal(t, failures(), response, "the shard is not blocked")

			messages := map[string]change.Message{}
			for _, m := range topic.messages(t) {
				messages[m.Prefix] = m
			}
			require.Len(t, messages, 3)
			assert.Empty(t, messages["b"].Changes)
			assert.Len(t, messages["a"].Changes, 1)
			assert.Len(t, messages["c"].Changes, 1)
			assert.True(t, strings.HasSuffix(messages["b"].ID, "-all"))
			assert.ElementsMatch(t, slices.Collect(maps.Values(messages)), passedOn.messages)
			for _, in := range topic.inputs {
				if strings.Contains(*in.Message, `"changes":[]`) {
					assert.Equal(t, "b", *in.MessageAttributes["prefix"].StringValue)
					assert.Equal(t, `["features","own-kind","segments"]`, *in.MessageAttributes["kind"].StringValue,
						"subscriptions that filter by kind receive it")
				}
			}
			stats := h.Stats()
			assert.Equal(t, []int{3, 1, 0}, []int{stats.Messages, stats.Refused, stats.Failures})
			assert.Contains(t, log.String(), `"level":"ERROR"`)
			assert.Contains(t, log.String(), `"Refused":1,`)
			assert.Contains(t, log.String(), `"refusal":"operation error SNS: Publish`)
		})
	}
}

func TestRefusalsOfTheEmptyMessage(t *testing.T) {
	batch := event(t, rose("1", "a:features", "poison", 2), rose("2", "b:features", "x", 2))
	t.Run("the prefix is refused as an attribute", func(t *testing.T) {
		topic := &topic{refuse: func(in *sns.PublishInput) bool {
			return strings.Contains(*in.Message, `"prefix":"a"`) && in.MessageAttributes != nil
		}}
		response, err := newHandler(topic).Handle(context.Background(), batch)
		require.NoError(t, err)
		assert.Equal(t, failures(), response)
		require.Len(t, topic.inputs, 2)
		assert.Empty(t, topic.inputs[0].MessageAttributes)
		assert.Equal(t, "a", topic.messages(t)[0].Prefix)
		assert.Empty(t, topic.messages(t)[0].Changes)
	})
	t.Run("everything is refused: the topic is wrong, not the message", func(t *testing.T) {
		topic := &topic{refuse: func(*sns.PublishInput) bool { return true }}
		h := newHandler(topic)
		response, err := h.Handle(context.Background(), batch)
		require.NoError(t, err)
		assert.Equal(t, failures("1"), response)
		assert.Equal(t, 6, topic.calls)
		assert.Equal(t, 0, h.Stats().Refused)
	})
	t.Run("the empty message is throttled", func(t *testing.T) {
		topic := &topic{refuse: namesPoison, before: only(throttled(), 2)}
		response, err := newHandler(topic).Handle(context.Background(), batch)
		require.NoError(t, err)
		assert.Equal(t, failures("1"), response)
	})
}

func TestOtherErrorsAreRetried(t *testing.T) {
	code := func(code string) error {
		return &smithy.OperationError{Err: &smithy.GenericAPIError{Code: code}}
	}
	for _, err := range []error{
		throttled(), code("InternalError"), code("AuthorizationError"), code("KMSThrottling"), code("KMSAccessDenied"),
		code("KMSDisabled"), code("NotFound"), code("InvalidSecurity"), code("SomethingNew"),
		errors.New("connection reset by peer"), context.DeadlineExceeded,
	} {
		t.Run(err.Error(), func(t *testing.T) {
			topic := &topic{before: only(err, 1)}
			h := newHandler(topic)
			response, handleErr := h.Handle(context.Background(), event(t,
				rose("1", "a:features", "x", 2), rose("2", "b:features", "x", 2)))
			require.NoError(t, handleErr)
			assert.Equal(t, failures("1"), response)
			assert.Equal(t, 2, topic.calls, "one call for each message")
			assert.Zero(t, h.Stats().Refused)
		})
	}
}
