package cachedstore

import (
	"fmt"
	"slices"
	"sync"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/change"
)

// client is the data store of one LaunchDarkly client; several may share a cache.
type client struct {
	cache *cache
	close func() error // runs once
}

// client makes the data store of one more client, which hears of outages through sink (nil: it does not) and calls release
// once when it is closed.
func (s *cache) client(sink subsystems.DataStoreUpdateSink, release func() error) *client {
	l := &listener{sink: sink}
	if sink != nil {
		s.mu.Lock()
		s.outage.listeners = append(s.outage.listeners, l)
		s.pokeLocked() // a client that is built during an outage hears of it
		s.mu.Unlock()
	}
	return &client{cache: s, close: sync.OnceValue(func() error {
		s.mu.Lock()
		s.outage.listeners = slices.DeleteFunc(s.outage.listeners, func(other *listener) bool { return other == l })
		s.mu.Unlock()
		return release()
	})}
}

// Get implements [subsystems.DataStore]. A hit takes no lock: it loads the value first and the mode second. A Get that runs
// beside the first Wake can so load a value that is just being taken away, and then a mode that looks at no clock. It began
// before Wake returned, and its answer is one that it could have had then.
func (c *client) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	coll := c.cache.collection(kind)
	if sl := coll.slots.get(key); sl != nil {
		if v := sl.fresh.Load(); v != nil && (c.cache.mode.Load() == timed || c.cache.hit(v.until)) {
			return v.item, nil
		}
	}
	return c.cache.get(coll, key)
}

// GetAll implements [subsystems.DataStore]. Callers share the slice and must not change it.
func (c *client) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	coll := c.cache.collection(kind)
	if v := coll.view.Load(); v != nil && (c.cache.mode.Load() == timed || c.cache.fresh(v.until)) {
		return v.items, nil
	}
	return c.cache.getAll(coll)
}

// Init implements [subsystems.DataStore] for a client that is not in daemon mode: it writes through.
func (c *client) Init(all []ldstoretypes.Collection) error {
	serialized := make([]ldstoretypes.SerializedCollection, len(all))
	for i, coll := range all {
		items := make([]ldstoretypes.KeyedSerializedItemDescriptor, len(coll.Items))
		for j, item := range coll.Items {
			items[j] = ldstoretypes.KeyedSerializedItemDescriptor{Key: item.Key, Item: serialize(coll.Kind, item.Item)}
		}
		serialized[i] = ldstoretypes.SerializedCollection{Kind: coll.Kind, Items: items}
	}
	err := c.cache.core.Init(serialized)
	c.cache.invalidateEverything() // also after an error: part of it may have been written
	if err != nil {
		c.cache.unwritten(err)
		return fmt.Errorf("write all flags: %w", err)
	}
	c.cache.inited.Store(true)
	return nil
}

// Upsert implements [subsystems.DataStore] for a client that is not in daemon mode: it writes through.
func (c *client) Upsert(kind ldstoretypes.DataKind, key string, item ldstoretypes.ItemDescriptor) (bool, error) {
	updated, err := c.cache.core.Upsert(kind, key, serialize(kind, item))
	c.cache.invalidate([]change.Change{{Kind: kind.GetName(), Key: key}})
	if err != nil {
		c.cache.unwritten(err)
		return false, fmt.Errorf("write %s %q: %w", kind.GetName(), key, err)
	}
	return updated, nil
}

// unwritten is failedLocked for writes, which hold no lock.
func (s *cache) unwritten(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage.unwritten = true
	s.failedLocked(err)
}

// serialize writes an item as LaunchDarkly's wrapper does; one that is nil is a tombstone.
func serialize(kind ldstoretypes.DataKind, item ldstoretypes.ItemDescriptor) ldstoretypes.SerializedItemDescriptor {
	return ldstoretypes.SerializedItemDescriptor{
		Version: item.Version, Deleted: item.Item == nil, SerializedItem: kind.Serialize(item),
	}
}

// IsInitialized implements [subsystems.DataStore].
func (c *client) IsInitialized() bool { return c.cache.initialized() }

// IsStatusMonitoringEnabled implements [subsystems.DataStore]: outages are announced.
func (c *client) IsStatusMonitoringEnabled() bool { return true }

// Close implements io.Closer. The last client's Close closes the table.
func (c *client) Close() error { return c.close() }

// DescribeConfiguration implements [subsystems.DiagnosticDescription] with the inner store's description.
func (s *Store) DescribeConfiguration(context subsystems.ClientContext) ldvalue.Value {
	if d, ok := s.inner.(subsystems.DiagnosticDescription); ok {
		return d.DescribeConfiguration(context)
	}
	return ldvalue.String("custom")
}
