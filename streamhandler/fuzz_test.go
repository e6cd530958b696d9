package streamhandler_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

// FuzzInvoke invokes the handler with arbitrary payloads. It does not panic, every message matches the schema, every
// record is counted, and events that encoding/json can read are read in the same way.
func FuzzInvoke(f *testing.F) {
	seed, err := json.Marshal(events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{
		rose("9", "p:features", "a", 2), record("10", "features", "b", flag("features", "b", "1"), nil),
		record("11", "$inited", "$inited", nil, keys("$inited", "$inited")),
	}})
	require.NoError(f, err)
	f.Add(seed, true)
	f.Add(seed, false)
	f.Add([]byte(`{"Records":[{"eventName":"INSERT","dynamodb":{"Keys":{"namespace":{"S":"a:b:c"},`+
		`"key":{"S":"\u0000"}}}}]}`), false)
	f.Add([]byte(`{"Records":[{"dynamodb":{"Keys":{"namespace":{"S":"features"},"key":{"S":"a"}},`+
		`"NewImage":{"item":{"S":""},"version":{"N":"1"}}}}]}`), true)
	f.Add([]byte(`{"Records":[{"dynamodb":{"NewImage":{"x":{"BS":[1]},"item":{"S":"{\"deleted\":true}"}},`+
		`"Keys":null}}]} `), false)
	f.Add([]byte(`{"Records":[{"dynamodb":{"ApproximateCreationDateTime":1e15,"Keys":{"namespace":{"S":"features"},`+
		`"key":{"S":"a"}},"NewImage":{"item":null,"version":{"N":"1"}}}}]}`), false)
	f.Fuzz(func(t *testing.T, payload []byte, down bool) {
		if down {
			requireAgreement(t, payload, 1, 3)
		} else {
			requireAgreement(t, payload)
		}
	})
}
