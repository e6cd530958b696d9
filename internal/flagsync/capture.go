package flagsync

import (
	"slices"
	"sync"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/table"
)

// What the stream brings, and when it is taken:
//
//	Init     a payload: everything that was kept is replaced, and the next take is the whole
//	Upsert   a patch: its item is replaced, and the next take is that item, unless a payload waits as well
//	take     hands over what came, and begins anew
//
// The items of patches are kept in their places too, as the SDK asks a store whether an upsert was newer. Nothing is
// copied but slices: the SDK never changes an item that it handed out.

// capture is the data store of the LaunchDarkly client that fetches: it keeps what the stream delivers, in the
// order that the SDK asks persistent stores to write it in. It is safe for concurrent use.
type capture struct {
	news chan struct{} // holds one value when something came that was not taken yet

	mu   sync.Mutex // guards what follows
	data []st.Collection
	// index finds items in data.
	index map[st.DataKind]map[string]int
	// whole is true when a payload came since the last take; until then, changed has what patches came for.
	whole   bool
	changed map[st.DataKind][]string
}

var (
	_ subsystems.DataStore                                 = (*capture)(nil)
	_ subsystems.ComponentConfigurer[subsystems.DataStore] = (*capture)(nil)
)

func newCapture() *capture {
	return &capture{news: make(chan struct{}, 1), changed: map[st.DataKind][]string{}}
}

// Build hands the SDK the capture itself.
func (c *capture) Build(subsystems.ClientContext) (subsystems.DataStore, error) { return c, nil }

// Init keeps a payload. The stream sends another when it had to reconnect.
func (c *capture) Init(all []st.Collection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = make([]st.Collection, 0, len(all))
	c.index = make(map[st.DataKind]map[string]int, len(all))
	for _, collection := range all {
		items := append([]st.KeyedItemDescriptor(nil), collection.Items...)
		c.data = append(c.data, st.Collection{Kind: collection.Kind, Items: items})
		c.index[collection.Kind] = make(map[string]int, len(items))
		for i, item := range items {
			c.index[collection.Kind][item.Key] = i
		}
	}
	c.whole = true
	c.tell()
	return nil
}

// Upsert keeps a patch in the old place of its item, or at the end of its kind: a new item refers to old ones more often
// than the other way round. A deletion is an item of nil. What is not newer is not kept.
func (c *capture) Upsert(kind st.DataKind, key string, item st.ItemDescriptor) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.data {
		collection := &c.data[n]
		if collection.Kind != kind {
			continue
		}
		i, known := c.index[kind][key]
		if known && collection.Items[i].Item.Version >= item.Version {
			return false, nil
		}
		if known {
			collection.Items[i].Item = item
		} else {
			c.index[kind][key] = len(collection.Items)
			collection.Items = append(collection.Items, st.KeyedItemDescriptor{Key: key, Item: item})
		}
		if !slices.Contains(c.changed[kind], key) {
			c.changed[kind] = append(c.changed[kind], key)
		}
		c.tell()
		return true, nil
	}
	return false, nil // before any payload, or of a kind that the payload did not have: the SDK sends neither
}

// tell says that there is news. The caller holds mu, so that take cannot come in between and leave a value for
// something that was taken already. One value is enough: whoever gets it takes all there is.
func (c *capture) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// take is what came since the last take, in the form that the table holds: all there is when a payload came (then
// whole is true), otherwise the items that were patched.
func (c *capture) take() (data []table.Collection, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.news: // it is in what is taken now
	default:
	}
	for _, collection := range c.data {
		items := collection.Items
		if !c.whole {
			items = nil
			for _, key := range c.changed[collection.Kind] {
				items = append(items, collection.Items[c.index[collection.Kind][key]])
			}
		}
		data = append(data, serialize(collection.Kind, items))
	}
	whole, c.whole = c.whole, false
	clear(c.changed)
	return data, whole
}

// serialize writes items as the SDK gives them to persistent stores; a deleted one is a tombstone.
func serialize(kind st.DataKind, items []st.KeyedItemDescriptor) table.Collection {
	c := table.Collection{Kind: kind.GetName(), Items: make([]table.Item, len(items))}
	for i, item := range items {
		c.Items[i] = table.Item{
			Key: item.Key, Version: item.Item.Version, Deleted: item.Item.Item == nil, JSON: string(kind.Serialize(item.Item)),
		}
	}
	return c
}

// Get is for evaluations, and nobody evaluates here.
func (c *capture) Get(st.DataKind, string) (st.ItemDescriptor, error) {
	return st.ItemDescriptor{}.NotFound(), nil
}

// GetAll has nothing: see Get.
func (c *capture) GetAll(st.DataKind) ([]st.KeyedItemDescriptor, error) { return nil, nil }

// IsInitialized says whether there was a payload.
func (c *capture) IsInitialized() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data != nil
}

// IsStatusMonitoringEnabled is false: memory has no outages, so the SDK need not listen for them.
func (c *capture) IsStatusMonitoringEnabled() bool { return false }

// Close does nothing: what came before it can still be taken.
func (c *capture) Close() error { return nil }
