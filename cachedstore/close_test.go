package cachedstore_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

func TestAClosedClientReturnsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		s.versions()
		second := s.build()
		require.NoError(t, s.client.Close())
		_, err := s.client.Get(features, "flag")
		assert.ErrorContains(t, err, "store is closed")
		_, err = s.client.GetAll(features)
		assert.ErrorContains(t, err, "store is closed")
		_, err = s.client.Upsert(features, "flag", ldstoretypes.ItemDescriptor{})
		assert.ErrorContains(t, err, "store is closed")
		assert.ErrorContains(t, s.client.Init(nil), "store is closed")
		assert.False(t, s.client.IsInitialized())
		assert.Zero(t, s.writes)

		item, err := second.Get(features, "flag")
		require.NoError(t, err, "the other client's cache is open")
		assert.Equal(t, 1, item.Version)
		require.NoError(t, second.Close())
		_, err = second.Get(features, "flag")
		assert.ErrorContains(t, err, "store is closed")
	})
}

// cancelable is a table whose reads end when their context is canceled, like dynamostore's.
type cancelable struct{ *table }

func (x cancelable) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	return x, nil
}

func (x cancelable) GetContext(
	ctx context.Context, _ ldstoretypes.DataKind, _ string,
) (ldstoretypes.SerializedItemDescriptor, error) {
	<-ctx.Done()
	return ldstoretypes.SerializedItemDescriptor{}, ctx.Err()
}

func (x cancelable) GetAllContext(
	ctx context.Context, _ ldstoretypes.DataKind,
) ([]ldstoretypes.KeyedSerializedItemDescriptor, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A read that ends because the cache is closed is not a failure: nothing is logged, and no client is notified.
func TestCloseDuringReadsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		require.NoError(t, s.client.Close())
		s.store = cachedstore.New(cancelable{s.table}, cachedstore.InLambda(true), cachedstore.ReadLimit(time.Minute),
			cachedstore.ShortWait(-1))
		s.client = s.build()
		get := async(func() error { _, err := s.client.Get(features, "flag"); return err })
		getAll := async(func() error { _, err := s.client.GetAll(features); return err })
		synctest.Wait()
		assert.Zero(t, elapsed(func() { require.NoError(t, s.client.Close()) }))
		assert.ErrorContains(t, <-get, "store is closed")
		assert.ErrorContains(t, <-getAll, "store is closed")
		assert.Empty(t, s.log.GetOutput(ldlog.Warn))
		assert.Empty(t, s.log.GetOutput(ldlog.Error))
		assert.Empty(t, s.status)
	})
}

// If the inner store ignores its context, neither Close nor the waiting calls wait for ReadLimit.
func TestCloseDoesNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.ReadLimit(time.Minute), cachedstore.ShortWait(-1))
		release := s.hold("flag")
		get := async(func() error { _, err := s.client.Get(features, "flag"); return err })
		synctest.Wait()
		assert.Less(t, elapsed(func() { require.NoError(t, s.client.Close()) }), time.Second)
		assert.Zero(t, elapsed(func() { assert.ErrorContains(t, <-get, "store is closed") }))
		assert.Len(t, s.log.GetOutput(ldlog.Warn), 1)
		release()
	})
}

// A check of the table that ends because the cache is closed is not an outage.
func TestCloseDuringACheckReportsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.failOnly("flag", errTable)
		release := s.hold("available")
		_, err := s.client.Get(features, "flag")
		require.Error(t, err)
		synctest.Wait()
		require.NoError(t, s.client.Close())
		release()
		synctest.Wait()
		require.Len(t, s.log.GetOutput(ldlog.Warn), 1)
		assert.Contains(t, s.log.GetOutput(ldlog.Warn)[0], "had not returned")
		assert.Empty(t, s.status)
	})
}

// evaluating is a logger that reads a flag and invalidates another before it logs a line.
type evaluating struct{ s *system }

