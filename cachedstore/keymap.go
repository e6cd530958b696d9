package cachedstore

import "sync/atomic"

// keymap is a map from keys to slots that is read without a lock. Writers hold cache.mu.
//
// New keys go into recent, a small map that is copied for each; when it is full, both become one new main. A
// published map never changes.
type keymap struct {
	tables atomic.Pointer[tables] // published under cache.mu
}

// tables are both maps as they were published together: neither they nor the maps in them change after. A key is in one
// of them at most.
type tables struct {
	main, recent map[string]*slot
}

// get returns the slot of a key, or nil. It takes no lock, and so may miss a slot that is being added: callers that find
// none look again under cache.mu before they add one.
func (m *keymap) get(key string) *slot {
	t := m.tables.Load()
	if t == nil {
		return nil
	}
	if s, ok := t.main[key]; ok {
		return s
	}
	return t.recent[key]
}

// recentLimit bounds what one more key costs to copy. Adding n keys one by one copies the main map n/32 times.
const recentLimit = 32

// add publishes slots for keys that have none. Readers go on with the maps that they hold.
func (m *keymap) add(slots ...*slot) {
	old := m.tables.Load()
	if old == nil {
		old = &tables{}
	}
	next := &tables{main: old.main, recent: make(map[string]*slot, len(old.recent)+len(slots))}
	for key, s := range old.recent {
		next.recent[key] = s
	}
	for _, s := range slots {
		next.recent[s.key] = s
	}
	if len(next.recent) > recentLimit {
		merged := make(map[string]*slot, len(next.main)+len(next.recent))
		for key, s := range next.main {
			merged[key] = s
		}
		for key, s := range next.recent {
			merged[key] = s
		}
		next = &tables{main: merged}
	}
	m.tables.Store(next)
}

// remove forgets the slots for which drop is true.
func (m *keymap) remove(drop func(*slot) bool) {
	left := make(map[string]*slot)
	m.each(func(s *slot) {
		if !drop(s) {
			left[s.key] = s
		}
	})
	m.tables.Store(&tables{main: left})
}

// each calls f for every slot, in no order.
func (m *keymap) each(f func(*slot)) {
	t := m.tables.Load()
	if t == nil {
		return
	}
	for _, s := range t.main {
		f(s)
	}
	for _, s := range t.recent {
		f(s)
	}
}
