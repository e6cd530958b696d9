package cachedstore_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/warmflags/warmflags/cachedstore"
)

func TestMain(m *testing.M) {
	// LaunchDarkly's wrapper does not end the goroutine of its go-cache: see rival_test.go.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"))
}

// service returns a system that behaves as in a service: with a sweeper and background reads.
func service(t *testing.T, opts ...cachedstore.Option) *system {
	return newSystem(t, newTable(t),
		append([]cachedstore.Option{cachedstore.InLambda(false), cachedstore.LooseClock()}, opts...)...)
}

func TestWhenAFreezeIsDetected(t *testing.T) {
	cases := []struct {
		name  string
		opts  []cachedstore.Option
		thaw  func(s *system)
		fresh bool // the first Get after a freeze of one day returns the new value
	}{
		{"in a service, before the sweeper has run",
			[]cachedstore.Option{cachedstore.InLambda(false), cachedstore.LooseClock()}, func(*system) {}, false},
		{"in a service, after the sweeper has run",
			[]cachedstore.Option{cachedstore.InLambda(false), cachedstore.LooseClock()},
			func(*system) { time.Sleep(cachedstore.SweepInterval); synctest.Wait() }, true},
		{"in a service with StrictClock", []cachedstore.Option{cachedstore.InLambda(false)}, func(*system) {}, true},
		{"in Lambda", []cachedstore.Option{cachedstore.LooseClock()}, func(*system) {}, true},
		{"in Lambda, if each invocation calls Wake", []cachedstore.Option{cachedstore.LooseClock()},
			func(s *system) { s.store.Wake() }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, newTable(t), c.opts...)
				s.put("flag", 1)
				s.version("flag")
				s.versions()
				s.put("flag", 2)
				require.Equal(t, 1, s.version("flag"))
				s.freeze(24 * time.Hour)
				c.thaw(s)
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

// In Lambda, hits do not read the clock after the first Wake. Values still expire during an invocation that is longer
// than the TTL.
func TestALongInvocationSeesTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.LooseClock(), cachedstore.TTL(time.Minute))
		s.store.Wake()
		s.put("flag", 1)
		s.version("flag")
		s.put("flag", 2)
		time.Sleep(time.Minute + cachedstore.SweepInterval)
		synctest.Wait()
		assert.Equal(t, 2, s.version("flag"))
	})
}

