package journal

import (
	"context"
	"time"
)

// Run polls the journal at once and then in each interval, until ctx ends. It is for processes that are never frozen:
// services, and functions on Lambda Managed Instances. Failures are logged, and the next poll tries again.
//
// It returns wrong options at once, and otherwise ctx's error.
func (f *Follower) Run(ctx context.Context) error {
	if f.err != nil {
		return f.err
	}
	interval := f.interval
	if interval == 0 {
		interval = DefaultInterval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		_ = f.Refresh(ctx) // finish logs failures
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// Err returns what is wrong with the options, as [Follower.Refresh] does, without a read; nil if nothing is.
func (f *Follower) Err() error { return f.err }
