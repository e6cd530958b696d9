package journal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/journal"
)

// counter answers at once and counts reads.
type counter struct{ reads int }

func (c *counter) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	c.reads++
	return &dynamodb.GetItemOutput{}, nil
}

// The prices in docs/lambda.md use this formula: a container that is invoked r times a second, at random, polls
// 1 / (0.95 interval + 1/r) times a second.
func TestCountedReadsMatchTheFormula(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 10 * time.Second} {
		for _, rate := range []float64{0.01, 0.1, 1, 10, 100} {
			t.Run(fmt.Sprintf("%v, %v a second", interval, rate), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					random, reads := rand.New(rand.NewPCG(1, 2)), &counter{}
					a := newAccount(t)
					f := a.follow(&sink{}, journal.Client(reads), journal.Interval(interval))
					handler := f.Handler(lambda.NewHandler(func() {}))
					start := time.Now()
					// With more invocations in an interval, fewer reads are enough.
					enough := max(20, int(1000/(1+rate*interval.Seconds())))
					for reads.reads < enough {
						_, _ = handler.Invoke(t.Context(), nil)
						time.Sleep(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
					}
					want := time.Since(start).Seconds() / (0.95*interval.Seconds() + 1/rate)
					assert.InEpsilon(t, want, reads.reads, 0.1)
					assert.Equal(t, reads.reads, f.Stats().Polls)
				})
			})
		}
	}
}
