package journal

import "time"

// Clock replaces both hands of the clock.
func Clock(hands func() (mono, wall time.Duration)) Option {
	return func(s *settings) {
		s.clock = func() instant {
			mono, wall := hands()
			return instant{mono: mono, wall: wall}
		}
	}
}
