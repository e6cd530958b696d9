package v4store

import (
	"cmp"

	gocache "github.com/patrickmn/go-cache"
)

// collection is what is cached of one kind. Guarded by Cache.mu.
type collection[K Kind[I], I Item] struct {
	kind    K
	entries *gocache.Cache // of *entry[I], by key
	whole   entry[I]       // reads of the whole kind: it has no item
	asked   int            // entries made for a Get since unknown keys were last forgotten
}

// collectionLocked finds or makes the place of a kind.
func (c *Cache[K, I]) collectionLocked(kind K) *collection[K, I] {
	name := kind.GetNamespace()
	col := c.collections[name]
	if col == nil {
		// Nothing expires in go-cache, and no interval means no janitor.
		col = &collection[K, I]{kind: kind, entries: gocache.New(gocache.NoExpiration, 0)}
		c.collections[name] = col
	}
	return col
}

// find returns a key's entry, or nil.
func (col *collection[K, I]) find(key string) *entry[I] {
	if e, ok := col.entries.Get(key); ok {
		return e.(*entry[I])
	}
	return nil
}

// add makes an entry for a key that has none. Where the whole kind was read, it did not have the key: that is the last
// known value.
func (col *collection[K, I]) add(key string) *entry[I] {
	e := &entry[I]{key: key, last: col.whole.last}
	col.entries.Set(key, e, gocache.NoExpiration)
	return e
}

// findOrAdd makes sure that a key has an entry.
func (col *collection[K, I]) findOrAdd(key string) {
	if col.find(key) == nil {
		col.add(key)
	}
}

// each calls f for every entry, in no order.
func (col *collection[K, I]) each(f func(*entry[I])) {
	for _, item := range col.entries.Items() {
		f(item.Object.(*entry[I]))
	}
}

// manyStale is how many items are read one by one for an All; for more, the whole kind is read.
const manyStale = 25

