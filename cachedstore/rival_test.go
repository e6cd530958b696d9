package cachedstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

// These tests demonstrate faults of LaunchDarkly's own caching wrapper that this cache does not have. If a newer SDK
// fixes one, its test fails, and the documents must be updated.

// wrapper returns LaunchDarkly's cache over a table, in real time: it has a goroutine that would never end in a
// synctest bubble.
func wrapper(t *testing.T, x *table, ttl time.Duration) (subsystems.DataStore, statuses) {
	status := make(statuses, 100)
	store, err := ldcomponents.PersistentDataStore(x).CacheTime(ttl).Build(subsystems.BasicClientContext{
		DataStoreUpdateSink: status,
		Logging:             subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store, status
}

// lateFill starts a read that sees version 1, writes version 2 through the store, and then lets the read end.
func lateFill(t *testing.T, x *table, store subsystems.DataStore, reading func()) int {
	x.put("flag", 1)
	release := x.hold("flag")
	early := async(func() error { _, err := store.Get(features, "flag"); return err })
	reading()
	flag := ldbuilders.NewFlagBuilder("flag").Version(2).Build()
	_, err := store.Upsert(features, "flag", ldstoretypes.ItemDescriptor{Version: 2, Item: &flag})
	require.NoError(t, err)
	release()
	require.NoError(t, <-early)
	item, err := store.Get(features, "flag")
	require.NoError(t, err)
	return item.Version
}

func TestALateReadReplacesANewerValueInLaunchDarklysWrapper(t *testing.T) {
	x := newTable(t)
	store, _ := wrapper(t, x, time.Hour)
	began := x.notify("flag")
	assert.Equal(t, 1, lateFill(t, x, store, func() { <-began }), "their wrapper serves version 1 for an hour")

	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		assert.Equal(t, 2, lateFill(t, s.table, s.client, synctest.Wait))
	})
}

func TestTheLastValueIsDroppedOnAnErrorInLaunchDarklysWrapper(t *testing.T) {
	x := newTable(t)
	x.put("flag", 1)
	store, _ := wrapper(t, x, time.Nanosecond)
	_, err := store.Get(features, "flag")
	require.NoError(t, err)
	x.fail(errTable)
	_, err = store.Get(features, "flag")
	assert.ErrorIs(t, err, errTable, "their wrapper has dropped the value")

	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(time.Nanosecond))
		s.put("flag", 1)
		s.version("flag")
		s.fail(errTable)
		s.pass(time.Hour)
		assert.Equal(t, 1, s.version("flag"))
	})
}

// A reader in daemon mode that caches forever writes its old cache over a newer table after one failed read.
func TestAReaderWritesAnOldCacheOverANewerTableInLaunchDarklysWrapper(t *testing.T) {
	x := newTable(t)
	x.put("flag", 1)
	store, status := wrapper(t, x, -1)
	_, err := store.GetAll(features)
	require.NoError(t, err)
	x.put("flag", 2) // by another process
	x.fail(errTable)
	_, err = store.Get(features, "another")
	require.Error(t, err)
	assert.False(t, (<-status).Available)
	x.fail(nil)
	assert.True(t, (<-status).Available) // after its next check of the table: there are two a second
	x.mu.Lock()
	assert.Equal(t, 1, x.writes, "their wrapper has written")
	assert.Equal(t, 1, x.written["flag"], "the old version")
	x.mu.Unlock()

	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.TTL(-1))
		s.put("flag", 1)
		s.versions()
		s.put("flag", 2)
		s.fail(errTable)
		_, err := s.client.Get(ldstoreimpl.Segments(), "another")
		require.Error(t, err)
		assert.False(t, (<-s.status).Available)
		s.fail(nil)
		assert.True(t, (<-s.status).Available)
		time.Sleep(time.Hour)
		assert.Zero(t, s.writes)
	})
}
