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
	// LaunchDarkly's wrapper leaves the goroutine of its go-cache behind: see rival_test.go.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"))
}

// service is a system with the goroutines that it has in a service.
func service(t *testing.T, opts ...cachedstore.Option) *system {
	return newSystem(t, newTable(t), append([]cachedstore.Option{cachedstore.InLambda(false), cachedstore.LooseClock()}, opts...)...)
}

func TestWhenAFreezeIsNoticed(t *testing.T) {
	cases := []struct {
		name  string
		opts  []cachedstore.Option
		thaw  func(s *system)
		fresh bool // at the first Get after a freeze of a day
	}{
		{"in a service, before the timekeeper runs", []cachedstore.Option{cachedstore.InLambda(false), cachedstore.LooseClock()}, func(*system) {}, false},
		{"in a service, once it has run", []cachedstore.Option{cachedstore.InLambda(false), cachedstore.LooseClock()}, func(*system) { time.Sleep(cachedstore.SweepInterval); synctest.Wait() }, true},
		{"in a service with StrictClock", []cachedstore.Option{cachedstore.InLambda(false)}, func(*system) {}, true},
		{"in Lambda", []cachedstore.Option{cachedstore.LooseClock()}, func(*system) {}, true},
		{"in Lambda, where each invocation calls Wake", []cachedstore.Option{cachedstore.LooseClock()}, func(s *system) { s.store.Wake() }, true},
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

// In Lambda, hits look at no clock from the first Wake on; an invocation that outlives the TTL is noticed all the same.
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

func TestAServiceReadsAgainInTheBackground(t *testing.T) {
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
	t.Run("a Get reads at once, and then nothing is left to do", func(t *testing.T) {
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
	t.Run("items alone are read with a bound on how many at once", func(t *testing.T) {
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
	t.Run("what is invalidated is not put off until RefreshAhead would read it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t, cachedstore.RefreshAhead(), cachedstore.TTL(24*time.Hour)) // due within more than an hour, in its last tenth
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
	t.Run("a Query that fails is left alone in the background too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := service(t, cachedstore.RefreshAhead(), cachedstore.TTL(10*time.Second))
			s.put("flag", 1)
			s.versions()
			s.failOnly(all, errTable)
			time.Sleep(5 * time.Minute)
			reads := s.readsOf(all)
			assert.Greater(t, reads, 30)
			assert.Less(t, reads, 80, "about one in five seconds")
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
					opts := []cachedstore.Option{cachedstore.RefreshAhead(), cachedstore.TTL(time.Minute), cachedstore.InLambda(false)}
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
					assert.Equal(t, misses, s.store.Stats().Misses, "nobody waited")
					assert.LessOrEqual(t, s.store.Stats().Reads, 2+10, "about one read a TTL")
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
		assert.Equal(t, []int{1, 1, 1, 1}, []int{stats.Invalidations, stats.InvalidateAlls, stats.Discarded, stats.Errors})
		assert.Equal(t, 3, stats.StaleServes)
	})
}
