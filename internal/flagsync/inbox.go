package flagsync

import (
	"strings"
	"sync"

	"github.com/warmflags/warmflags/internal/table"
)

// inbox holds what the stream brought and the sync has not taken yet:
//
//	put     replaces everything; the next take is the whole environment
//	patch   adds its item, unless it is not newer; the next take is that item, or the whole environment with it
//	take    returns what came and empties the inbox
//
// It is safe for concurrent use.
type inbox struct {
	news chan struct{} // holds one value while something has not been taken

	mu       sync.Mutex                // guards the following
	whole    bool                      // a put came since the last take
	items    map[string][]table.Item   // by kind; of several items of a key, the last counts
	versions map[string]map[string]int // of each item since the last put, by kind and key
	ignored  int                       // events that were not for flags and segments, or came before a put
}

func newInbox() *inbox { return &inbox{news: make(chan struct{}, 1), items: map[string][]table.Item{}} }

// put replaces everything that the stream brought before.
func (in *inbox) put(u update) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.whole, in.items, in.versions = true, u.items, map[string]map[string]int{}
	for kind, items := range u.items {
		versions := make(map[string]int, len(items))
		for _, item := range items {
			// a clone, so that this does not keep the whole payload in memory
			versions[strings.Clone(item.Key)] = item.Version
		}
		in.versions[kind] = versions
	}
	in.notify()
}

// patch adds an item, or a deleted item's tombstone. An item that is not newer than what the stream brought before is
// ignored, as LaunchDarkly's SDKs do: it came late, or twice.
func (in *inbox) patch(u update) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for kind, items := range u.items {
		if in.versions[kind] == nil {
			in.versions[kind] = map[string]int{}
		}
		for _, item := range items {
			if version, known := in.versions[kind][item.Key]; item.Reason == "" {
				if known && item.Version <= version {
					continue
				}
				in.versions[kind][strings.Clone(item.Key)] = item.Version
			}
			in.items[kind] = append(in.items[kind], item)
			in.notify()
		}
	}
}

// putSeen reports whether a put ever came.
func (in *inbox) putSeen() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.versions != nil
}

// ignore counts an event that is not for us.
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

// notify wakes wait. The caller holds mu, so that no value stays for something that was taken already.
func (in *inbox) notify() {
	select {
	case in.news <- struct{}{}:
	default:
	}
}

// take returns what came since the last take: the whole environment if a put came, otherwise the items that changed.
func (in *inbox) take() (all []table.Collection, whole bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	select {
	case <-in.news:
	default:
	}
	for _, kind := range []string{segments, features} {
		all = append(all, table.Collection{Kind: kind, Items: in.items[kind]})
	}
	whole = in.whole
	in.whole, in.items = false, map[string][]table.Item{}
	return all, whole
}
