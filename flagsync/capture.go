package flagsync

import (
	"sync"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// capture is the data store of the LaunchDarkly client that fetches: it keeps what the stream delivers, in the
// order that the SDK asks persistent stores to write it in. It is safe for concurrent use.
type capture struct {
	arrived chan struct{} // closed once there is a payload
	news    chan struct{} // holds one value when something changed after the payload's last snapshot

	mu   sync.Mutex // guards data and index
	data []st.Collection
	// index finds items in data.
	index map[st.DataKind]map[string]int
}

var (
	_ subsystems.DataStore                                 = (*capture)(nil)
	_ subsystems.ComponentConfigurer[subsystems.DataStore] = (*capture)(nil)
)

func newCapture() *capture {
	return &capture{arrived: make(chan struct{}), news: make(chan struct{}, 1)}
}

// Build hands the SDK the capture itself.
func (c *capture) Build(subsystems.ClientContext) (subsystems.DataStore, error) { return c, nil }

// Init keeps a payload. The stream sends another when it had to reconnect.
func (c *capture) Init(all []st.Collection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.data == nil
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
	if first {
		close(c.arrived)
	} else {
		c.tell()
	}
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
		c.tell()
		return true, nil
	}
	return false, nil // before any payload, or of a kind that the payload did not have: the SDK sends neither
}

// tell says that there is news. The caller holds mu.
func (c *capture) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// snapshot is what has been delivered so far, in the form that the table holds.
func (c *capture) snapshot() []st.SerializedCollection {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.news: // it is in this snapshot
	default:
	}
	all := make([]st.SerializedCollection, len(c.data))
	for n, collection := range c.data {
		all[n] = st.SerializedCollection{Kind: collection.Kind, Items: make([]st.KeyedSerializedItemDescriptor, len(collection.Items))}
		for i, item := range collection.Items {
			all[n].Items[i] = st.KeyedSerializedItemDescriptor{Key: item.Key, Item: st.SerializedItemDescriptor{
				Version: item.Item.Version, Deleted: item.Item.Item == nil, SerializedItem: collection.Kind.Serialize(item.Item),
			}}
		}
	}
	return all
}

// Get, GetAll and IsInitialized are for evaluations, and nobody evaluates here.
func (c *capture) Get(st.DataKind, string) (st.ItemDescriptor, error) {
	return st.ItemDescriptor{}.NotFound(), nil
}

func (c *capture) GetAll(st.DataKind) ([]st.KeyedItemDescriptor, error) { return nil, nil }

func (c *capture) IsInitialized() bool {
	select {
	case <-c.arrived:
		return true
	default:
		return false
	}
}

func (c *capture) IsStatusMonitoringEnabled() bool { return false }

func (c *capture) Close() error { return nil }
