package cachedstore

import "time"

// Clock replaces both hands of the clock.
func Clock(hands func() (mono, wall time.Duration)) Option {
	return func(o *options) {
		o.clock = func() instant {
			mono, wall := hands()
			return instant{mono: mono, wall: wall}
		}
	}
}

// MaxUnknown is how many unknown keys are remembered.
const MaxUnknown = maxUnknown
