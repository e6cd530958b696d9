package v4store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// The cache is a go-client.v4 store and a sink; its type arguments need not be written.
func TestTheTypesFit(t *testing.T) {
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
		assert.Equal(t, 1, s.version("other"), "a slow read holds up no other key")
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
		assert.Equal(t, []int{1, 1, 1, 0}, []int{s.readsOf("flag"), s.readsOf("unknown"), s.readsOf(whole), s.readsOf("not listed")})
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
			{"changed", "flag7", 2}, {"reset to older data", "flag7", 1}, {"new", "flag100", 1}, {"removed", "flag9", 0},
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

// The race that LaunchDarkly's own wrapper loses: a read that saw version 1 ends after version 2 was announced.
func TestALateFillNeverBeatsAnInvalidation(t *testing.T) {
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

		releaseLate := s.hold("flag") // the next read: what it brings would be an answer for the early Get as well
		release()
		assert.Equal(t, 1, <-early, "the discarded read answers those who had joined it")
		releaseLate()
		assert.Equal(t, 2, <-late)
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, 2, s.readsOf("flag"))
		assert.Equal(t, 1, s.Stats().Discarded)
	})
}

func TestAnEntryExpiresByEitherClock(t *testing.T) {
	cases := []struct {
		name       string
		ttl        time.Duration
		mono, wall time.Duration
		reads      int
	}{
		{"before the TTL is over", time.Minute, time.Minute - 1, time.Minute - 1, 1},
		{"the process was frozen", time.Minute, 0, time.Minute, 2},
		{"the wall clock stepped back", time.Minute, time.Minute, -time.Hour, 2},
		{"it never expires", -1, 1000 * time.Hour, 1000 * time.Hour, 1},
		{"there is no cache", 0, 0, 0, 2},
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
				assert.Equal(t, c.reads, s.readsOf("flag"))
				assert.Equal(t, c.reads, s.readsOf(whole))
			})
		})
	}
}

func TestAReadFromBeforeAnInvocationDoesNotCount(t *testing.T) {
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

func TestTheLastKnownValueIsServedInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSystem(t, v4store.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		s.put("flag", 1)
		s.put("other", 1)
		want := s.versions()
		s.fail(errTable)
		s.InvalidateAll()
		for range 50 {
			assert.Equal(t, 1, s.version("flag"))
			assert.Equal(t, want, s.versions())
		}
		assert.Equal(t, 1, s.readsOf("flag"), "it is not tried again at each Get")
		assert.Equal(t, 2, s.readsOf(whole))
		_, err := s.Cache.Get(ld.Segments, "segment")
		require.ErrorIs(t, err, errTable, "nothing is known of it")
		_, err = s.Cache.All(ld.Segments)
		require.ErrorIs(t, err, errTable)
		assert.Equal(t, 4, s.Stats().Errors)
		assert.Equal(t, 100, s.Stats().StaleServes)
		synctest.Wait()
		assert.Equal(t, 1, strings.Count(log.String(), "table is down"), "one line a minute")

		s.put("flag", 2)
		s.fail(nil)
		s.pass(5 * time.Second)
		assert.Equal(t, 2, s.version("flag"), "it recovers by itself")
		assert.Equal(t, map[string]int{"flag": 2, "other": 1}, s.versions())
	})
}

// After a whole read that failed, a message ends the pause, and so does a read of an item that succeeds.
func TestAMessageEndsAFailedReadsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		s.versions()
		s.InvalidateAll()
		s.failOnly(whole, errTable)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
		s.failOnly(whole, nil)
		s.put("flag", 2)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions(), "it is left alone for a moment")
		s.invalidate("flag", 2)
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())

		s.InvalidateAll()
		s.failOnly(whole, errTable)
		s.versions()
		s.failOnly(whole, nil)
		s.put("flag", 3)
		assert.Equal(t, 3, s.version("flag"))
		s.put("other", 1)
		assert.Equal(t, map[string]int{"flag": 3, "other": 1}, s.versions())
	})
}

