package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

// A warm Lambda lives by the journal alone: nothing is pushed to it, and between its invocations it does nothing. Its
// interval and its freezes are short, so that the demo is: a lost flip is one that an hour's TTL would hide.
const (
	lambdaInterval = 5 * time.Millisecond
	lambdaFreeze   = 10 * time.Millisecond  // the most that it is frozen, nearly always
	longFreeze     = 100 * time.Millisecond // and once in longFreezeOnce times
	longFreezeOnce = 100
	lambdaFlags    = 10 // evaluated in each invocation, besides those that it waits for
	journalRegion  = "us-east-1"
)

// warmLambda is a consumer in a container that is frozen between invocations.
type warmLambda struct {
	*consumer
	follower *journal.Follower
}

func newWarmLambda(x *consumer, db *localaws.DynamoDB, options ...journal.Option) *warmLambda {
	w := &warmLambda{consumer: x}
	w.follower = journal.Follow(tableName, w, append(options, journal.Client(db), journal.Region(journalRegion),
		journal.Interval(lambdaInterval))...)
	return w
}

// Wake implements [change.Waker].
func (w *warmLambda) Wake() {
	if waker, ok := w.sink.(change.Waker); ok {
		waker.Wake()
	}
}

// run invokes the function until ctx ends, with freezes of random length in between.
func (w *warmLambda) run(ctx context.Context, seed uint64) {
	random := rand.New(rand.NewPCG(seed, uint64(w.id)))
	user := ldcontext.New(fmt.Sprintf("user-%d", w.id))
	next := 0
	var waiting []int
	handler := w.follower.Handler(lambda.NewHandler(func() {
		waiting = w.board.waiting(w.id, waiting)
		for _, flag := range waiting {
			w.evaluate(flag, user)
		}
		for range lambdaFlags {
			w.evaluate(next, user)
			next = (next + 1) % w.flags
		}
	}))
	for ctx.Err() == nil {
		_, _ = handler.Invoke(ctx, nil) // the function itself returns nothing
		most := lambdaFreeze
		if random.IntN(longFreezeOnce) == 0 {
			most = longFreeze
		}
		thaw := time.NewTimer(time.Duration(random.Int64N(int64(most))))
		select {
		case <-ctx.Done():
		case <-thaw.C:
		}
		thaw.Stop()
	}
}