// All returns all items of a kind in a map of the caller's own. In steps: (1) it reads the whole kind, unless it is
// cached; (2) it reads each item that was invalidated since, or the whole kind again when these are many; (3) it puts
// the known values together. Where a read fails they are the last known ones; it is an error where there are none,
// or none that [MaxStale] allows.
func (c *Cache[K, I]) All(kind K) (map[string]I, error) {
	if c.wrong != nil {
		return nil, c.wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := all[K, I]{col: c.collectionLocked(kind), begun: c.tick}
	whole, now := &a.col.whole, c.nowLocked()
	cached := c.freshLocked(whole, whole.last, now)
	switch {
	case cached:
	case c.restingLocked(whole, now):
		a.failure = whole.failure
	default:
		c.readWholeLocked(&a, c.afterLocked(whole, a.begun))
	}
	stale, err := c.staleLocked(&a)
	if len(stale) > manyStale && a.failure == nil {
		after := c.afterLocked(whole, a.begun)
		for _, e := range stale {
			after = max(after, e.invalid)
		}
		cached = false
		if c.restingLocked(whole, now) && whole.failedAt > after {
			a.failure = whole.failure
		} else {
			c.readWholeLocked(&a, after)
		}
		stale, err = c.staleLocked(&a)
	}
	if cached && len(stale) == 0 {
		c.stats.Hits++
	} else {
		c.stats.Misses++
	}
	if err == nil {
		err = c.readStaleLocked(&a, stale)
	}
	if err == nil {
		err = c.awaitSparesLocked(&a)
	}
	// Where the map is made, each key's last known value answers the call: it is only ever replaced by a newer one.
	if err != nil {
		return nil, err
	}
	if a.lastKnown {
		c.stats.StaleServes++
	}
	return a.col.items(), nil
}

// all is a call of All. Guarded by Cache.mu.
type all[K Kind[I], I Item] struct {
	col     *collection[K, I]
	begun   uint64 // tick at which it began
	joined  uint64 // the read of the whole kind that answers it began then; 0: none does
	failure error  // why that cannot be read

	lastKnown bool // it is answered with a last known value that is not fresh
}

// readWholeLocked waits for a read of the whole kind that began after a tick.
func (c *Cache[K, I]) readWholeLocked(a *all[K, I], after uint64) {
	f := c.joinLocked(a.col, &a.col.whole, after)
	c.awaitLocked(f)
	a.joined, a.failure = f.start, f.err
}

// staleLocked lists the keys to read for a call: those whose last known value is no answer to it. It returns an error
// when a last known value has to be served and may not be.
func (c *Cache[K, I]) staleLocked(a *all[K, I]) (stale []*entry[I], err error) {
	now := c.nowLocked()
	if a.failure != nil && !c.servable(a.col.whole.last, now) {
		return nil, a.failure
	}
	a.col.each(func(e *entry[I]) {
		switch {
		case c.freshLocked(e, e.last, now) || a.answeredBy(e):
		case e.last == nil && e.flight == nil && c.restingLocked(e, now): // nothing is known of it: it is left out
		case e.last == nil || a.failure == nil && !c.restingLocked(e, now):
			stale = append(stale, e)
		case c.servable(e.last, now):
			a.lastKnown = true
		default:
			err = cmp.Or(a.failure, e.failure)
		}
	})
	return stale, err
}

// answeredBy reports whether an entry's value is an answer to the call though it is not fresh any more: its read began
// after the call, or it is that of the read that the call joined, or a later one that was not discarded.
func (a *all[K, I]) answeredBy(e *entry[I]) bool {
	v := e.last
	switch {
	case v == nil:
		return false
	case v.start > a.begun:
		return true // what was invalidated since is good all the same: the call is older
	case a.failure != nil || a.joined == 0 || v.start <= e.invalid:
		return false
	}
	return v.start == a.joined || v.start > a.joined && !v.over
}

// readStaleLocked reads these keys one by one. One of which nothing is known, and that cannot be read, is left out.
func (c *Cache[K, I]) readStaleLocked(a *all[K, I], stale []*entry[I]) error {
	flights := make([]*flight[I], len(stale))
	for i, e := range stale {
		flights[i] = c.joinLocked(a.col, e, c.afterLocked(e, a.begun))
	}
	c.awaitLocked(flights...)
	now := c.nowLocked()
	for i, f := range flights {
		last := stale[i].last
		if f.err != nil && last != nil && !c.servable(last, now) {
			return f.err
		}
		a.lastKnown = a.lastKnown || f.err != nil && last != nil
	}
	return nil
}

// awaitSparesLocked waits for the reads of keys that exist, and whose only known value is put by until their own read has
// ended: they must not be left out. While it waits, a read of the whole kind may put by another.
func (c *Cache[K, I]) awaitSparesLocked(a *all[K, I]) error {
	for {
		var put []*entry[I]
		var flights []*flight[I]
		a.col.each(func(e *entry[I]) {
			if e.last == nil && e.flight != nil && e.flight.spare != nil {
				put, flights = append(put, e), append(flights, e.flight)
			}
		})
		if len(flights) == 0 {
			return nil
		}
		c.awaitLocked(flights...)
		now := c.nowLocked()
		for i, f := range flights {
			if f.err != nil && !c.servable(put[i].last, now) {
				return f.err
			}
			a.lastKnown = a.lastKnown || f.err != nil
		}
	}
}

// items are the last known ones.
func (col *collection[K, I]) items() map[string]I {
	items := make(map[string]I, col.entries.ItemCount())
	col.each(func(e *entry[I]) {
		if e.last != nil && e.last.found {
			items[e.key] = e.last.item
		}
	})
	return items
}

// forgetUnknownLocked bounds what is remembered of keys that the table does not have: each time that so many entries of a
// kind were made for a Get, those that hold none go. An entry stays while a read is under way that its order matters
// to, or when it was invalidated since the whole kind was read, which says that there is none. It returns how many went.
func (c *Cache[K, I]) forgetUnknownLocked() (forgotten int) {
	for _, col := range c.collections {
		if col.asked < c.options.unknown || col.whole.flight != nil {
			continue
		}
		col.asked = 0
		col.each(func(e *entry[I]) {
			known := e.flight != nil || e.last != nil && e.last.found
			if !known && (col.whole.last == nil || e.invalid <= max(col.whole.last.start, c.invalidAll)) {
				col.entries.Delete(e.key)
				forgotten++
			}
		})
	}
	c.stats.Forgotten += forgotten
	return forgotten
}
