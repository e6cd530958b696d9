package v4store_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/proof/sim"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

var campaign = sim.Flags()

// simulated is the subject that the simulator tests. The simulator uses the interfaces of SDK v7, so the cache is
// between two adapters. A preload is a call of All, as in users' programs. The cache has no background reads, and reads
// the clock at each Get, whether in Lambda or not, strict or not.
var simulated = sim.Subject{NoStatus: true, Recovery: 6 * time.Second, ShortWait: v4store.DefaultShortWait,
	ManyStale: 1, Forgets: true, New: func(s sim.Setup) sim.System {
		core, _ := s.Table.Build(nil)
		system := &simSystem{preload: s.Preload}
		options := []v4store.CacheOption{
			v4store.TTL(s.TTL), v4store.MaxStale(s.MaxStale), v4store.ReadLimit(s.ReadLimit),
			v4store.CacheClock(s.Clock),
			v4store.Logger(slog.New(slog.DiscardHandler)), v4store.ManyStale(1), v4store.MaxUnknown(2),
			v4store.OnOutage(func(down bool) {
				system.status.UpdateStatus(interfaces.DataStoreStatus{Available: !down})
			}),
		}
		system.Cache = v4store.Cached(ld.FeatureStore(simTable{core}), options...)
		return system
	}}

// simItem is the result of a read of the table. A tombstone is an item too, because the model compares its version.
type simItem struct {
	key  string
	item ldstoretypes.ItemDescriptor
}

func (i *simItem) GetKey() string  { return i.key }
func (i *simItem) GetVersion() int { return i.item.Version }
func (i *simItem) IsDeleted() bool { return false }

type simKind struct{ name string }

func (k simKind) GetNamespace() string                         { return k.name }
func (k simKind) GetDefaultItem() any                          { return nil }
func (k simKind) MakeDeletedItem(string, int) ld.VersionedData { return nil }

func (k simKind) kind() ldstoretypes.DataKind {
	for _, kind := range ldstoreimpl.AllKinds() {
		if kind.GetName() == k.name {
			return kind
		}
	}
	return nil
}

// simTable is the simulator's table as a store of go-client.v4. Broken JSON is an error of a Get, and is skipped by
// All.
type simTable struct {
	core subsystems.PersistentDataStore
}

func (t simTable) Get(kind ld.VersionedDataKind, key string) (ld.VersionedData, error) {
	raw, err := t.core.Get(kind.(simKind).kind(), key)
	if err != nil {
		return nil, err
	}
	return t.decode(kind, key, raw)
}

func (t simTable) All(kind ld.VersionedDataKind) (map[string]ld.VersionedData, error) {
	all, _, err := t.AllAndBroken(kind)
	return all, err
}

func (t simTable) AllAndBroken(
	kind ld.VersionedDataKind,
) (all map[string]ld.VersionedData, broken map[string]error, err error) {
	raw, err := t.core.GetAll(kind.(simKind).kind())
	if err != nil {
		return nil, nil, err
	}
	all, broken = map[string]ld.VersionedData{}, map[string]error{}
	for _, each := range raw {
		item, err := t.decode(kind, each.Key, each.Item)
		if err != nil {
			broken[each.Key] = err
			continue
		}
		all[each.Key] = item
	}
	return all, broken, nil
}

func (t simTable) decode(
	kind ld.VersionedDataKind, key string, raw ldstoretypes.SerializedItemDescriptor,
) (ld.VersionedData, error) {
	if raw.SerializedItem == nil {
		return nil, nil
	}
	item := ldstoretypes.ItemDescriptor{Version: raw.Version}
	if !raw.Deleted {
		var err error
		if item, err = kind.(simKind).kind().Deserialize(raw.SerializedItem); err != nil {
			return nil, v4store.BrokenRow(err)
		}
	}
	return &simItem{key, item}, nil
}

func (t simTable) Init(map[ld.VersionedDataKind]map[string]ld.VersionedData) error {
	return t.core.Init(nil)
}
func (t simTable) Delete(kind ld.VersionedDataKind, key string, _ int) error {
	_, err := t.core.Upsert(kind.(simKind).kind(), key, ldstoretypes.SerializedItemDescriptor{})
	return err
}
func (t simTable) Upsert(kind ld.VersionedDataKind, item ld.VersionedData) error {
	return t.Delete(kind, item.GetKey(), item.GetVersion())
}
func (t simTable) Initialized() bool { return t.core.IsInitialized() }

// simSystem is the cache as a sim.System.
type simSystem struct {
	*v4store.Cache[ld.VersionedDataKind, ld.VersionedData]
	preload bool // the preload has not started yet
	status  subsystems.DataStoreUpdateSink
}

