package cachedstore

import "sync/atomic"

// keymap is a map from keys to slots that is read without a lock. Writers hold cache.mu.
//
// New keys go into recent, a small map that is copied for each; when it is full, both become one new main. A
// published map never changes.
type keymap struct {
	tables atomic.Pointer[tables] // published under cache.mu
}

type tables struct {
	main, recent map[string]*slot
}

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

const recentLimit = 32

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
