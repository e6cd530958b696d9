package v4store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	gocache "github.com/patrickmn/go-cache"

	"github.com/warmflags/warmflags/internal/clock"
)

// collection is the cache of one kind. Guarded by Cache.mu.
type collection[K Kind[I], I Item] struct {
	kind    K
	entries *gocache.Cache // of *entry[K, I], by key
	whole   entry[K, I]    // tracks the reads of the whole kind; it has no item
	waiting []*entry[K, I] // entries whose next read waits until the read of the whole kind has ended
	asked   int            // entries added by Gets since unknown keys were last removed
}

// collectionLocked returns the collection of a kind.
func (c *Cache[K, I]) collectionLocked(kind K) *collection[K, I] {
	name := kind.GetNamespace()
	col := c.collections[name]
	if col == nil {
		// go-cache must not expire entries. With an interval of 0 it starts no goroutine.
		col = &collection[K, I]{kind: kind, entries: gocache.New(gocache.NoExpiration, 0)}
		c.collections[name] = col
	}
	return col
}

// covers reports whether the read of the whole kind in progress also counts as a read of e. It does not if a read of e
// that succeeded was in progress when it started.
func (col *collection[K, I]) covers(e *entry[K, I]) bool {
	return col.whole.flight != nil && e.flight == nil && e.ended < col.whole.flight.start
}

// find returns the entry of a key, or nil.
func (col *collection[K, I]) find(key string) *entry[K, I] {
	if e, ok := col.entries.Get(key); ok {
		return e.(*entry[K, I])
	}
	return nil
}

// add adds an entry for a key that has none. If the whole kind was read, the last known value of the new entry is "not
// found".
func (col *collection[K, I]) add(key string) *entry[K, I] {
	e := &entry[K, I]{key: key, last: col.whole.last}
	col.entries.Set(key, e, gocache.NoExpiration)
	return e
}

// findOrAdd adds an entry for a key, unless it has one.
func (col *collection[K, I]) findOrAdd(key string) {
	if col.find(key) == nil {
		col.add(key)
	}
}

// each calls f for every entry, in no particular order.
func (col *collection[K, I]) each(f func(*entry[K, I])) {
	for _, item := range col.entries.Items() {
		f(item.Object.(*entry[K, I]))
	}
}