func TestAServiceRefreshesInTheBackground(t *testing.T) {
	t.Run("a changed flag, once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t)
			s.put("flag", 1)
			s.version("flag")
			s.put("flag", 2)
			s.invalidate("flag", 2)
			s.invalidate("flag", 2)
			time.Sleep(2 * cachedstore.RefreshSpread)
			synctest.Wait()
			assert.Equal(t, 2, s.readsOf("flag"))
			assert.Equal(t, 2, s.version("flag"))
			assert.Equal(t, 2, s.readsOf("flag"), "a hit")
		})
	})
	t.Run("a Get reads at once, which makes the background read unnecessary", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t)
			s.put("flag", 1)
			s.version("flag")
			s.put("flag", 2)
			before := time.Now()
			s.invalidate("flag", 2)
			assert.Equal(t, 2, s.version("flag"))
			assert.Equal(t, before, time.Now())
			time.Sleep(time.Second)
			assert.Equal(t, 2, s.readsOf("flag"))
		})
	})
	t.Run("a flag that was never cached is not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t)
			s.invalidate("flag", 2)
			time.Sleep(time.Second)
			assert.Zero(t, s.store.Stats().Reads)
		})
	})
	t.Run("after InvalidateAll a cached collection costs one Query", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t)
			for i := range 300 {
				s.put(fmt.Sprint("flag", i), 1)
			}
			s.versions()
			s.store.InvalidateAll()
			time.Sleep(2 * cachedstore.RefreshAllSpread)
			synctest.Wait()
			assert.Equal(t, 2, s.readsOf(all))
			assert.Equal(t, 1, s.version("flag7"))
			assert.Equal(t, 2, s.store.Stats().Reads)
		})
	})
	t.Run("the number of concurrent reads of single items is limited", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t)
			for i := range 50 {
				key := fmt.Sprint("flag", i)
				s.put(key, 1)
				s.version(key)
			}
			var releases []func()
			for i := range 50 {
				releases = append(releases, s.hold(fmt.Sprint("flag", i)))
			}
			s.store.InvalidateAll()
			time.Sleep(cachedstore.RefreshAllSpread)
			synctest.Wait()
			assert.Equal(t, 50+4, s.store.Stats().Reads)
			for _, release := range releases {
				release()
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			assert.Equal(t, 100, s.store.Stats().Reads)
		})
	})
	t.Run("an invalidated item does not wait for RefreshAhead", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// RefreshAhead would read within the last tenth of the TTL, which is more than an hour.
			s := service(t, cachedstore.RefreshAhead(), cachedstore.TTL(24*time.Hour))
			s.put("flag", 1)
			s.version("flag")
			time.Sleep(24*time.Hour*9/10 + 2*cachedstore.SweepInterval)
			require.Equal(t, 1, s.readsOf("flag"))
			s.put("flag", 2)
			s.invalidate("flag", 2)
			time.Sleep(2 * cachedstore.RefreshSpread)
			synctest.Wait()
			assert.Equal(t, 2, s.readsOf("flag"))
		})
	})
	t.Run("a failed Query is not repeated in the background during its backoff", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t, cachedstore.RefreshAhead(), cachedstore.TTL(10*time.Second))
			s.put("flag", 1)
			s.versions()
			s.failOnly(all, errTable)
			time.Sleep(5 * time.Minute)
			reads := s.readsOf(all)
			assert.Greater(t, reads, 30)
			assert.Less(t, reads, 80, "about one every five seconds")
		})
	})
	t.Run("not in Lambda", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, newTable(t), cachedstore.RefreshAhead())
			s.put("flag", 1)
			s.version("flag")
			s.invalidate("flag", 2)
			time.Sleep(2 * time.Hour)
			assert.Equal(t, 1, s.readsOf("flag"))
		})
	})
}

func TestRefreshAheadKeepsEverythingFresh(t *testing.T) {
	for _, strict := range []bool{false, true} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("strict %v, whole %v", strict, whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					opts := []cachedstore.Option{cachedstore.RefreshAhead(), cachedstore.TTL(time.Minute),
						cachedstore.InLambda(false)}
					if !strict {
						opts = append(opts, cachedstore.LooseClock())
					}
					s := newSystem(t, newTable(t), opts...)
					s.put("flag", 1)
					s.version("flag")
					if whole {
						s.versions()
					}
					misses := s.store.Stats().Misses
					for version := 2; version < 10; version++ {
						s.put("flag", version)
						time.Sleep(time.Minute)
						synctest.Wait()
						assert.Equal(t, version, s.version("flag"))
					}
					assert.Equal(t, misses, s.store.Stats().Misses, "no Get waited")
					assert.LessOrEqual(t, s.store.Stats().Reads, 2+10, "about one read per TTL")
				})
			})
		}
	}
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("a", 1)
		s.put("b", 1)
		s.version("a")
		s.pass(10 * time.Second)
		s.version("b")
		s.version("unknown")
		for range 64 * 200 {
			s.version("a")
		}
		stats := s.store.Stats()
		assert.Equal(t, 3, stats.Misses)
		assert.Equal(t, 3, stats.Entries)
		assert.Equal(t, 3, stats.Reads)

		release := s.hold("a")
		s.invalidate("a", 2)
		got := async(func() int { return s.version("a") })
		synctest.Wait()
		s.store.InvalidateAll()
		release()
		assert.Equal(t, 1, <-got)
		s.fail(errTable)
		for range 3 {
			s.version("a")
		}
		s.fail(nil)
		stats = s.store.Stats()
		assert.Equal(t, []int{1, 1, 1, 1},
			[]int{stats.Invalidations, stats.InvalidateAlls, stats.Discarded, stats.Errors})
		assert.Equal(t, 3, stats.StaleServes)
	})
}
