package cachedstore

import (
	"math"
	"time"
)

// instant is a moment by both hands. The monotonic hand stops while a sandbox is frozen; the wall hand goes on,
// but can be set back. So time has passed when either hand says so. The zero instant is long ago: it is reached at any
// time, and means "never" for things that happened.
type instant struct {
	mono time.Duration // since the process's first look
	wall time.Duration // since 1970
}

// freezeGap is how far the hands may move apart during a read before it counts as frozen in between. Slewing
// moves them by at most half a millisecond a second; a step of the wall clock costs one read more.
const freezeGap = 100 * time.Millisecond

var processStart = systemTime()

// systemTime is the package's only look at the real clock.
func systemTime() time.Time { return time.Now() }

// systemClock splits one look at the clock, which reads both hands at once.
func systemClock() instant {
	t := systemTime()
	return instant{mono: t.Sub(processStart), wall: time.Duration(t.UnixNano())}
}

// age is the time that passed from i to now, by the hand that moved farther. The monotonic hand never goes back, so it is
// never negative.
func (i instant) age(now instant) time.Duration {
	return max(now.mono-i.mono, now.wall-i.wall)
}

// frozen reports whether the process stood still somewhere between i and now: the wall hand gained on the monotonic one. It
// misses a freeze that the wall clock was set back by meanwhile; nowLocked has seen it if anybody looked in between, and
// Wake misses none.
func (i instant) frozen(now instant) bool {
	return now.gap()-i.gap() > freezeGap
}

// gap is how far the hands are apart: a freeze makes it larger.
func (i instant) gap() time.Duration { return i.wall - i.mono }

// until is the instant at which something taken at i is ttl old; a negative ttl never comes.
func (i instant) until(ttl time.Duration) instant {
	if ttl < 0 {
		return never
	}
	return instant{mono: sum(i.mono, ttl), wall: sum(i.wall, ttl)}
}

// sum is a+b, or the last moment there is.
func sum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// never is the expiry of what does not expire, and of nothing.
var never = instant{mono: math.MaxInt64, wall: math.MaxInt64}

// reached reports whether either hand of now has come to i.
func (i instant) reached(now instant) bool {
	return now.mono >= i.mono || now.wall >= i.wall
}

// earlier takes the earlier of each hand.
func (i instant) earlier(j instant) instant {
	return instant{mono: min(i.mono, j.mono), wall: min(i.wall, j.wall)}
}
