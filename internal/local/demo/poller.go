package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/journal"
)

// A poller receives changes from the journal only. Its interval and its freezes are short, so that the demo is: a lost
// flip is one that an hour's TTL would hide.
const (
	pollInterval   = 5 * time.Millisecond
	lambdaFreeze   = 10 * time.Millisecond  // the longest freeze, nearly always
	longFreeze     = 100 * time.Millisecond // and once in longFreezeOnce times
	longFreezeOnce = 100
	lambdaFlags    = 10 // evaluated in each invocation, besides those that it waits for
	journalRegion  = "us-east-1"
)

// poller is a consumer that is made with warmflags.Open: a service that polls on a timer, or a warm Lambda function
// that polls in its invocations and is frozen between them.
type poller struct {
	*consumer
	open *warmflags.Flags
}

func newPoller(ctx context.Context, id int, lambda bool, c Config, p *path, b *board) (*poller, error) {
	x := bareConsumer(id, c, b)
	flags, err := warmflags.Open(ctx, warmflags.Table(p.table), warmflags.Prefix(""), warmflags.SDKKey(""),
		warmflags.DynamoDB(p.cloud.DynamoDB), warmflags.Logger(p.logger), warmflags.OnChange(x.note),
		warmflags.Cache(cacheOptions()...), warmflags.InLambda(lambda),
		warmflags.Journal(journal.Region(journalRegion), journal.Interval(pollInterval)),
		warmflags.LaunchDarkly(ld.Config{Logging: ldcomponents.Logging().MinLevel(ldlog.None)}))
	if err != nil {
		return nil, fmt.Errorf("start poller %d: %w", id, err)
	}
	x.client = flags.Client
	return &poller{x, flags}, nil
}

// invoke invokes the function until ctx ends, with freezes of random length in between.
func (w *poller) invoke(ctx context.Context, seed uint64) {
	random := rand.New(rand.NewPCG(seed, uint64(w.id)))
	user := ldcontext.New(fmt.Sprintf("user-%d", w.id))
	next := 0
	var waiting []int
	handler := w.open.Handler(func() {
		waiting = w.board.waiting(w.id, waiting)
		for _, flag := range waiting {
			w.evaluate(flag, user)
		}
		for range lambdaFlags {
			w.evaluate(next, user)
			next = (next + 1) % w.flags
		}
	})
	for ctx.Err() == nil {
		_, _ = handler.Invoke(ctx, nil) // the function itself returns nothing
		longest := lambdaFreeze
		if random.IntN(longFreezeOnce) == 0 {
			longest = longFreeze
		}
		thaw := time.NewTimer(time.Duration(random.Int64N(int64(longest))))
		select {
		case <-ctx.Done():
		case <-thaw.C:
		}
		thaw.Stop()
	}
}
