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

// InLambda decides whether the process is a Lambda function.
func InLambda(yes bool) Option { return func(o *options) { o.background = !yes } }

// LooseClock takes StrictClock back.
func LooseClock() Option { return func(o *options) { o.strict = false } }

// Tick is the timekeeper's pause, RefreshSpread and RefreshAllSpread those of reads in the background.
const (
	Tick             = tick
	RefreshSpread    = refreshSpread
	RefreshAllSpread = refreshAllSpread
)

// MaxUnknown is how many unknown keys are remembered.
const MaxUnknown = maxUnknown
