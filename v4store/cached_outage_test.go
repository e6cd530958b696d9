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

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

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
		assert.Zero(t, s.readsOf("flag"), "it is not read again at each Get")
		assert.Equal(t, 2, s.readsOf(whole))
		_, err := s.Cache.Get(ld.Segments, "segment")
		require.ErrorIs(t, err, errTable, "it has no last known value")
		_, err = s.Cache.All(ld.Segments)
		require.ErrorIs(t, err, errTable)
		assert.Equal(t, 1, s.Stats().Errors, "other keys are not read either")
		assert.Equal(t, 100, s.Stats().StaleServes)
		synctest.Wait()
		assert.Equal(t, 1, strings.Count(log.String(), "table is down"), "one line")

		s.put("flag", 2)
		s.fail(nil)
		s.pass(5 * time.Second)
		assert.Equal(t, 1, s.version("flag"), "this Get starts a probe and does not wait for it")
		synctest.Wait()
		assert.Equal(t, 2, s.version("flag"), "it recovers by itself")
		assert.Equal(t, map[string]int{"flag": 2, "other": 1}, s.versions())
	})
}

// A read of the whole kind failed, but other reads succeed. An invalidation makes All read the kind again at once.
func TestAnInvalidationEndsTheBackoffOfOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("flag", 1)
		s.versions()
		s.InvalidateAll()
		s.failOnly(whole, errTable)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
		s.pass(50 * time.Millisecond)
		assert.Equal(t, 1, s.version("flag"), "starts a probe, which succeeds")
		synctest.Wait()
		s.failOnly(whole, nil)
		s.put("flag", 2)
		s.invalidate("flag", 2)
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
		assert.Equal(t, 3, s.readsOf(whole))
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
			assert.Equal(t, want, s.versions(), "the last known values")
		}
		assert.Equal(t, 2, s.readsOf(whole), "the kind is in backoff")
		s.failOnly(whole, nil)
		s.pass(5 * time.Second)
		s.versions() // starts a probe
		synctest.Wait()
		assert.Equal(t, 2, s.versions()["flag7"])
	})
}

func TestABrokenRowKeepsItsLastKnownValue(t *testing.T) {
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
			assert.Nil(t, got, "it did not exist when it was last read")
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
			for range 2 { // the second one does not start a read
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
		require.ErrorContains(t, err, "abandoned", "the flag is in backoff")

		s.pass(time.Second)
		next := s.hold("flag")
		s.put("flag", 2)
		second := async(func() int { return s.version("flag") })
		synctest.Wait()
		release() // the abandoned read ends during the next read
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
