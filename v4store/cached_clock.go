package v4store

import (
	"math"
	"time"
)

// instant is a moment by both hands of the clock. The monotonic hand stops while a sandbox is frozen; the wall hand goes
// on, but can be set back. So time has passed when either hand says so.
type instant struct {
	mono time.Duration // since the process's first look
	wall time.Duration // since 1970
}

// freezeGap is how far the hands may move apart between two looks before that counts as a freeze.
const freezeGap = 100 * time.Millisecond

var processStart = systemTime()

// systemTime is the cache's only look at the real clock.
func systemTime() time.Time { return time.Now() }

func systemClock() instant {
	t := systemTime()
	return instant{mono: t.Sub(processStart), wall: time.Duration(t.UnixNano())}
}

// age is the time that passed from i to now, by the hand that moved farther.
func (i instant) age(now instant) time.Duration {
	return max(now.mono-i.mono, now.wall-i.wall)
}

// frozen reports whether the process stood still somewhere between i and now.
func (i instant) frozen(now instant) bool {
	return (now.wall-i.wall)-(now.mono-i.mono) > freezeGap
}

// plus is the instant at which something taken at i is d old; a negative d never comes.
func (i instant) plus(d time.Duration) instant {
	if d < 0 {
		return instant{mono: math.MaxInt64, wall: math.MaxInt64}
	}
	return instant{mono: sum(i.mono, d), wall: sum(i.wall, d)}
}

// sum is a+b, or the last moment there is.
func sum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// reached reports whether either hand of now has come to i.
func (i instant) reached(now instant) bool {
	return now.mono >= i.mono || now.wall >= i.wall
}

// earlier takes the earlier of each hand.
func (i instant) earlier(j instant) instant {
	return instant{mono: min(i.mono, j.mono), wall: min(i.wall, j.wall)}
}
