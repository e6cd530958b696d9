package cachedstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldlogtest"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
)

// modes are the cache modes in which LaunchDarkly's own wrapper is tested.
var modes = []struct {
	name string
	ttl  time.Duration
}{{"a TTL", time.Hour}, {"forever", -1}, {"no cache", 0}}

var user = ldcontext.New("member")

func daemon(t *testing.T, store *cachedstore.Store) *ld.LDClient {
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// fill puts a flag with a prerequisite and a segment into the table. The users in included are members of the segment.
func fill(x *table, segmentVersion int, included ...string) {
	gate := ldbuilders.NewFlagBuilder("gate").Version(1).On(true).Variations(ldvalue.Bool(false), ldvalue.Bool(true)).
		FallthroughVariation(0).OffVariation(0).
		AddRule(ldbuilders.NewRuleBuilder().ID("members").Variation(1).
			Clauses(ldbuilders.SegmentMatchClause("members"))).Build()
	flag := ldbuilders.NewFlagBuilder("flag").Version(1).On(true).
		Variations(ldvalue.String("no"), ldvalue.String("yes")).
		FallthroughVariation(1).OffVariation(0).AddPrerequisite("gate", 1).Build()
	segment := ldbuilders.NewSegmentBuilder("members").Version(segmentVersion).Included(included...).Build()
	x.mu.Lock()
	defer x.mu.Unlock()
	put := func(kind ldstoretypes.DataKind, key string, item ldstoretypes.ItemDescriptor) {
		x.rows[kind.GetName()][key] = ldstoretypes.SerializedItemDescriptor{Version: item.Version,
			SerializedItem: kind.Serialize(item)}
	}
	put(features, "gate", ldstoretypes.ItemDescriptor{Version: 1, Item: &gate})
	put(features, "flag", ldstoretypes.ItemDescriptor{Version: 1, Item: &flag})
	put(ldstoreimpl.Segments(), "members", ldstoretypes.ItemDescriptor{Version: segmentVersion, Item: &segment})
}

func TestARealClientInDaemonMode(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			x := newTable(t)
			fill(x, 1, "another")
			store := cachedstore.New(x, cachedstore.TTL(mode.ttl))
			client := daemon(t, store)

			value, detail, err := client.StringVariationDetail("flag", user, "default")
			require.NoError(t, err)
			assert.Equal(t, "no", value)
			assert.Equal(t, ldreason.EvalReasonPrerequisiteFailed, detail.Reason.GetKind())
			assert.Equal(t, "gate", detail.Reason.GetPrerequisiteKey())
			_, detail, err = client.BoolVariationDetail("unknown", user, false)
			require.Error(t, err)
			assert.Equal(t, ldreason.EvalErrorFlagNotFound, detail.Reason.GetErrorKind())

			fill(x, 2, user.Key()) // only the segment changes
			store.Invalidate(change.Change{Kind: change.KindSegments, Key: "members", Version: 2})
			value, detail, err = client.StringVariationDetail("flag", user, "default")
			require.NoError(t, err)
			assert.Equal(t, "yes", value)
			assert.Equal(t, ldreason.EvalReasonFallthrough, detail.Reason.GetKind())
			all := client.AllFlagsState(user)
			assert.Equal(t, map[string]ldvalue.Value{"flag": ldvalue.String("yes"), "gate": ldvalue.Bool(true)},
				all.ToValuesMap())
			x.mu.Lock()
			assert.Zero(t, x.writes, "daemon mode is read-only")
			x.mu.Unlock()
		})
	}
}

func TestARealClientIsNotifiedOfAnOutage(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			x := newTable(t)
			fill(x, 1)
			store := cachedstore.New(x, cachedstore.TTL(mode.ttl))
			client := daemon(t, store)
			provider := client.GetDataStoreStatusProvider()
			assert.True(t, provider.IsStatusMonitoringEnabled())
			received := provider.AddStatusListener()
			require.Equal(t, "no", value(t, client))
			x.fail(errTable)
			store.InvalidateAll()
			assert.Equal(t, "no", value(t, client), "the last known value")
			assert.Equal(t, interfaces.DataStoreStatus{Available: false}, <-received)
			x.fail(nil)
			assert.True(t, (<-received).Available)
		})
	}
}

// In daemon mode a client is initialized without a check of the table.
func TestARealClientOfAnEmptyTableIsInitialized(t *testing.T) {
	x := newTable(t)
	x.inited = false
	store := cachedstore.New(x)
	assert.True(t, daemon(t, store).Initialized())
	assert.ErrorIs(t, store.Ready(t.Context()), cachedstore.ErrNoData)
}

// Evaluations of a missing flag, or during an outage, must not log one line each: neither in LaunchDarkly's client nor
// in the cache.
func TestEvaluationsDoNotFloodTheLog(t *testing.T) {
	x := newTable(t)
	fill(x, 1, user.Key())
	log := ldlogtest.NewMockLog()
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore: cachedstore.New(x), DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.Logging().Loggers(log.Loggers),
	}, time.Second)
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	lines := func() int { return len(log.GetOutput(ldlog.Warn)) + len(log.GetOutput(ldlog.Error)) }
	evaluate := func(flag string) int {
		before := lines()
		for range 1000 {
			_, _ = client.StringVariation(flag, user, "default")
			client.AllFlagsState(user)
		}
		return lines() - before
	}
	assert.Zero(t, evaluate("flag"))
	assert.Zero(t, evaluate("missing"))
	x.fail(errTable)
	for _, flag := range []string{"flag", "missing"} {
		assert.LessOrEqual(t, evaluate(flag), 1, "during an outage, with a last known value")
	}
}

