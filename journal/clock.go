package journal

import "time"

// instant is a moment by both hands of the clock: the monotonic one stops while a container is frozen, and the wall
// one can be set back. So time has passed when either says so. cachedstore has the same type: a source and a sink do not
// import each other.
type instant struct {
	mono time.Duration // since the process's first look
	wall time.Duration // since 1970
}

var processStart = systemTime()

// systemTime is the package's only look at the real clock.
func systemTime() time.Time { return time.Now() }

// systemClock splits one look at the clock, which reads both hands at once.
func systemClock() instant {
	t := systemTime()
	return instant{mono: t.Sub(processStart), wall: time.Duration(t.UnixNano())}
}

// age is the time that passed from i to now, by the hand that moved farther.
func (i instant) age(now instant) time.Duration {
	return max(now.mono-i.mono, now.wall-i.wall)
}
