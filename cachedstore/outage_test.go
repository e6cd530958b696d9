package cachedstore_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldlogtest"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

func TestAnOutageServesTheLastValueAndEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.versions()
		s.put("flag", 2)
		s.fail(errTable)
		s.pass(2 * time.Hour)
		for range 1000 {
			assert.Equal(t, 1, s.version("flag"))
			assert.Equal(t, map[string]int{"flag": 1}, s.versions())
		}
		assert.LessOrEqual(t, s.store.Stats().Reads, 3, "one read detects the outage")
		assert.Equal(t, interfaces.DataStoreStatus{Available: false}, <-s.status)
		assert.Equal(t, -1, s.version("never read"), "the last known collection does not have it")

		s.checks()
		time.Sleep(time.Hour) // of the bubble: the watch checks the table repeatedly
		assert.InDelta(t, 3600, s.checks(), 10, "once a second in Lambda, after the first checks")
		assert.Len(t, s.log.GetOutput(ldlog.Warn), 1, "one line per outage")
		s.fail(nil)
		assert.Equal(t, interfaces.DataStoreStatus{Available: true, NeedsRefresh: true}, <-s.status)
		s.pass(time.Second) // the pause after a failed read
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
		assert.Empty(t, s.status)
		s.checks()
		time.Sleep(time.Hour)
		assert.Zero(t, s.checks(), "only while it is down")
	})
}

// A status listener that is not read delays neither the recovery of the cache nor the notifications of other clients.
func TestAListenerThatIsNotReadDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		unread := make(statuses)
		second, err := s.store.Build(subsystems.BasicClientContext{DataStoreUpdateSink: unread})
		require.NoError(t, err)
		for version := 2; version < 5; version++ {
			s.put("flag", version)
			s.fail(errTable)
			s.invalidate("flag", version)
			s.version("flag")
			assert.False(t, (<-s.status).Available)
			s.fail(nil)
			assert.True(t, (<-s.status).Available)
			synctest.Wait() // the watch ends
			assert.Equal(t, version, s.version("flag"))
		}
		assert.False(t, (<-unread).Available)
		assert.True(t, (<-unread).Available, "the latest status, although others were skipped")
		synctest.Wait()
		assert.Empty(t, unread)
		require.NoError(t, second.Close())
	})
}

// After a failed Query, an invalidation ends the backoff: the flag is read, by its own read or by another Query.
func TestAnInvalidationEndsTheBackoffAfterAFailedQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.versions()
		s.store.InvalidateAll()
		s.failOnly(all, errTable)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
		synctest.Wait()
		s.failOnly(all, nil)
		s.put("flag", 2)
		assert.Equal(t, map[string]int{"flag": 1}, s.versions(), "the collection is in backoff")
		s.invalidate("flag", 2)
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
	})
}

// A throttled read or an unreadable row is not an outage: other flags are read, and no client is notified.
func TestOneFailedReadIsNotAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.put("other", 1)
		s.version("flag")
		s.put("flag", 2)
		s.invalidate("flag", 2)
		s.failOnly("flag", errTable)
		assert.Equal(t, 1, s.version("flag"))
		synctest.Wait()
		assert.Empty(t, s.status)
		assert.Equal(t, 1, s.version("other"))
		assert.Equal(t, 1, s.version("flag"))
		assert.Equal(t, 2, s.readsOf("flag"), "the flag is in backoff")
		s.failOnly("flag", nil)
		s.pass(time.Second)
		assert.Equal(t, 2, s.version("flag"))

		s.failOnly("new", errTable)
		for range 100 {
			_, err := s.client.Get(features, "new")
			assert.ErrorIs(t, err, errTable)
		}
		assert.Equal(t, 1, s.readsOf("new"))
	})
}

// A table whose check does not end in time is down, until a check succeeds.
func TestATableThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.ReadLimit(time.Second))
		s.put("flag", 1)
		s.version("flag")
		release, releaseAsked := s.hold("flag"), s.hold("available")
		s.invalidate("flag", 2)
		assert.Equal(t, 1, s.version("flag"), "after a second")
		time.Sleep(time.Second)
		assert.False(t, (<-s.status).Available)
		release()
		synctest.Wait() // the abandoned read has ended, so the next one does not overlap it
		releaseAsked()
		assert.True(t, (<-s.status).Available)
		assert.Equal(t, 1, s.version("flag"))
	})
}

func TestWakeChecksTheTableAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.fail(errTable)
		_, err := s.client.Get(features, "flag")
		require.Error(t, err)
		time.Sleep(time.Hour) // the pauses have grown
		s.fail(nil)
		before := time.Now()
		s.store.Wake()
		synctest.Wait()
		assert.Equal(t, -1, s.version("flag"))
		assert.Equal(t, before, time.Now())
		assert.Len(t, s.status, 2)
	})
}

func TestPastMaxStaleAGetReturnsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(time.Minute), cachedstore.MaxStale(time.Hour))
		s.put("flag", 1)
		s.versions()
		s.fail(errTable)
		s.pass(time.Hour)
		assert.Equal(t, 1, s.version("flag"))
		assert.Equal(t, map[string]int{"flag": 1}, s.versions())
		s.freeze(time.Second)
		_, err := s.client.Get(features, "flag")
		assert.ErrorIs(t, err, errTable)
		_, err = s.client.GetAll(features)
		assert.ErrorIs(t, err, errTable)
	})
}

func TestAPanicInTheStoreReleasesTheWaitingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.table.mu.Lock()
		s.panics = true
		s.table.mu.Unlock()
		_, err := s.client.Get(features, "flag")
		assert.ErrorContains(t, err, "planted")
		_, err = s.client.GetAll(features)
		assert.ErrorContains(t, err, "planted")
	})
}

func TestAReadThatNeverEndsIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTable(t)
		s := newSystem(t, x, cachedstore.ReadLimit(3*time.Second))
		s.put("flag", 1)
		require.Equal(t, 1, s.version("flag"))
		release := s.hold("flag")
		s.put("flag", 2)
		s.invalidate("flag", 2)
		before := time.Now()
		assert.Equal(t, 1, s.version("flag"), "the last known value, after the time limit")
		assert.Equal(t, 3*time.Second, time.Since(before))

		s.put("flag", 3)
		x.mu.Lock()
		delete(x.holds, "flag")   // later reads end at once
		x.reading["flag"] = false // the abandoned read does not count as in progress
		x.mu.Unlock()
		time.Sleep(time.Minute) // the check of the table succeeds
		s.pass(time.Minute)
		require.Equal(t, 3, s.version("flag"))
		release() // the abandoned read returns version 2
		synctest.Wait()
		assert.Equal(t, 3, s.version("flag"), "neither kept nor returned")
	})
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTable(t)
		assert.ErrorIs(t, cachedstore.New(x).Ready(t.Context()), cachedstore.ErrNotBuilt)
		s := newSystem(t, x)
		assert.NoError(t, s.store.Ready(t.Context()))
		x.mu.Lock()
		x.inited = false
		x.mu.Unlock()
		assert.ErrorIs(t, s.store.Ready(t.Context()), cachedstore.ErrNoData)
		s.fail(errTable)
		assert.ErrorContains(t, s.store.Ready(t.Context()), "cannot be read")
		s.fail(nil)
		answer := s.hold("available")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, s.store.Ready(ctx), context.DeadlineExceeded)
		answer()
	})
}

func TestSeveralClientsShareOneCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTable(t)
		s := newSystem(t, x)
		second := s.build()
		s.put("flag", 1)
		s.version("flag")
		item, err := second.Get(features, "flag")
		require.NoError(t, err)
		assert.Equal(t, 1, item.Version)
		assert.Equal(t, 1, s.readsOf("flag"))
		require.NoError(t, second.Close())
		require.NoError(t, second.Close())
		assert.Zero(t, x.closed)
		assert.Equal(t, 1, s.version("flag"))
		require.NoError(t, s.client.Close())
		assert.Equal(t, 1, x.closed)

		s.client = s.build() // opens a new cache
		assert.Equal(t, 1, s.version("flag"))
		assert.Equal(t, 2, s.readsOf("flag"))
	})
}

func TestPreloadReadsEachKindOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTable(t)
		x.put("flag", 1)
		s := newSystem(t, x, cachedstore.Preload())
		assert.Equal(t, 1, s.version("flag"))
		assert.Equal(t, -1, s.version("no"))
		s.versions()
		assert.Equal(t, 2, s.store.Stats().Reads)
	})
}

func TestAnInvalidationDuringPreloadIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTable(t)
		x.put("flag", 1)
		release := x.hold(all)
		s := &system{t: t, table: x, clocks: newClocks(), status: make(statuses, 100), log: ldlogtest.NewMockLog()}
		s.store = cachedstore.New(x, cachedstore.Preload(), cachedstore.TTL(time.Hour), cachedstore.InLambda(true))
		building := async(s.build)
		synctest.Wait() // the preload has seen version 1
		x.put("flag", 2)
		s.invalidate("flag", 2)
		x.put("new", 1)
		s.invalidate("new", 1)
		release()
		s.client = <-building
		assert.Equal(t, map[string]int{"flag": 2, "new": 1}, s.versions())
		require.NoError(t, s.client.Close())
	})
}

func TestWrongOptionsAreReportedTogether(t *testing.T) {
	_, err := cachedstore.New(newTable(t), cachedstore.ReadLimit(0), cachedstore.MaxStale(time.Second)).
		Build(subsystems.BasicClientContext{})
	assert.ErrorContains(t, err, "ReadLimit(0s)")
	assert.ErrorContains(t, err, "MaxStale(1s)")
	_, err = cachedstore.New(nil).Build(subsystems.BasicClientContext{})
	assert.ErrorContains(t, err, "no inner store")
}