func value(t *testing.T, client *ld.LDClient) string {
	v, err := client.StringVariation("flag", user, "default")
	require.NoError(t, err)
	return v
}

// A client that is not in daemon mode writes to the table and reads what it wrote.
func TestARealClientThatWrites(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			x := newTable(t)
			data := ldtestdata.DataSource()
			data.Update(data.Flag("flag").ValueForAll(ldvalue.Int(1)))
			client, err := ld.MakeCustomClient("", ld.Config{
				DataStore: cachedstore.New(x, cachedstore.TTL(mode.ttl)), DataSource: data,
				Events:  ldcomponents.NoEvents(),
				Logging: ldcomponents.Logging().MinLevel(ldlog.None),
			}, time.Second)
			require.NoError(t, err)
			defer func() { require.NoError(t, client.Close()) }()
			for version := 2; version < 5; version++ {
				data.Update(data.Flag("flag").ValueForAll(ldvalue.Int(version)))
				got, err := client.IntVariation("flag", user, 0)
				require.NoError(t, err)
				assert.Equal(t, version, got)
			}
			x.mu.Lock()
			assert.Equal(t, 1+3, x.writes, "Init and each update")
			x.mu.Unlock()
		})
	}
}

// A failed write is lost unless the client is notified that it should send its data again, even if the table can be
// read. Reads continue in the meantime.
func TestAFailedWriteIsAnnouncedAsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		flag := func(version int) ldstoretypes.ItemDescriptor {
			f := ldbuilders.NewFlagBuilder("flag").Version(version).Build()
			return ldstoretypes.ItemDescriptor{Version: version, Item: &f}
		}
		down, up := interfaces.DataStoreStatus{}, interfaces.DataStoreStatus{Available: true, NeedsRefresh: true}
		s.failWrites(errTable)
		_, err := s.client.Upsert(features, "flag", flag(2))
		require.ErrorIs(t, err, errTable)
		assert.Equal(t, down, <-s.status)
		assert.Equal(t, 1, s.version("flag"), "reads continue")
		s.put("flag", 3)
		s.invalidate("flag", 3)
		assert.Equal(t, 3, s.version("flag"))
		assert.Equal(t, up, <-s.status)
		synctest.Wait()
		assert.Empty(t, s.status)

		// The next writes fail too: the client is asked to write again, with growing pauses.
		began := time.Now()
		for range 20 {
			require.ErrorIs(t, s.client.Init(nil), errTable)
			assert.Equal(t, down, <-s.status)
			assert.Equal(t, up, <-s.status)
		}
		assert.Greater(t, time.Since(began), 30*time.Second)
		s.failWrites(nil)
		require.NoError(t, s.client.Init(nil))
		time.Sleep(time.Hour)
		assert.Empty(t, s.status)
	})
}

// The table becomes unreachable while a client is asked to write again. That is an outage like any other, and its end
// is also the end for the lost writes.
func TestAnOutageWhileAWriteIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		s.put("flag", 1)
		s.version("flag")
		s.failWrites(errTable)
		require.Error(t, s.client.Init(nil))
		assert.False(t, (<-s.status).Available)
		s.fail(errTable)
		time.Sleep(time.Second)
		s.invalidate("flag", 2)
		reads := s.store.Stats().Reads
		for range 10 {
			assert.Equal(t, 1, s.version("flag"))
		}
		assert.Equal(t, reads, s.store.Stats().Reads, "no call waits for a table that is known to be down")
		require.Error(t, s.client.Init(nil))
		s.failWrites(nil)
		s.fail(nil)
		assert.True(t, (<-s.status).Available)
		time.Sleep(time.Hour)
		assert.Empty(t, s.status, "one outage")
		assert.Len(t, s.log.GetOutput(ldlog.Warn), 3, "the lost write, the outage, its end")
	})
}

// A client that is slow to receive a status is still sent the end of an outage after each of its lost writes.
func TestASlowListenerIsNotifiedOfTheEndOfEachOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t, newTable(t))
		slow := make(statuses)
		second, err := s.store.Build(subsystems.BasicClientContext{DataStoreUpdateSink: slow})
		require.NoError(t, err)
		s.failWrites(errTable)
		require.Error(t, s.client.Init(nil))
		assert.False(t, (<-slow).Available)
		time.Sleep(time.Minute) // the end of the outage is being sent
		require.Error(t, s.client.Init(nil))
		time.Sleep(time.Minute) // another outage has begun and ended
		for _, available := range []bool{true, false, true} {
			assert.Equal(t, available, (<-slow).Available)
		}
		synctest.Wait()
		assert.Empty(t, slow)
		require.NoError(t, second.Close())
	})
}

func TestTheFDv2DataSystemReadsTheStore(t *testing.T) {
	x := newTable(t)
	fill(x, 1, user.Key())
	client, err := ld.MakeCustomClient("", ld.Config{
		DataSystem: ldcomponents.DataSystem().Daemon(cachedstore.New(x, cachedstore.TTL(time.Hour))),
		Events:     ldcomponents.NoEvents(), Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	require.NoError(t, err)
	assert.Equal(t, "yes", value(t, client))
	require.NoError(t, client.Close())
	assert.Equal(t, 1, x.closed)
	assert.Zero(t, x.writes)
}

func TestDescribeConfigurationUsesTheInnerStore(t *testing.T) {
	assert.Equal(t, ldvalue.String("custom"), cachedstore.New(newTable(t)).DescribeConfiguration(nil))
}
