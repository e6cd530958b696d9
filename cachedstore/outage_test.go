package cachedstore_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldlogtest"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
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
		assert.LessOrEqual(t, s.store.Stats().Reads, 3, "one read found out")
		assert.Equal(t, interfaces.DataStoreStatus{Available: false}, <-s.status)
		assert.Equal(t, -1, s.version("never read"), "the collection, as last known, does not have it")

		s.asked()
		time.Sleep(time.Hour) // the bubble's: the poller looks again and again
		assert.InDelta(t, 3600, s.asked(), 10, "at last every second, in Lambda")
		assert.Len(t, s.log.GetOutput(ldlog.Warn), 1, "one line an outage")
		s.fail(nil)
		assert.Equal(t, interfaces.DataStoreStatus{Available: true, NeedsRefresh: true}, <-s.status)
		s.pass(time.Second) // the pause after a failed read
		assert.Equal(t, 2, s.version("flag"))
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
		assert.Empty(t, s.status)
		s.asked()
		time.Sleep(time.Hour)
		assert.Zero(t, s.asked(), "only while it is down")
	})
}

// A status listener that nobody reads keeps neither the cache from its recovery nor other clients from hearing of it.
func TestAListenerThatNobodyReadsHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		deaf := make(statuses)
		second, err := s.store.Build(subsystems.BasicClientContext{DataStoreUpdateSink: deaf})
		require.NoError(t, err)
		for version := 2; version < 5; version++ {
			s.put("flag", version)
			s.fail(errTable)
			s.invalidate("flag", version)
			s.version("flag")
			assert.False(t, (<-s.status).Available)
			s.fail(nil)
			assert.True(t, (<-s.status).Available)
			synctest.Wait() // the poller ends
			assert.Equal(t, version, s.version("flag"))
		}
		assert.False(t, (<-deaf).Available)
		assert.True(t, (<-deaf).Available, "the latest, though much was missed")
		synctest.Wait()
		assert.Empty(t, deaf)
		require.NoError(t, second.Close())
	})
}

// After a Query that failed, a message ends the pause: the flag that it names is read, if not by its own read then by
// another Query.
func TestAMessageEndsAFailedQuerysPause(t *testing.T) {
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
		assert.Equal(t, map[string]int{"flag": 1}, s.versions(), "it is left alone for a moment")
		s.invalidate("flag", 2)
		assert.Equal(t, map[string]int{"flag": 2}, s.versions())
	})
}

// A throttled read, or a row that cannot be read, is no outage: other flags are read, and nobody is alarmed.
func TestOneReadThatFailsIsNoOutage(t *testing.T) {
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
		assert.Equal(t, 2, s.readsOf("flag"), "it is left alone for a moment")
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

// A table whose answer to "are you there?" never comes is down, and up when it answers again.
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
		releaseAsked()
		assert.True(t, (<-s.status).Available)
		assert.Equal(t, 1, s.version("flag"))
	})
}

func TestWakeLooksForRecoveryAtOnce(t *testing.T) {
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

func TestMaxStalePrefersAnError(t *testing.T) {
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

// telling is a table that passes over rows and says which.
type telling struct {
	*table
	rows map[string]error
}

func (x *telling) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	return x, nil
}

func (x *telling) GetAllAndBroken(_ context.Context, kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, map[string]error, error) {
	all, err := x.GetAll(kind)
	return slices.DeleteFunc(all, func(i ldstoretypes.KeyedSerializedItemDescriptor) bool { return x.rows[i.Key] != nil }), x.rows, err
}

func TestARowThatIsPassedOverReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &telling{table: newTable(t), rows: map[string]error{}}
		store := cachedstore.New(x, cachedstore.InLambda(true))
		client, err := store.Build(subsystems.BasicClientContext{Logging: subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()}})
		require.NoError(t, err)
		versions := func() map[string]int {
			all, err := client.GetAll(features)
			require.NoError(t, err)
			found := map[string]int{}
			for _, i := range all {
				found[i.Key] = i.Item.Version
			}
			return found
		}
		x.put("flag", 1)
		x.put("other", 1)
		assert.Equal(t, map[string]int{"flag": 1, "other": 1}, versions())
		x.put("flag", 2)
		x.put("other", 2)
		x.put("new", 1)
		x.rows["flag"], x.rows["new"] = errTable, errTable
		store.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 1, "other": 2}, versions())
		assert.Equal(t, 2, store.Stats().BrokenRows)
		item, err := client.Get(features, "flag")
		require.NoError(t, err)
		assert.Equal(t, 1, item.Version)
		clear(x.rows)
		store.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 2, "other": 2, "new": 1}, versions())
		require.NoError(t, client.Close())
	})
}

func TestBrokenJSONReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.put("other", 1)
		s.versions()
		s.raw("flag", 2, `{"key": `)
		s.put("other", 2)
		s.invalidate("flag", 2)
		assert.Equal(t, 1, s.version("flag"))
		s.store.InvalidateAll()
		assert.Equal(t, map[string]int{"flag": 1, "other": 2}, s.versions(), "nothing else is lost with it")
		synctest.Wait() // lines are written after the calls were freed
		assert.Empty(t, s.status, "the table is well")
		assert.Contains(t, s.log.GetOutput(ldlog.Warn)[0], `decode features "flag": EOF`)

		reads := s.store.Stats().Reads
		s.versions()
		s.version("flag")
		assert.Equal(t, reads, s.store.Stats().Reads, "it is not asked for at each Get")
		s.put("flag", 3)
		s.pass(time.Minute)
		assert.Equal(t, 3, s.version("flag"))
		assert.Equal(t, map[string]int{"flag": 3, "other": 2}, s.versions())
	})
}

func TestAPanicInTheStoreFreesTheWaiters(t *testing.T) {
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
		delete(x.holds, "flag")   // later reads answer at once
		x.reading["flag"] = false // the abandoned one does not count as under way
		x.mu.Unlock()
		time.Sleep(time.Minute) // the poller finds the table well
		s.pass(time.Minute)
		require.Equal(t, 3, s.version("flag"))
		release() // the abandoned read comes back with version 2
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

		s.client = s.build() // anew
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
		s := &system{t: t, table: x, hands: newHands(), status: make(statuses, 100), log: ldlogtest.NewMockLog()}
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
