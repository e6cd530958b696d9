package v4store_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// The cache is a go-client.v4 store and a sink. Its type arguments are inferred.
func TestTheCacheImplementsFeatureStore(t *testing.T) {
	var inner ld.FeatureStore = newMemory(t)
	var store ld.FeatureStore = v4store.Cached(inner)
	assert.Implements(t, (*change.Sink)(nil), store)
	assert.Implements(t, (*change.Waker)(nil), store)
	var again ld.FeatureStore = v4store.Cached(store) // a concrete type as the inner store
	assert.NotNil(t, again)
}

func TestOneReadForAnyNumberOfMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 7)
		s.put("other", 1)
		release := s.hold("flag")
		var waiting []chan int
		for range 64 {
			waiting = append(waiting, async(func() int { return s.version("flag") }))
		}
		synctest.Wait()
		assert.Equal(t, 1, s.version("other"), "a slow read of a key delays no other key")
		release()
		for _, w := range waiting {
			assert.Equal(t, 7, <-w)
		}
		assert.Equal(t, 1, s.readsOf("flag"))
		stats := s.Stats()
		assert.Equal(t, v4store.CacheStats{Misses: 65, Reads: 2, Items: 2}, stats)
	})
}

func TestAHitReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		for range 10 {
			assert.Equal(t, 1, s.version("flag"))
			assert.Zero(t, s.version("unknown"))
			assert.Equal(t, map[string]int{"flag": 1}, s.versions())
			assert.Zero(t, s.version("not listed"))
		}
		assert.Equal(t, []int{1, 1, 1, 0},
			[]int{s.readsOf("flag"), s.readsOf("unknown"), s.readsOf(whole), s.readsOf("not listed")})
		assert.Equal(t, v4store.CacheStats{Hits: 37, Misses: 3, Reads: 3, Items: 2}, s.Stats())
		entries, expiring := s.Held(ld.Features)
		assert.Equal(t, 2, entries, "in go-cache")
		assert.Zero(t, expiring, "by go-cache's own clock")
	})
}

func TestAChangedFlagCostsOneGetEvenForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		want := map[string]int{}
		for i := range 100 {
			key := fmt.Sprint("flag", i)
			want[key] = 1
			s.put(key, 1)
		}
		require.Equal(t, want, s.versions())
		steps := []struct {
			name, key string
			version   int
		}{
			{"changed", "flag7", 2}, {"reset to older data", "flag7", 1}, {"new", "flag100", 1},
			{"removed", "flag9", 0},
		}
		for _, step := range steps {
			before := s.readsOf(step.key)
			s.put(step.key, step.version)
			if want[step.key] = step.version; step.version == 0 {
				delete(want, step.key)
			}
			s.invalidate(step.key, 0)
			assert.Equal(t, want, s.versions(), step.name)
			assert.Equal(t, want, s.versions(), step.name)
			assert.Equal(t, 1, s.readsOf(step.key)-before, step.name)
		}
		assert.Equal(t, 1, s.readsOf(whole))
		assert.Equal(t, 5, s.Stats().Reads)
	})
}

func TestManyChangedFlagsCostOneAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		want := map[string]int{}
		for version := range 3 {
			for i := range 26 {
				key := fmt.Sprint("flag", i)
				want[key] = version + 1
				s.put(key, version+1)
				s.invalidate(key, version+1)
			}
			assert.Equal(t, want, s.versions())
		}
		assert.Equal(t, 3, s.Stats().Reads)
	})
}

// LaunchDarkly's own wrapper has this race: a read that saw version 1 ends after version 2 was invalidated.
func TestALateReadNeverReplacesANewerValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		release := s.hold("flag")
		early := async(func() int { return s.version("flag") })
		synctest.Wait() // the early read has seen version 1
		s.put("flag", 2)
		s.invalidate("flag", 2)
		late := async(func() int { return s.version("flag") })
		synctest.Wait()
		assert.Equal(t, 1, s.readsOf("flag"), "the late Get waits for the discarded read to end")

		releaseLate := s.hold("flag") // the next read, which must not end before the early Get returns
		release()
		assert.Equal(t, 1, <-early, "calls that had joined the discarded read return its value")
		releaseLate()
		assert.Equal(t, 2, <-late)
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, 2, s.readsOf("flag"))
		assert.Equal(t, 1, s.Stats().Discarded)
	})
}

func TestAnEntryExpiresByEitherClock(t *testing.T) {
	cases := []struct {
		name          string
		ttl           time.Duration
		mono, wall    time.Duration
		gets, queries int
	}{
		{"before the end of the TTL", time.Minute, time.Minute - 1, time.Minute - 1, 1, 1},
		{"the process was frozen", time.Minute, 0, time.Minute, 1, 2},
		{"the wall clock was set back", time.Minute, time.Minute, -time.Hour, 1, 2},
		{"it never expires", -1, 1000 * time.Hour, 1000 * time.Hour, 1, 1},
		{"there is no cache", 0, 0, 0, 2, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSystem(t, v4store.TTL(c.ttl))
				s.put("flag", 1)
				assert.Equal(t, 1, s.version("flag"))
				assert.Len(t, s.versions(), 1)
				s.move(c.mono, c.wall)
				assert.Equal(t, 1, s.version("flag"))
				assert.Len(t, s.versions(), 1)
				assert.Equal(t, c.gets, s.readsOf("flag"))
				assert.Equal(t, c.queries, s.readsOf(whole))
			})
		})
	}
}

func TestAReadFromBeforeAWakeIsDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		release := s.hold("flag")
		early := async(func() int { return s.version("flag") })
		synctest.Wait()
		s.Wake()
		s.put("flag", 2)
		release()
		assert.Equal(t, 1, <-early)
		assert.Equal(t, 2, s.version("flag"))
	})
}

func TestTheNumberOfUnknownFlagsInMemoryIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.MaxUnknown(100), v4store.Logger(slog.New(slog.DiscardHandler)))
		s.put("flag", 1)
		for i := range 250 {
			s.version(fmt.Sprint("unknown", i))
			s.version("flag")
		}
		assert.Equal(t, 1, s.readsOf("flag"), "flags that exist stay in memory")
		assert.Equal(t, 199, s.Stats().Forgotten)
		assert.LessOrEqual(t, s.Stats().Items, 100)
		s.put("unknown7", 1)
		s.invalidate("unknown7", 1)
		assert.Equal(t, 1, s.version("unknown7"))
	})
}
