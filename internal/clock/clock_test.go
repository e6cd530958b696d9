package clock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/internal/clock"
)

func at(mono, wall time.Duration) clock.Instant { return clock.Instant{Mono: mono, Wall: wall} }

func TestTimeHasPassedWhenOneClockShowsIt(t *testing.T) {
	start := at(time.Second, time.Hour)
	expiry := start.Add(time.Minute)
	for name, c := range map[string]struct {
		now     clock.Instant
		age     time.Duration
		reached bool
		frozen  bool
	}{
		"both":             {at(61*time.Second, time.Hour+time.Minute), time.Minute, true, false},
		"too early":        {at(60*time.Second, time.Hour+59*time.Second), 59 * time.Second, false, false},
		"frozen":           {at(time.Second, 2*time.Hour), time.Hour, true, true},
		"wall set back":    {at(61*time.Second, time.Minute), time.Minute, true, false},
		"slewed":           {at(2*time.Second, time.Hour+1100*time.Millisecond), 1100 * time.Millisecond, false, false},
		"a short freeze":   {at(2*time.Second, time.Hour+1101*time.Millisecond), 1101 * time.Millisecond, false, true},
		"set back, frozen": {at(2*time.Second, time.Hour-time.Second), time.Second, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.age, start.Age(c.now))
			assert.Equal(t, c.reached, expiry.Reached(c.now))
			assert.Equal(t, c.frozen, start.Frozen(c.now))
		})
	}
}

func TestNeverIsNotReached(t *testing.T) {
	now := clock.Now()
	assert.False(t, clock.Never.Reached(now))
	assert.Equal(t, clock.Never, now.Add(-1), "a negative duration")
	assert.Equal(t, clock.Never, at(1, 1).Add(1<<63-1), "saturates")
	assert.Equal(t, now, clock.Never.Earlier(now))
	assert.True(t, clock.Instant{}.Reached(now), "the zero instant")
}

func TestNowReadsBothClocks(t *testing.T) {
	before := time.Now()
	now := clock.Now()
	assert.GreaterOrEqual(t, now.Wall, time.Duration(before.UnixNano()))
	assert.GreaterOrEqual(t, clock.Now().Mono, now.Mono)
	assert.Equal(t, at(1, 3), at(1, 4).Earlier(at(2, 3)))
}
