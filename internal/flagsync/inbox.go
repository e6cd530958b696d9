package flagsync

import (
	"fmt"
	"strings"
	"sync"

	"github.com/warmflags/warmflags/internal/table"
)

// inbox holds the updates of the stream that the sync has not taken yet:
//
//	put     replaces everything; the next take returns the whole environment
//	patch   adds its item if it is newer; the next take returns that item, or the whole environment including it
//	take    returns the updates and empties the inbox
//
// It is safe for concurrent use.
type inbox struct {
	updates chan struct{} // holds one value while there is something to take

	mu       sync.Mutex                    // guards the fields below
	whole    bool                          // there was a put since the last take
	items    map[string][]table.Item       // by kind; of several items of a key, the last counts
	versions map[string]map[string]version // of each item since the last put, by kind and key
	ignored  int                           // number of events that were neither flags nor segments, or before a put
}

// version is the last version of an item that was received.
type version struct {
	number  int
	deleted bool
}

func newInbox() *inbox {
	return &inbox{updates: make(chan struct{}, 1), items: map[string][]table.Item{}}
}

// put replaces everything that was received before.
func (in *inbox) put(u update) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.whole, in.items, in.versions = true, u.items, map[string]map[string]version{}
	for kind, items := range u.items {
		versions := make(map[string]version, len(items))
		for _, item := range items {
			// a clone, so that this does not keep the whole payload in memory
			versions[strings.Clone(item.Key)] = version{item.Version, item.Deleted}
		}
		in.versions[kind] = versions
	}
	in.notify()
}

// patch adds an item, or a deleted item's tombstone. An item that is late or repeated, which means that its version
// is not higher than the one received before, is ignored, as LaunchDarkly's SDKs do. The exception is an item that was
// deleted: it is late, or it was created again and its versions start at 1. Only the next put can tell, so the error
// ends the connection.
func (in *inbox) patch(u update) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for kind, items := range u.items {
		if in.versions[kind] == nil {
			in.versions[kind] = map[string]version{}
		}
		for _, item := range items {
			if last, known := in.versions[kind][item.Key]; item.Reason == "" {
				if known && item.Version <= last.number {
					if last.deleted && !item.Deleted {
						return fmt.Errorf("%s %q has version %d, after its deletion with version %d", kind, item.Key,
							item.Version, last.number)
					}
					continue
				}
				in.versions[kind][strings.Clone(item.Key)] = version{item.Version, item.Deleted}
			}
			in.items[kind] = append(in.items[kind], item)
			in.notify()
		}
	}
	return nil
}

// putSeen reports whether a put was ever received.
func (in *inbox) putSeen() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.versions != nil
}

// ignore counts an event that is ignored.
func (in *inbox) ignore() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ignored++
}

// takeIgnored returns how many events were ignored since the last call.
func (in *inbox) takeIgnored() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := in.ignored
	in.ignored = 0
	return n
}

// notify wakes wait. The caller must hold mu, so that no value remains after take.
func (in *inbox) notify() {
	select {
	case in.updates <- struct{}{}:
	default:
	}
}

// take returns the updates since the last take: the whole environment if there was a put, otherwise the changed
// items.
func (in *inbox) take() (all []table.Collection, whole bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case <-in.updates:
	default:
	}
	for _, kind := range []string{segments, features} {
		all = append(all, table.Collection{Kind: kind, Items: in.items[kind]})
	}
	whole = in.whole
	in.whole, in.items = false, map[string][]table.Item{}
	return all, whole
}