func (l evaluating) Println(...any) {
	_, _ = l.s.client.Get(features, "flag")
	_, _ = l.s.client.GetAll(features)
	l.s.invalidate("other", 0)
}
func (l evaluating) Printf(string, ...any) { l.Println() }

func TestALoggerMayEvaluateFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.Sizes(25, 2))
		require.NoError(t, s.client.Close())
		var loggers ldlog.Loggers
		loggers.SetBaseLogger(evaluating{s})
		client, err := s.store.Build(subsystems.BasicClientContext{
			Logging: subsystems.LoggingConfiguration{Loggers: loggers},
		})
		require.NoError(t, err)
		s.client = client
		s.raw("flag", 1, `{`) // a row that cannot be decoded
		s.raw("other", 1, `{`)
		_, err = s.client.Get(features, "flag")
		assert.ErrorContains(t, err, "decode")
		s.versions()
		for _, key := range []string{"x", "y", "z"} {
			s.version(key) // unknown keys are removed
		}
		s.fail(errTable)
		s.store.InvalidateAll()
		s.version("x")
		time.Sleep(time.Minute)
		s.fail(nil)
		time.Sleep(time.Minute)
		s.version("x")
	})
}

// An application's status listener whose channel is never read blocks the SDK's broadcaster forever.
func TestAnUndrainedListenerDoesNotBlockTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTable(t)
		store := cachedstore.New(x, cachedstore.InLambda(true), cachedstore.TTL(-1))
		stuck := make(statuses) // UpdateStatus never returns
		client, err := store.Build(subsystems.BasicClientContext{DataStoreUpdateSink: stuck})
		require.NoError(t, err)
		for version := 1; version < 30; version++ {
			x.put("flag", version)
			store.InvalidateAll()
			item, err := client.Get(features, "flag")
			require.NoError(t, err)
			require.Equal(t, version, item.Version)
			x.fail(errTable)
			store.InvalidateAll()
			_, err = client.Get(features, "flag")
			require.NoError(t, err)
			synctest.Wait()
			x.fail(nil)
			time.Sleep(time.Minute)
		}
		assert.Zero(t, elapsed(func() { require.NoError(t, client.Close()) }))
		assert.False(t, (<-stuck).Available) // its goroutine can end: nothing is sent to a closed client
		synctest.Wait()
		assert.Empty(t, stuck)
	})
}

// LaunchDarkly's client with the FDv2 data system calls DropCache once its own memory holds all flags.
func TestDropCacheRemovesCachedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		manyFlags(s, 100, 1)
		s.versions()
		dropper, ok := s.client.(interface{ DropCache() })
		require.True(t, ok)
		releaseOld := s.hold("flag7")
		s.invalidate("flag7", 0)
		old := async(func() int { return s.version("flag7") })
		synctest.Wait()
		s.put("flag7", 2)
		s.invalidate("flag7", 2)
		dropper.DropCache()
		assert.Equal(t, 1, s.store.Stats().Entries, "the entry that is being read")
		releaseOld()
		assert.Equal(t, 1, <-old)
		assert.Equal(t, 2, s.version("flag7"), "an invalidation remains in effect")

		releaseAll := s.hold(all)
		whole := async(s.versions) // sees version 1
		synctest.Wait()
		s.put("flag8", 2)
		s.invalidate("flag8", 2)
		dropper.DropCache()
		releaseAll()
		<-whole
		assert.Equal(t, 2, s.version("flag8"), "also during a read of the collection")
		require.NoError(t, s.client.Init(nil))
		assert.Equal(t, 1, s.writes)
	})
}

// A background read would fill the memory that DropCache has freed.
func TestDropCacheCancelsBackgroundReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t), cachedstore.InLambda(false))
		manyFlags(s, 3, 1)
		s.versions()
		s.store.InvalidateAll()
		s.client.(interface{ DropCache() }).DropCache()
		time.Sleep(time.Minute)
		assert.Equal(t, 1, s.readsOf(all))
		assert.Zero(t, s.store.Stats().Entries)
	})
}