func TestManyChangedFlagsDoNotRepeatAFailedAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		want := map[string]int{}
		for i := range 30 {
			want[fmt.Sprint("flag", i)] = 1
			s.put(fmt.Sprint("flag", i), 1)
		}
		s.versions()
		for key := range want {
			s.put(key, 2)
			s.invalidate(key, 2)
		}
		s.failOnly(whole, errTable)
		for range 10 {
			assert.Equal(t, want, s.versions(), "as last known")
		}
		assert.Equal(t, 2, s.readsOf(whole), "it is left alone for a moment")
		s.failOnly(whole, nil)
		s.pass(5 * time.Second)
		assert.Equal(t, 2, s.versions()["flag7"])
	})
}

func TestABrokenRowReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		s.put("other", 1)
		s.versions()
		s.put("flag", 2)
		s.put("new", 1)
		s.mu.Lock()
		s.broken["flag"], s.broken["new"] = true, true
		s.mu.Unlock()
		s.InvalidateAll()
		for range 3 {
			assert.Equal(t, map[string]int{"flag": 1, "other": 1}, s.versions())
			assert.Equal(t, 1, s.version("flag"))
			got, err := s.Cache.Get(ld.Features, "new")
			require.NoError(t, err)
			assert.Nil(t, got, "it was not there when it was last read")
			s.pass(time.Minute)
		}
		s.mu.Lock()
		clear(s.broken)
		s.mu.Unlock()
		s.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 2, "other": 1, "new": 1}, s.versions())
	})
}

func TestMaxStaleLimitsLastKnownValues(t *testing.T) {
	for _, maxStale := range []time.Duration{2 * time.Hour, -1} {
		synctest.Test(t, func(t *testing.T) {
			s := newSystem(t, v4store.MaxStale(maxStale), v4store.Logger(slog.New(slog.DiscardHandler)))
			s.put("flag", 1)
			s.versions()
			s.fail(errTable)
			if maxStale > 0 {
				s.move(0, maxStale)
				assert.Equal(t, 1, s.version("flag"))
				assert.Len(t, s.versions(), 1)
			}
			s.move(0, max(1, time.Hour))
			for range 2 { // the second one does not even try
				_, err := s.Cache.Get(ld.Features, "flag")
				require.ErrorIs(t, err, errTable)
				_, err = s.Cache.All(ld.Features)
				require.ErrorIs(t, err, errTable)
			}
		})
	}
}

func TestAReadThatTakesTooLongIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		s.put("flag", 1)
		release := s.hold("flag")
		begun := time.Now()
		_, err := s.Cache.Get(ld.Features, "flag")
		require.ErrorContains(t, err, "abandoned")
		assert.Equal(t, 3*time.Second, time.Since(begun))
		_, err = s.Cache.Get(ld.Features, "flag")
		require.ErrorContains(t, err, "abandoned", "left alone for a while")

		s.pass(time.Second)
		next := s.hold("flag")
		s.put("flag", 2)
		second := async(func() int { return s.version("flag") })
		synctest.Wait()
		release() // the abandoned read ends during its successor
		synctest.Wait()
		next()
		assert.Equal(t, 2, <-second)
		assert.Equal(t, 2, s.version("flag"))
	})
}

func TestAPanicOfTheInnerStoreIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.Logger(slog.New(slog.DiscardHandler)))
		s.panics = true
		_, err := s.Cache.Get(ld.Features, "flag")
		require.ErrorContains(t, err, "store panicked: planted")
	})
}

func TestWritesGoThroughAndAreSeen(t *testing.T) {
	flag := func(version int) ld.VersionedData { return &ld.Flag{Key: "flag", Version: version} }
	writes := []struct {
		name  string
		write func(s *system) error
		want  map[string]int
	}{
		{"Init", func(s *system) error {
			return s.Cache.Init(map[ld.VersionedDataKind]map[string]ld.VersionedData{ld.Features: {"flag": flag(5)}})
		}, map[string]int{"flag": 5}},
		{"Upsert", func(s *system) error { return s.Cache.Upsert(ld.Features, flag(2)) }, map[string]int{"flag": 2, "other": 1}},
		{"Delete", func(s *system) error { return s.Cache.Delete(ld.Features, "flag", 2) }, map[string]int{"other": 1}},
	}
	for _, w := range writes {
		for _, failure := range []error{nil, errTable} {
			t.Run(fmt.Sprint(w.name, " ", failure), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSystem(t)
					s.put("flag", 1)
					s.put("other", 1)
					s.versions()
					s.invalidate("flag", 0)
					release := s.hold("flag")
					early := async(func() int { return s.version("flag") })
					synctest.Wait() // a read is under way while it is written
					s.fail(failure)
					require.ErrorIs(t, w.write(s), failure)
					s.fail(nil)
					release()
					assert.Equal(t, 1, <-early)
					assert.Equal(t, w.want["flag"], s.version("flag"))
					assert.Equal(t, w.want, s.versions())
				})
			})
		}
	}
}

func TestMapsAreTheCallersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		items, err := s.Cache.All(ld.Features)
		require.NoError(t, err)
		clear(items)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
	})
}

func TestInitializedAsksUntilItIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		for range 10 {
			assert.False(t, s.Cache.Initialized())
		}
		assert.Equal(t, 1, s.asked, "at most once a second")
		s.inited = true
		s.pass(time.Second)
		assert.True(t, s.Cache.Initialized())
		s.inited = false
		s.pass(time.Hour)
		assert.True(t, s.Cache.Initialized())
		assert.Equal(t, 2, s.asked)
	})
}

func TestUnknownFlagsAreRememberedWithABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, v4store.MaxUnknown(100), v4store.Logger(slog.New(slog.DiscardHandler)))
		s.put("flag", 1)
		for i := range 250 {
			s.version(fmt.Sprint("unknown", i))
			s.version("flag")
		}
		assert.Equal(t, 1, s.readsOf("flag"), "flags that exist stay")
		assert.Equal(t, 199, s.Stats().Forgotten)
		assert.LessOrEqual(t, s.Stats().Items, 100)
		s.put("unknown7", 1)
		s.invalidate("unknown7", 1)
		assert.Equal(t, 1, s.version("unknown7"))
	})
}

func TestWrongOptionsAreReportedTogether(t *testing.T) {
	c := v4store.Cached[ld.VersionedDataKind, ld.VersionedData](nil, v4store.TTL(time.Hour), v4store.MaxStale(time.Minute),
		v4store.Logger(nil), v4store.ReadLimit(-1))
	_, getErr := c.Get(ld.Features, "flag")
	_, allErr := c.All(ld.Features)
	for _, err := range []error{
		getErr, allErr, c.Init(nil), c.Delete(ld.Features, "flag", 1), c.Upsert(ld.Features, &ld.Flag{}),
	} {
		require.ErrorContains(t, err, "configure cache: no inner store")
		require.ErrorContains(t, err, "option MaxStale(1m0s): is below the TTL of 1h0m0s")
		require.ErrorContains(t, err, "option Logger: is nil")
		require.ErrorContains(t, err, "option ReadLimit(-1ns): must be positive")
	}
	assert.False(t, c.Initialized())
	c.InvalidateAll()
}

// plain is an item that is neither an interface nor comparable.
type plain struct {
	Key  string
	Tags []string
}

func (p plain) GetKey() string  { return p.Key }
func (p plain) GetVersion() int { return len(p.Tags) }
func (p plain) IsDeleted() bool { return false }

type plainKind string

func (k plainKind) GetNamespace() string              { return string(k) }
func (k plainKind) GetDefaultItem() any               { return new(plain) }
func (k plainKind) MakeDeletedItem(string, int) plain { return plain{} }

type plainStore map[string]plain

func (s plainStore) Get(_ plainKind, key string) (plain, error) { return s[key], nil }
func (s plainStore) All(plainKind) (map[string]plain, error)    { return s, nil }
func (s plainStore) Init(map[plainKind]map[string]plain) error  { return nil }
func (s plainStore) Delete(plainKind, string, int) error        { return nil }
func (s plainStore) Upsert(plainKind, plain) error              { return nil }
func (s plainStore) Initialized() bool                          { return true }

func TestAMissingItemIsTheZeroItem(t *testing.T) {
	c := v4store.Cached(plainStore{"a": {Key: "a"}}, v4store.TTL(-1))
	for range 2 {
		item, err := c.Get("things", "a")
		require.NoError(t, err)
		assert.Equal(t, "a", item.Key)
		item, err = c.Get("things", "b")
		require.NoError(t, err)
		assert.Zero(t, item)
		all, err := c.All("things")
		require.NoError(t, err)
		assert.Equal(t, map[string]plain{"a": {Key: "a"}}, all)
	}
	assert.Equal(t, 3, c.Stats().Reads)
}
