package cachedstore

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// Clock replaces the monotonic and the wall clock.
func Clock(clocks func() (mono, wall time.Duration)) Option {
	return func(opts *options) {
		opts.clock = func() clock.Instant {
			mono, wall := clocks()
			return clock.Instant{Mono: mono, Wall: wall}
		}
	}
}

// LooseClock disables StrictClock.
func LooseClock() Option { return func(opts *options) { opts.strict = false } }

// Sizes sets limits that are too large for a simulation: how many stale keys GetAll reads one by one, and how many
// unknown keys are kept in memory.
func Sizes(manyStale, maxUnknown int) Option {
	return func(opts *options) { opts.manyStale, opts.maxUnknown = manyStale, maxUnknown }
}

// Constants of the implementation.
const (
	SweepInterval    = sweepInterval
	SweepAhead       = sweepAhead
	RefreshSpread    = refreshSpread
	RefreshAllSpread = refreshAllSpread
	LastDownLambda   = lastDownLambda
)

// MaxUnknown is the number of unknown keys that are kept in memory.
var MaxUnknown = defaults().maxUnknown

// Sweep visits every entry, as a sweep does when the first of them expires.
func (s *Store) Sweep() {
	c := s.current()
	c.mu.Lock()
	defer c.unlock()
	now := c.nowLocked()
	for _, coll := range c.collections {
		coll.expiry = now
	}
	c.sweepLocked(now)
}
