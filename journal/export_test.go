package journal

import "github.com/warmflags/warmflags/internal/clock"

// Clock replaces the clocks.
func Clock(now func() clock.Instant) Option {
	return func(s *settings) { s.clock = now }
}

// MaxPolls is the largest number of polls in progress.
const MaxPolls = maxPolls
