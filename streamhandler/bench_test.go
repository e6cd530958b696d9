package streamhandler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// discard is a publisher that does nothing.
type discard struct{}

func (discard) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return &sns.PublishOutput{}, nil
}

// benchItem is a flag of 1.1 KB, as LaunchDarkly's SDK writes it into the table: two targets, two rules, a rollout.
const benchItem = `{"key":"%s","version":%d,"deleted":false,"on":true,` +
	`"targets":[{"variation":0,"values":["user-3f2a","user-91bc"]},` +
	`{"variation":1,"values":["user-77aa"]}],"contextTargets":[],"prerequisites":[{"key":"base-flag","variation":0}],` +
	`"rules":[{"id":"0f6b6ed8-6a3c-4b8e-8f3c-0d5a4f3a1c11","variation":1,"clauses":[{"contextKind":"user",` +
	`"attribute":"country","op":"in","values":["de","fr","nl","se"],"negate":false}],"trackEvents":false},` +
	`{"id":"5d2c1f8e-9d4b-4c1f-a2f7-1f0a9be6d0aa",` +
	`"rollout":{"kind":"rollout","variations":[{"variation":0,"weight":25000},{"variation":1,"weight":75000}]},` +
	`"clauses":[{"contextKind":"user","attribute":"","op":"segmentMatch","values":["beta-testers"],"negate":false}],` +
	`"trackEvents":true}],"fallthrough":{"variation":1},"offVariation":0,"variations":[true,false],` +
	`"clientSideAvailability":{"usingMobileKey":true,"usingEnvironmentId":true},"salt":"b7a1c5b9a7c2",` +
	`"trackEvents":false,"trackEventsFallthrough":false,"debugEventsUntilDate":null,` +
	`"samplingRatio":1,"excludeFromSummaries":false}`

// benchEvent returns an event with size records of some flags.
func benchEvent(t testing.TB, size, flags int) []byte {
	var records []events.DynamoDBEventRecord
	for i := range size {
		key, version := fmt.Sprint("release-checkout-", i%flags), 2+i/flags
		r := rose(fmt.Sprint(100_000_000_000_000+i), "production:features", key, version)
		r.EventID, r.EventVersion, r.AWSRegion = "c4ca4238a0b923820dcc509a6f75849b", "1.1", "eu-west-1"
		r.Change.SizeBytes = 2500
		r.Change.OldImage["item"] = events.NewStringAttribute(fmt.Sprintf(benchItem, key, version-1))
		r.Change.NewImage["item"] = events.NewStringAttribute(fmt.Sprintf(benchItem, key, version))
		records = append(records, r)
	}
	encoded, err := json.Marshal(events.DynamoDBEvent{Records: records})
	require.NoError(t, err)
	return encoded
}

// A record costs fewer than three allocations: its key, its sequence number, and a part of growing lists.
func TestAllocationsOfARecord(t *testing.T) {
	encoded, h := benchEvent(t, 1000, 1000), newHandler(discard{})
	allocations := testing.AllocsPerRun(10, func() {
		_, err := h.Invoke(context.Background(), encoded)
		require.NoError(t, err)
	})
	assert.Less(t, allocations/1000, 3.0)
}

// goalRecords is how many records one core must handle in a second, in batches of 1,000.
const goalRecords = 100_000

// BenchmarkHandle measures on one core everything that the function does for a batch except publishing: decoding,
// reading records of 500 flags, coalescing, encoding messages. "invoke" is what Lambda runs. "library" decodes the
// event with Lambda's library. The goal is met if "of-goal" is at least 1.
func BenchmarkHandle(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, size := range []int{1, 100, 1000, 10_000} {
		encoded := benchEvent(b, size, 500)
		h := newHandler(discard{})
		run := func(name string, handle func() error) {
			b.Run(fmt.Sprintf("%s/records=%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(encoded)))
				for b.Loop() {
					if err := handle(); err != nil {
						b.Fatal(err)
					}
				}
				seconds := b.Elapsed().Seconds() / float64(b.N) / float64(size)
				b.ReportMetric(1/seconds, "records/s")
				if name == "invoke" && size == 1000 {
					b.ReportMetric(1/seconds/goalRecords, "of-goal")
				}
				b.ReportMetric(testing.AllocsPerRun(1, func() { _ = handle() })/float64(size), "allocs/record")
			})
		}
		run("invoke", func() error { _, err := h.Invoke(context.Background(), encoded); return err })
		run("library", func() error {
			var decoded events.DynamoDBEvent
			if err := json.Unmarshal(encoded, &decoded); err != nil {
				return err
			}
			_, err := h.Handle(context.Background(), decoded)
			return err
		})
	}
}
