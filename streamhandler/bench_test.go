package streamhandler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"
)

// nothing is a publisher that does nothing.
type nothing struct{}

func (nothing) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return &sns.PublishOutput{}, nil
}

// BenchmarkHandle measures the handler alone, on records of 500 flags of 2 KB; "decode" measures what Lambda's
// runtime does before it.
func BenchmarkHandle(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		var records []events.DynamoDBEventRecord
		for i := range size {
			r := rose(fmt.Sprint(100_000_000_000_000+i), "production:features", fmt.Sprint("flag-", i%500), 2+i/500)
			for _, row := range []image{r.Change.OldImage, r.Change.NewImage} {
				row["item"] = events.NewStringAttribute(`{"version":2,"variations":["` + strings.Repeat("x", 2000) + `"],"deleted":false}`)
			}
			records = append(records, r)
		}
		batch := event(b, records...)
		encoded, err := json.Marshal(batch)
		require.NoError(b, err)
		h := newHandler(nothing{})
		perRecord := func(b *testing.B) {
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		}
		b.Run(fmt.Sprintf("records=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if response, err := h.Handle(context.Background(), batch); err != nil || len(response.BatchItemFailures) > 0 {
					b.Fatal(response, err)
				}
			}
			perRecord(b)
		})
		b.Run(fmt.Sprintf("decode/records=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var decoded events.DynamoDBEvent
				if err := json.Unmarshal(encoded, &decoded); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b)
		})
	}
}
