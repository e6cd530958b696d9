// Package clock reads the monotonic and the wall clock together.
//
// While a Lambda sandbox is frozen, its monotonic clock stops. The wall clock continues, but it can be set back. So a
// span of time counts as passed as soon as one of the two clocks shows it.
package clock

import (
	"math"
	"time"
)

// freezeGap is the smallest difference between the advances of the two clocks that counts as a freeze. Slewing the wall
// clock moves them apart by at most half a millisecond per second. Setting the wall clock forward looks like a freeze
// and costs one extra read.
const freezeGap = 100 * time.Millisecond

// Instant is a reading of the monotonic and the wall clock. The zero Instant is in the distant past: every later
// reading has reached it.
type Instant struct {
	Mono time.Duration // since the process started
	Wall time.Duration // since 1970
}

// Never is an instant that no reading reaches.
var Never = Instant{Mono: math.MaxInt64, Wall: math.MaxInt64}

var processStart = time.Now()

// Now reads both clocks at once. The core packages read the real clock only here.
func Now() Instant {
	t := time.Now()
	return Instant{Mono: t.Sub(processStart), Wall: time.Duration(t.UnixNano())}
}

// Age returns the time from i to now, by the clock that advanced farther. The result is not negative if now was read
// after i, because the monotonic clock never goes back.
func (i Instant) Age(now Instant) time.Duration {
	return max(now.Mono-i.Mono, now.Wall-i.Wall)
}

// Gap returns how far the wall clock is ahead of the monotonic clock. A freeze increases it.
func (i Instant) Gap() time.Duration { return i.Wall - i.Mono }

// Frozen reports whether the process was frozen between i and now: the wall clock advanced more than 100 ms farther
// than the monotonic clock. It does not detect a freeze if the wall clock was also set back.
func (i Instant) Frozen(now Instant) bool { return now.Gap()-i.Gap() > freezeGap }

// Add returns the instant that is d later on both clocks. It is [Never] if d is negative or the sum overflows.
func (i Instant) Add(d time.Duration) Instant {
	if d < 0 {
		return Never
	}
	return Instant{Mono: add(i.Mono, d), Wall: add(i.Wall, d)}
}

// Reached reports whether at least one clock of now has reached i.
func (i Instant) Reached(now Instant) bool { return now.Mono >= i.Mono || now.Wall >= i.Wall }

// Earlier returns the earlier reading of each clock.
func (i Instant) Earlier(j Instant) Instant {
	return Instant{Mono: min(i.Mono, j.Mono), Wall: min(i.Wall, j.Wall)}
}

// add returns a+b, or the largest duration if the sum overflows.
func add(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