func (s *simSystem) Build(context subsystems.ClientContext) (subsystems.DataStore, error) {
	if s.status == nil {
		s.status = context.GetDataStoreUpdateSink()
	}
	if s.preload {
		s.preload = false
		done := make(chan struct{})
		for _, kind := range ldstoreimpl.AllKinds() {
			go func() {
				_, _ = s.All(simKind{kind.GetName()}) // items that could not be read are read when they are needed
				done <- struct{}{}
			}()
		}
		for range ldstoreimpl.AllKinds() {
			<-done
		}
	}
	return simClient{s}, nil
}

// simClient is a client's data store.
type simClient struct{ *simSystem }

func (c simClient) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	item, err := c.Cache.Get(simKind{kind.GetName()}, key)
	if item == nil {
		return ldstoretypes.ItemDescriptor{}.NotFound(), err
	}
	return item.(*simItem).item, err
}

func (c simClient) GetAll(kind ldstoretypes.DataKind) (all []ldstoretypes.KeyedItemDescriptor, err error) {
	items, err := c.All(simKind{kind.GetName()})
	for key, item := range items {
		all = append(all, ldstoretypes.KeyedItemDescriptor{Key: key, Item: item.(*simItem).item})
	}
	return all, err
}

func (c simClient) Init([]ldstoretypes.Collection) error { return c.Cache.Init(nil) }
func (c simClient) Upsert(ldstoretypes.DataKind, string, ldstoretypes.ItemDescriptor) (bool, error) {
	return false, c.Cache.Init(nil)
}
func (c simClient) IsInitialized() bool             { return c.Initialized() }
func (c simClient) IsStatusMonitoringEnabled() bool { return false }
func (c simClient) Close() error                    { return nil }

// TestSim is the short run; with -sim.seeds=100000 it is the long one.
func TestSim(t *testing.T) {
	campaign.Run(t, simulated)
}

// regressions are shrunk histories in which the cache once broke a promise.
var regressions = [][2]string{
	{"All served an item's read from before a freeze",
		"ttl=1m held lambda; get 0 0; getall 0 14; getall 0 0; get 0 7; back 0 0; rumor 0 0; get 0 0; answer 0 0; " +
			"get 0 21; answer 0 0; freeze 0 0; answer 6 0; getall 0 0"},
	{"a Get did not read again although a read of its collection had succeeded",
		"ttl=1m preload held lambda; wake 0 0; answer 0 0; write 0 0; answer 0 0; deliver 0 0; get 0 0; " +
			"answer 0 22; getall 0 0; freeze 0 21; get 0 0; back 0 0; answer 0 0; get 0 0"},
	{"a discarded read of the collection replaced an item's own read",
		"ttl=1m lambda; table 2 0; outage 0 0; get 0 0; get 0 13; table 3 0; answer 1 0; get 0 22; getall 0 0; " +
			"answer 4 0; outage 0 0; invalidateall 0 0; answer 0 0; answer 0 0; back 0 0; get 0 20; getall 0 0; " +
			"get 0 15; freeze 0 0; answer 6 0; get 0 0; write 0 0"},
	{"an item's discarded read replaced a newer read of its collection",
		"ttl=1m maxstale=1m30s held lambda; outage 0 0; get 0 0; get 0 14; freeze 5 0; answer 0 0; getall 0 0; " +
			"invalidateall 0 0; answer 1 0; answer 0 0; answer 0 23; table 0 0; freeze 2 0; get 0 6"},
	{"a discarded read of the collection replaced an item's own read, and both were invalidated",
		"ttl=1m held lambda; get 0 5; get 0 0; answer 0 0; getall 0 14; get 0 15; get 0 22; back 0 0; table 3 0; " +
			"getall 0 0; freeze 0 0; get 0 22; write 6 0; invalidateall 0 0; answer 4 0"},
	{"All repeated a read that had started after the call",
		"ttl=1m held lambda; write 4 0; getall 0 0; deliver 0 0; back 0 0; get 0 4; freeze 0 0; answer 3 0; " +
			"getall 0 0"},
	{"a discarded read of the collection replaced an item's own read, after two freezes",
		"ttl=1m maxstale=-1ns lag lambda; table 3 0; get 0 0; pass 3 0; get 0 13; outage 0 0; answer 1 0; " +
			"pass 4 0; get 0 15; rumor 7 0; getall 0 0; get 0 0; get 0 15; answer 1 0; get 0 5; answer 1 0; " +
			"answer 5 0; invalidateall 0 0; write 0 0; get 0 0; back 0 0; lag 7 0; answer 0 0; answer 0 0; " +
			"getall 0 0; " +
			"freeze 0 0; get 0 0; freeze 0 0; outage 0 0; answer 2 0"},
}

func TestSimRegressions(t *testing.T) { sim.Replay(t, simulated, regressions) }
