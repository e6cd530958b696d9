package cachedstore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/internal/outage"
)

// hang makes all reads and checks of the table hang until release is called.
func hang(s *system, keys ...string) (release func()) {
	var releases []func()
	for _, key := range append(keys, all, "available") {
		releases = append(releases, s.hold(key))
	}
	return func() {
		for _, release := range releases {
			release()
		}
	}
}

// elapsed returns how long f takes, by the bubble's clock.
func elapsed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func tenFlags(s *system) (keys []string) {
	for i := range 10 {
		keys = append(keys, fmt.Sprint("flag", i))
		s.put(keys[i], 1)
	}
	return keys
}

func TestATableThatHangsCostsOneWaitPerOutage(t *testing.T) {
	cases := []struct {
		name  string
		known bool
		stale func(s *system)
		first time.Duration
		rest  time.Duration // all other flags together
	}{
		{"expired", true, func(s *system) { s.pass(time.Hour) }, cachedstore.DefaultShortWait, 0},
		{"invalidated", true, func(s *system) { s.store.InvalidateAll() }, time.Second, 0},
		{"expired during a freeze", true, func(s *system) { s.freeze(time.Hour) }, time.Second, 0},
		// Each Get waits until the check, which started after ShortWait, has failed.
		{"never read", false, func(*system) {}, time.Second, cachedstore.DefaultShortWait},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t), cachedstore.ReadLimit(time.Second))
				keys := tenFlags(s)
				for _, key := range keys {
					if c.known {
						require.Equal(t, 1, s.version(key))
					}
				}
				synctest.Wait()
				c.stale(s)
				release := hang(s, keys...)
				get := func(key string) {
					item, err := s.client.Get(features, key)
					if !c.known {
						assert.Error(t, err)
						return
					}
					assert.NoError(t, err)
					assert.Equal(t, 1, item.Version)
				}
				assert.Equal(t, c.first, elapsed(func() { get(keys[0]) }))
				assert.Equal(t, c.rest, elapsed(func() {
					for _, key := range keys[1:] {
						get(key)
					}
				}))
				release()
			})
		})
	}
}

// An invalidated value is never returned because of a short wait, not even while reads are known to be slow.
func TestAShortWaitNeverServesAnInvalidatedValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.ReadLimit(10*time.Second))
		for _, key := range []string{"slow", "flag", "settled"} {
			s.put(key, 1)
			s.version(key)
		}
		s.pass(time.Hour)
		s.version("settled")
		release := hang(s, "slow")
		assert.Equal(t, cachedstore.DefaultShortWait, elapsed(func() { assert.Equal(t, 1, s.version("slow")) }))
		s.put("flag", 2)
		s.invalidate("flag", 2)
		releaseFlag := s.hold("flag")
		got := async(func() int { return s.version("flag") })
		time.Sleep(2 * time.Second) // many short waits
		synctest.Wait()
		assert.Empty(t, got)
		releaseFlag()
		assert.Equal(t, 2, <-got)
		release()
	})
}

func TestTheShortWaitIsAnOption(t *testing.T) {
	for _, c := range []struct {
		wait, took time.Duration
	}{{-1, 3 * time.Second}, {0, 0}, {time.Second, time.Second}} {
		t.Run(c.wait.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t), cachedstore.ShortWait(c.wait), cachedstore.ReadLimit(3*time.Second))
				s.put("flag", 1)
				s.version("flag")
				s.versions()
				s.pass(time.Hour)
				release := hang(s, "flag")
				s.put("flag", 2)
				assert.Equal(t, c.took, elapsed(func() { assert.Equal(t, 1, s.version("flag")) }))
				release()
				synctest.Wait()
				if c.wait >= 0 { // otherwise the read was abandoned
					assert.Zero(t, elapsed(func() { assert.Equal(t, 2, s.version("flag")) }), "read in the meantime")
				}
			})
		})
	}
}

// A read that is only slow, such as the first one after a cold start, is no failure of a healthy table.
func TestASlowReadOfAHealthyTableIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		release := s.hold("flag")
		got := async(func() int { return s.version("flag") })
		time.Sleep(600 * time.Millisecond)
		release()
		assert.Equal(t, 1, <-got)
		synctest.Wait()
		assert.Equal(t, 1, s.checks())
		assert.Empty(t, s.log.GetOutput(ldlog.Warn))
		s.failOnly("other", errTable)
		_, err := s.client.Get(features, "other")
		require.ErrorIs(t, err, errTable)
		time.Sleep(time.Minute)
		assert.Len(t, s.log.GetOutput(ldlog.Warn), 1, "a failure is")
	})
}

// GetAll waits for ShortWait if its values have only expired, and once per outage.
func TestGetAllUsesTheShortWaitForAnExpiredCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.versions()
		s.pass(time.Hour)
		release := hang(s)
		get := func() { assert.Equal(t, map[string]int{"flag": 1}, s.versions()) }
		assert.Equal(t, cachedstore.DefaultShortWait, elapsed(get))
		assert.Zero(t, elapsed(get))
		s.store.InvalidateAll()
		release()
		time.Sleep(time.Minute)
		s.put("flag", 2)
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
	})
}

// After the table responds again, values stay stale for at most one pause between checks: one second in Lambda, five in
// a service.
func TestRecoveryIsDetectedWithinOnePause(t *testing.T) {
	for lambda, pause := range map[bool]time.Duration{true: cachedstore.LastDownLambda, false: outage.LastCheck} {
		t.Run(fmt.Sprint("in Lambda ", lambda), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t), cachedstore.InLambda(lambda), cachedstore.LooseClock())
				s.put("flag", 1)
				s.version("flag")
				s.fail(errTable)
				s.store.InvalidateAll()
				assert.Equal(t, 1, s.version("flag"))
				time.Sleep(time.Hour)
				s.put("flag", 2)
				s.fail(nil)
				time.Sleep(pause)
				synctest.Wait()
				assert.Equal(t, 2, s.version("flag"))
			})
		})
	}
}

// The pause between checks counts by the wall clock too, because timers do not run while the process is frozen.
func TestAfterAFreezeADownTableIsCheckedWithoutWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		s.fail(errTable)
		s.store.InvalidateAll()
		s.version("flag")
		time.Sleep(time.Hour)
		s.put("flag", 2)
		s.fail(nil)
		s.freeze(time.Minute)
		assert.Equal(t, 1, s.version("flag"), "this Get triggers a check")
		synctest.Wait()
		assert.Equal(t, 2, s.version("flag"))
	})
}

// The time limit of a read that was in progress during a freeze runs out before anything else happens. No call waits
// for that read, so it must not cause invalidated values to be served.
func TestAReadFromBeforeAFreezeIsNotAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		releaseMarker, releaseCheck := s.hold("marker"), s.hold("available")
		defer releaseCheck()
		defer releaseMarker()
		s.put("flag", 1)
		require.Equal(t, 1, s.version("flag")) // it starts a read of the marker
		<-time.After(time.Minute)
		s.store.Wake()
		s.put("flag", 2)
		s.invalidate("flag", 2)
		assert.Equal(t, 2, s.version("flag"))
		assert.Empty(t, s.log.GetOutput(ldlog.Warn))
	})
}
