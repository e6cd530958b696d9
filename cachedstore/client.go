package cachedstore

import (
	"fmt"
	"sync/atomic"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/change"
)

// client is the data store of one LaunchDarkly client. Several may share a cache.
type client struct {
	cache    atomic.Pointer[cache] // nil after Close
	unlisten func()                // stops the notifications of outages; nil if the client gets none
	release  func() error          // called once, by Close
}

// newClient returns the data store of one client. Sink is notified of outages; it may be nil.
func newClient(c *cache, sink subsystems.DataStoreUpdateSink, release func() error) *client {
	cl := &client{release: release}
	cl.cache.Store(c)
	if sink != nil {
		cl.unlisten = c.outage.Listen(sink)
	}
	return cl
}

// Get implements [subsystems.DataStore]. After Close it returns an error.
//
// A hit takes no lock. While values are removed before they expire (swept), it reads no clock. It loads the value
// before swept, so a Get that runs during the first Wake can return a value that this Wake removes. That is correct,
// because the Get started before Wake returned.
func (cl *client) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	c := cl.cache.Load()
	if c == nil {
		return notFound, errClosed
	}
	coll := c.collection(kind)
	if e, ok := coll.entries.Load(key); ok {
		if v := e.fresh.Load(); v != nil && (c.swept.Load() || !v.until.Reached(c.options.clock())) {
			return v.item, nil
		}
	}
	return c.get(coll, key)
}

// GetAll implements [subsystems.DataStore]. Callers share the slice and must not change it. After Close it returns an
// error.
func (cl *client) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	c := cl.cache.Load()
	if c == nil {
		return nil, errClosed
	}
	coll := c.collection(kind)
	if v := coll.view.Load(); v != nil && (c.swept.Load() || !v.until.Reached(c.options.clock())) {
		return v.items, nil
	}
	return c.getAll(coll)
}

// Init implements [subsystems.DataStore] for a client that is not in daemon mode. It writes to the inner store.
func (cl *client) Init(all []ldstoretypes.Collection) error {
	c := cl.cache.Load()
	if c == nil {
		return errClosed
	}
	serialized := make([]ldstoretypes.SerializedCollection, len(all))
	for i, coll := range all {
		items := make([]ldstoretypes.KeyedSerializedItemDescriptor, len(coll.Items))
		for j, item := range coll.Items {
			items[j] = ldstoretypes.KeyedSerializedItemDescriptor{Key: item.Key, Item: serialize(coll.Kind, item.Item)}
		}
		serialized[i] = ldstoretypes.SerializedCollection{Kind: coll.Kind, Items: items}
	}
	err := c.inner.core.Init(serialized)
	c.invalidateEverything() // also after an error: some items may have been written
	if err != nil {
		c.outage.WriteFailed(err)
		return fmt.Errorf("write all flags: %w", err)
	}
	c.inited.Store(true)
	return nil
}

// Upsert implements [subsystems.DataStore] for a client that is not in daemon mode. It writes to the inner store.
func (cl *client) Upsert(kind ldstoretypes.DataKind, key string, item ldstoretypes.ItemDescriptor) (bool, error) {
	c := cl.cache.Load()
	if c == nil {
		return false, errClosed
	}
	updated, err := c.inner.core.Upsert(kind, key, serialize(kind, item))
	c.invalidate([]change.Change{{Kind: kind.GetName(), Key: key}})
	if err != nil {
		c.outage.WriteFailed(err)
		return false, fmt.Errorf("write %s %q: %w", kind.GetName(), key, err)
	}
	return updated, nil
}

// serialize encodes an item as LaunchDarkly's wrapper does. A nil Item is a tombstone.
func serialize(kind ldstoretypes.DataKind, item ldstoretypes.ItemDescriptor) ldstoretypes.SerializedItemDescriptor {
	return ldstoretypes.SerializedItemDescriptor{
		Version: item.Version, Deleted: item.Item == nil, SerializedItem: kind.Serialize(item),
	}
}

// IsInitialized implements [subsystems.DataStore].
func (cl *client) IsInitialized() bool {
	c := cl.cache.Load()
	return c != nil && c.initialized()
}

// IsStatusMonitoringEnabled implements [subsystems.DataStore]. It is true: clients are notified of outages.
func (cl *client) IsStatusMonitoringEnabled() bool { return true }

// DropCache removes all cached values. LaunchDarkly's client calls it when it uses the FDv2 data system and its own
// memory holds all flags, so that it only writes to this store. Other clients of the same [Store] then read the table
// again.
func (cl *client) DropCache() {
	if c := cl.cache.Load(); c != nil {
		c.forget()
	}
}

// Close implements [subsystems.DataStore]. Further calls do nothing.
func (cl *client) Close() error {
	c := cl.cache.Swap(nil)
	if c == nil {
		return nil
	}
	if cl.unlisten != nil {
		cl.unlisten()
	}
	return cl.release()
}