// All returns all items of a kind in a map that belongs to the caller. It works in steps:
//
//  1. It reads the whole kind, unless that is cached and few items are stale.
//  2. It reads each item that is still stale, because it was invalidated since.
//  3. It returns the known values.
//
// If a read fails, All returns the last known values. It returns an error if a last known value is missing or
// [MaxStale] forbids it, and after Close.
func (c *Cache[K, I]) All(kind K) (map[string]I, error) {
	if c.wrong != nil {
		return nil, c.wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := all[K, I]{col: c.collectionLocked(kind), begun: c.seq, settled: c.answered > c.woken}
	err := c.allLocked(&a)
	if err != nil {
		return nil, fmt.Errorf("read all %s: %w", kind.GetNamespace(), err)
	}
	if a.lastKnown {
		c.stats.StaleServes++
	}
	return a.col.items(), nil
}

// all is a call of All. Guarded by Cache.mu.
type all[K Kind[I], I Item] struct {
	col     *collection[K, I]
	begun   uint64 // seq at which it started
	settled bool   // when it started, a read had succeeded since the latest Wake or freeze
	joined  uint64 // seq at which the read of the whole kind that it waited for started; 0: no such read

	lastKnown bool // its result contains a last known value that is not fresh
}

func (c *Cache[K, I]) allLocked(a *all[K, I]) error {
	if c.closed {
		return errClosed
	}
	now := c.nowLocked()
	stale := c.staleLocked(a, now)
	cached := c.freshLocked(&a.col.whole, now)
	if cached && len(stale) == 0 {
		c.stats.Hits++
		return nil
	}
	c.stats.Misses++
	if !cached || len(stale) > c.options.stale {
		if err := c.readWholeLocked(a, cached, stale, now); err != nil {
			return c.lastAllLocked(a, err)
		}
		stale = c.staleLocked(a, c.nowLocked())
	}
	// During the wait, a read of the kind for another call can replace a fresh value with a discarded one.
	for tried := map[*entry[K, I]]bool{}; len(stale) > 0; {
		for _, e := range stale {
			tried[e] = true
		}
		if err := c.readStaleLocked(a, stale); err != nil {
			return err
		}
		stale = slices.DeleteFunc(c.staleLocked(a, c.nowLocked()), func(e *entry[K, I]) bool {
			return tried[e] || e.last == nil || !e.last.discarded
		})
	}
	return nil
}

// staleLocked returns the entries whose last known value does not satisfy the call. A value does if its read started
// after the call, even if it was invalidated since. It also does if it comes from the read of the whole kind that the
// call waited for, unless its key was invalidated during that read.
func (c *Cache[K, I]) staleLocked(a *all[K, I], now clock.Instant) (stale []*entry[K, I]) {
	a.col.each(func(e *entry[K, I]) {
		answered := e.last != nil &&
			(e.last.start > a.begun || a.joined > 0 && e.last.start >= a.joined && e.last.start > e.invalid)
		if !answered && !c.freshLocked(e, now) {
			stale = append(stale, e)
		}
	})
	return stale
}

// readWholeLocked waits for a read of the whole kind. If many items are stale, the read must have started after their
// invalidations. The short wait applies if all stale items have only expired.
func (c *Cache[K, I]) readWholeLocked(a *all[K, I], cached bool, stale []*entry[K, I], now clock.Instant) error {
	whole := &a.col.whole
	servable := c.servable(whole.last, now)
	if c.blockedLocked(whole, now) && (servable || whole.flight == nil) {
		return c.reasonLocked(whole)
	}
	need, wait := c.needLocked(whole, a.begun), c.waitLocked(whole, now)
	missed, latest := 0, uint64(0) // missed: items whose invalidation the read in progress may not include
	for _, e := range stale {
		if whole.flight != nil && e.invalid >= whole.flight.start {
			missed++
		}
		latest = max(latest, e.invalid)
		if !c.outage.down && (e.last == nil || e.last.discarded || c.invalidatedLocked(e)) {
			wait = -1
		}
	}
	if c.skipsLocked(wait) {
		return errSlow
	}
	if missed > c.options.stale || cached && !joinable(whole.flight, need) {
		need = max(need, latest)
	}
	f := c.joinWholeLocked(a.col, need)
	err := c.awaitLocked(wait, servable, f)
	if errors.Is(err, errSlow) && !c.servable(whole.last, c.nowLocked()) { // it reached MaxStale meanwhile
		err = c.awaitLocked(-1, false, f)
	}
	if err == nil {
		a.joined, err = f.start, f.err
	}
	return err
}

// lastAllLocked checks that the call can return the last known values, because of err. It returns err if a value may
// not be served: a result without its key would mean that the item was deleted.
func (c *Cache[K, I]) lastAllLocked(a *all[K, I], err error) error {
	now := c.nowLocked()
	whole := a.col.whole.last
	a.lastKnown = !errors.Is(err, errClosed) && c.servable(whole, now)
	a.col.each(func(e *entry[K, I]) {
		skipped := e.last == nil && whole != nil && e.skipped == whole.start
		a.lastKnown = a.lastKnown && (c.freshLocked(e, now) || c.servable(e.last, now) || skipped)
	})
	if !a.lastKnown {
		return err
	}
	return nil
}

// readStaleLocked waits for reads of these entries. A row that cannot be decoded is omitted if it has no last known
// value.
func (c *Cache[K, I]) readStaleLocked(a *all[K, I], stale []*entry[K, I]) error {
	now, longest, servable := c.nowLocked(), time.Duration(0), true
	var flights []*flight[K, I]
	reads := map[*entry[K, I]]*flight[K, I]{}
	for _, e := range stale {
		wait := c.waitLocked(e, now)
		if !a.settled && wait > 0 {
			wait = -1
		}
		if c.blockedLocked(e, now) || c.skipsLocked(wait) {
			continue
		}
		reads[e] = c.joinLocked(a.col, e, c.needLocked(e, a.begun), now)
		flights = append(flights, reads[e])
		servable = servable && c.servable(e.last, now)
		if longest = max(longest, wait); wait < 0 {
			longest = math.MaxInt64
		}
	}
	if err := c.awaitLocked(longest, servable, flights...); errors.Is(err, errClosed) {
		return err
	}
	now = c.nowLocked()
	for _, e := range stale {
		f := reads[e]
		if f != nil && f.ended && f.err == nil || e.last == nil && e.skipped == a.col.whole.last.start {
			continue
		}
		if !c.servable(e.last, now) {
			return cmp.Or(c.reasonLocked(e), errDown)
		}
		a.lastKnown = true
	}
	return nil
}

// items returns the last known items.
func (col *collection[K, I]) items() map[string]I {
	items := make(map[string]I, col.entries.ItemCount())
	col.each(func(e *entry[K, I]) {
		if e.last != nil && e.last.found {
			items[e.key] = e.last.item
		}
	})
	return items
}

// forgetUnknownLocked limits the memory used for keys that the table does not have. Each time Gets have added the
// maximum number of entries of a kind, it deletes the entries without an item. It keeps an entry that is being read,
// because the entry orders the reads. It also keeps an entry that was invalidated since the whole kind was read,
// because otherwise the older result of the kind would apply. It returns the number of deleted entries.
func (c *Cache[K, I]) forgetUnknownLocked() (forgotten int) {
	for _, col := range c.collections {
		if col.asked < c.options.unknown || col.whole.flight != nil || col.whole.next != nil {
			continue
		}
		col.asked = 0
		col.each(func(e *entry[K, I]) {
			whole := col.whole.last // without the entry, this read determines that the key does not exist
			known := e.flight != nil || e.next != nil || e.last != nil && e.last.found
			if !known && (whole == nil || e.last != nil && e.uncovered < whole.start && e.invalid <= whole.start) {
				col.entries.Delete(e.key)
				forgotten++
			}
		})
	}
	c.stats.Forgotten += forgotten
	return forgotten
}
