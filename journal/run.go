package journal

import (
	"context"
	"time"
)

// Run polls the journal at once, and again one interval after the latest poll began, until ctx ends. It is for
// processes that are never frozen: services, and functions on Lambda Managed Instances. A failed poll is logged; the
// next poll is the retry.
//
// Run returns an error for wrong options at once, and otherwise ctx's error.
func (f *Follower) Run(ctx context.Context) error {
	if f.err != nil {
		return f.err
	}
	interval := f.interval
	if interval == 0 {
		interval = DefaultInterval
	}
	for {
		pause := interval
		if p, err := f.join(); err == nil {
			_ = f.wait(ctx, p) // finish logs failures
			pause -= p.began.Age(f.clock())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Err returns all problems with the options in one error, as [Follower.Refresh] does, but without a read. It returns
// nil if there are none.
func (f *Follower) Err() error { return f.err }
