package benchmarks

import (
	"fmt"
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// TTL is the TTL of every rival: finite, and longer than a benchmark.
const TTL = time.Hour

// Rival is one way to keep flags in memory. Its adapter is in a file of its own.
type Rival struct {
	Name string
	// Fixed is true if the rival never reads the table again.
	Fixed bool
	// Open makes an empty cache over the table, or a full one if the rival cannot read through.
	Open func(tb testing.TB, table *Table, ttl time.Duration) Cache
}

// Cache has the measured operations: the reads of LaunchDarkly's SDK, and the invalidation of a key.
type Cache struct {
	subsystems.DataStore
	// Invalidate makes the next Get of the key read the table. It is nil if the rival cannot do that.
	Invalidate func(kind ldstoretypes.DataKind, key string)
}

// Build implements [subsystems.ComponentConfigurer]. The client closes the cache.
func (c Cache) Build(subsystems.ClientContext) (subsystems.DataStore, error) { return c.DataStore, nil }

// Rivals lists all rivals; the first two are what warmflags is compared with.
func Rivals() []Rival {
	rivals := []Rival{BareMap, Wrapper}
	rivals = append(rivals, Ours()...)
	return append(rivals, GoCache, Otter)
}

// NewCache opens a rival for the length of a test.
func (r Rival) NewCache(tb testing.TB, table *Table, ttl time.Duration) Cache {
	cache := r.Open(tb, table, ttl)
	tb.Cleanup(func() {
		if err := cache.Close(); err != nil {
			tb.Errorf("close %s: %v", r.Name, err)
		}
	})
	return cache
}

// silent builds stores without a client: without listeners, and without a log.
func silent() subsystems.ClientContext {
	return subsystems.BasicClientContext{
		DataStoreUpdateSink: noUpdates{},
		Logging:             subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()},
	}
}

type noUpdates struct{}

func (noUpdates) UpdateStatus(interfaces.DataStoreStatus) {}

// readOnly implements the other methods of a DataStore for rivals that lack them. A client in daemon mode calls only
// IsInitialized and Close of them.
type readOnly struct{}

func (readOnly) Init([]ldstoretypes.Collection) error { return nil }
func (readOnly) IsInitialized() bool                  { return true }
func (readOnly) IsStatusMonitoringEnabled() bool      { return false }
func (readOnly) Close() error                         { return nil }
func (readOnly) Upsert(ldstoretypes.DataKind, string, ldstoretypes.ItemDescriptor) (bool, error) {
	return false, nil
}

// Flags and segments are the two kinds; perKind holds one value for each.
var features, segments = ldstoreimpl.Features(), ldstoreimpl.Segments()

type perKind[T any] struct{ features, segments T }

func (p *perKind[T]) of(kind ldstoretypes.DataKind) *T {
	if kind == features {
		return &p.features
	}
	return &p.segments
}

// decode parses an item of the table.
func decode(
	kind ldstoretypes.DataKind,
	raw ldstoretypes.SerializedItemDescriptor,
) (ldstoretypes.ItemDescriptor, error) {
	if raw.SerializedItem == nil {
		return ldstoretypes.ItemDescriptor{}.NotFound(), nil
	}
	item, err := kind.Deserialize(raw.SerializedItem)
	if err != nil {
		return item, fmt.Errorf("decode an item of %s: %w", kind.GetName(), err)
	}
	return item, nil
}

// load reads one item of the table.
func load(table *Table, kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	raw, err := table.Get(kind, key)
	if err != nil {
		return ldstoretypes.ItemDescriptor{}, err
	}
	return decode(kind, raw)
}

// loadAll reads all items of a kind.
func loadAll(table *Table, kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	raw, err := table.GetAll(kind)
	if err != nil {
		return nil, err
	}
	items := make([]ldstoretypes.KeyedItemDescriptor, len(raw))
	for i, r := range raw {
		item, err := decode(kind, r.Item)
		if err != nil {
			return nil, err
		}
		items[i] = ldstoretypes.KeyedItemDescriptor{Key: r.Key, Item: item}
	}
	return items, nil
}
