package cachedstore_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

func TestStalenessIsBoundedByBothClocks(t *testing.T) {
	const ttl = time.Hour
	cases := []struct {
		name       string
		mono, wall time.Duration
		fresh      bool
	}{
		{"just before the TTL", ttl - 1, ttl - 1, false},
		{"at the TTL", ttl, ttl, true},
		{"frozen for a day: the monotonic clock stopped", 0, 24 * time.Hour, true},
		{"the wall clock was set back an hour, after the TTL", ttl, 0, true},
		{"the wall clock was set back an hour, before the TTL", time.Minute, time.Minute - time.Hour, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t), cachedstore.TTL(ttl))
				s.put("flag", 1)
				require.Equal(t, 1, s.version("flag"))
				require.Equal(t, map[string]int{"flag": 1}, s.versions())
				s.put("flag", 2)
				s.move(c.mono, c.wall)
				want := 1
				if c.fresh {
					want = 2
				}
				assert.Equal(t, want, s.version("flag"))
				assert.Equal(t, map[string]int{"flag": want}, s.versions())
			})
		})
	}
}

func TestTheLongestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(math.MaxInt64))
		s.put("flag", 1)
		s.version("flag")
		s.put("flag", 2)
		s.pass(time.Hour)
		assert.Equal(t, 1, s.version("flag"), "the value is not cached")
	})
}

func TestANegativeTTLNeverExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(-1))
		s.put("flag", 1)
		s.versions()
		s.put("flag", 2)
		s.pass(10_000 * time.Hour)
		s.freeze(10_000 * time.Hour)
		assert.Equal(t, 1, s.version("flag"))
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
		s.invalidate("flag", 2)
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
	})
}

// A slow read does not prolong the TTL.
func TestTheTTLCountsFromTheStartOfTheRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(time.Minute))
		s.put("flag", 1)
		release := s.hold("flag")
		first := async(func() int { return s.version("flag") })
		synctest.Wait()
		s.pass(59 * time.Second)
		release()
		require.Equal(t, 1, <-first)
		s.put("flag", 2)
		s.pass(time.Second)
		assert.Equal(t, 2, s.version("flag"))
	})
}

func TestAReadFromBeforeAFreezeIsDiscarded(t *testing.T) {
	freezes := map[string]func(s *system){
		"the wall clock tells": func(s *system) { s.freeze(time.Second) },
		"Wake tells":           func(s *system) { s.store.Wake() },
	}
	for name, freeze := range freezes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t))
				s.put("flag", 1)
				release := s.hold("flag")
				early := async(func() int { return s.version("flag") })
				synctest.Wait()
				s.put("flag", 2)
				freeze(s)
				late := async(func() int { return s.version("flag") })
				synctest.Wait()
				release()
				assert.Equal(t, 1, <-early)
				assert.Equal(t, 2, <-late)
				assert.Equal(t, 2, s.version("flag"))
			})
		})
	}
}

// In a service's default mode, in which a hit reads no clock, nothing is served past its TTL. The test controls the
// sweeper by the bubble's clock, in steps that cover each moment between two sweeps.
func TestNothingIsServedPastItsTTL(t *testing.T) {
	for _, ttl := range []time.Duration{50 * time.Millisecond, time.Second - 1, time.Second, 1234 * time.Millisecond,
		time.Minute} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := service(t, cachedstore.TTL(ttl))
				version := 0
				for offset := time.Duration(0); offset < 2*cachedstore.SweepInterval; offset += 7 * time.Millisecond {
					time.Sleep(ttl + offset)
					version++
					s.put("flag", version)
					s.invalidate("flag", 0)
					require.Equal(t, version, s.version("flag"))
					require.Equal(t, map[string]int{"flag": version}, s.versions())
					version++
					s.put("flag", version) // its message is lost
					time.Sleep(ttl - cachedstore.SweepAhead - 1)
					if ttl > cachedstore.SweepAhead {
						require.Equal(t, version-1, s.version("flag"),
							"it is cached until the last sweep before its TTL")
					}
					time.Sleep(min(ttl, cachedstore.SweepAhead) + 1)
					require.Equal(t, version, s.version("flag"), "the TTL is over")
					require.Equal(t, map[string]int{"flag": version}, s.versions())
				}
			})
		})
	}
}

// After the wall clock was set forward, an expired value is served until the next sweep at most.
func TestTheNextSweepDetectsAStepOfTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(t, cachedstore.TTL(time.Hour))
		s.put("flag", 1)
		s.version("flag")
		s.put("flag", 2)
		s.move(0, time.Hour)
		assert.Equal(t, 1, s.version("flag"))
		time.Sleep(cachedstore.SweepInterval)
		synctest.Wait()
		assert.Equal(t, 2, s.version("flag"))
	})
}
