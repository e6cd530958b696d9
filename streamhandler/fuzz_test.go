package streamhandler_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/streamhandler"
)

// FuzzHandle hands in whatever decodes as an event: nothing panics, every message can be read, every record is
// accounted for, and a failure names a record of the batch or fails it as a whole.
func FuzzHandle(f *testing.F) {
	seed, err := json.Marshal(events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{
		rose("9", "p:features", "a", 2), record("10", "features", "b", flag("features", "b", "1"), nil),
		record("11", "$inited", "$inited", nil, keys("$inited", "$inited")),
	}})
	require.NoError(f, err)
	f.Add(seed, true)
	f.Add(seed, false)
	f.Add([]byte(`{"Records":[{"eventName":"INSERT","dynamodb":{"Keys":{"namespace":{"S":"a:b:c"},"key":{"S":"\u0000"}}}}]}`), false)
	f.Fuzz(func(t *testing.T, input []byte, down bool) {
		var e events.DynamoDBEvent
		if json.Unmarshal(input, &e) != nil {
			return
		}
		topic := &topic{}
		if down {
			topic.before = failOn(1, 3)
		}
		h := newHandler(topic)
		response, err := h.Handle(context.Background(), e)
		stats := h.Stats()
		skipped := stats.Skipped[streamhandler.SkippedOwn] + stats.Skipped[streamhandler.SkippedNoItem] + stats.Skipped[streamhandler.SkippedMalformed]
		assert.Equal(t, len(e.Records), skipped+stats.Coalesced+stats.Changes)
		if !down {
			require.NoError(t, err)
			assert.Empty(t, response.BatchItemFailures)
			assert.Len(t, topic.changes(t), stats.Changes)
		}
		for _, failure := range response.BatchItemFailures {
			assert.GreaterOrEqual(t, indexOf(e.Records, failure.ItemIdentifier), 0)
		}
	})
}
