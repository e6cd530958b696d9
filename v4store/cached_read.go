package v4store

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

var errAbandoned = errors.New("the read took too long and was abandoned")

// flight is one read of the inner store, and the calls that wait for it. All fields but done are guarded by Cache.mu
// until done is closed, and never change after.
type flight[I Item] struct {
	entry *entry[I]
	ask   func() (found[I], error)          // reads, without the lock
	keep  func(found found[I], now instant) // stores what was found, under the lock
	done  chan struct{}                     // closed when the read ended

	start uint64      // tick at which it began; 0 before
	began instant     // when it began
	limit *time.Timer // abandons it
	ended bool
	err   error
	spare *value[I] // what a discarded read of the collection found meanwhile: kept only if this read fails
}

// found is what a read of the inner store found.
type found[I Item] struct {
	items  map[string]I
	broken map[string]error // of rows that are there and could not be understood: their last known values stay
}

// afterLocked is the tick after which a read must have begun to answer a call that began at tick begun: the entry was
// not invalidated since, and no invocation began. Without a cache it must have begun after the call.
func (c *Cache[K, I]) afterLocked(e *entry[I], begun uint64) uint64 {
	if c.options.ttl == 0 {
		return begun
	}
	return max(e.invalid, c.invalidAll, c.woken)
}

// joinLocked returns a read whose answer is good for a call that starts now, where reads that began at tick after or
// before are not: the read in progress, the one after it, or a new one.
func (c *Cache[K, I]) joinLocked(col *collection[K, I], e *entry[I], after uint64) *flight[I] {
	switch {
	case e.flight != nil && e.flight.start > after:
		return e.flight
	case e.next != nil:
		return e.next
	}
	f := &flight[I]{entry: e, done: make(chan struct{})}
	if e == &col.whole {
		f.ask = func() (found[I], error) { return c.askAll(col) }
		f.keep = func(got found[I], now instant) { c.keepAllLocked(col, f, got, now) }
	} else {
		f.ask = func() (found[I], error) { return c.askOne(col, e.key) }
		f.keep = func(got found[I], now instant) { c.keepOneLocked(col, f, got, now) }
	}
	if e.flight != nil {
		e.next = f
		return f
	}
	c.beginLocked(f)
	return f
}

// awaitLocked waits for reads to end, without the lock while it waits.
func (c *Cache[K, I]) awaitLocked(flights ...*flight[I]) {
	c.mu.Unlock()
	defer c.mu.Lock()
	for _, f := range flights {
		<-f.done
	}
}

// beginLocked begins a read, in a goroutine that lives as long as the inner store's answer takes, and a timer that
// abandons it.
func (c *Cache[K, I]) beginLocked(f *flight[I]) {
	f.began = c.nowLocked()
	c.tick++
	f.start = c.tick
	f.entry.flight, f.entry.next = f, nil
	c.stats.Reads++
	f.limit = time.AfterFunc(c.options.readLimit, func() { c.end(f, found[I]{}, errAbandoned) })
	go func() {
		got, err := guarded(f.ask)
		c.end(f, got, err)
	}()
}

// guarded turns a panic of the inner store into an error, so that those who wait are freed.
func guarded[I Item](ask func() (found[I], error)) (got found[I], err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store panicked: %v", p)
		}
	}()
	return ask()
}

// askOne reads one item. One that is missing is no entry in the map.
func (c *Cache[K, I]) askOne(col *collection[K, I], key string) (got found[I], err error) {
	item, err := c.inner.Get(col.kind, key)
	if err != nil {
		return got, fmt.Errorf("read %s %q: %w", col.kind.GetNamespace(), key, err)
	}
	if !isNone(item) {
		got.items = map[string]I{key: item}
	}
	return got, nil
}

// isNone reports whether an item is none: the zero I, or a nil pointer in an interface.
func isNone[I Item](item I) bool {
	v := reflect.ValueOf(&item).Elem()
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return !v.IsValid() || v.IsZero()
}

// brokenTeller is what a store may offer beside All: it also says which rows it passed over (Table does).
type brokenTeller[K Kind[I], I Item] interface {
	AllAndBroken(kind K) (items map[string]I, broken map[string]error, err error)
}

// askAll reads a whole kind.
func (c *Cache[K, I]) askAll(col *collection[K, I]) (got found[I], err error) {
	var all map[string]I
	if inner, ok := c.inner.(brokenTeller[K, I]); ok {
		all, got.broken, err = inner.AllAndBroken(col.kind)
	} else {
		all, err = c.inner.All(col.kind)
	}
	if err != nil {
		return got, fmt.Errorf("read all %s: %w", col.kind.GetNamespace(), err)
	}
	got.items = make(map[string]I, len(all)) // the inner store may keep its own
	for key, item := range all {
		if !isNone(item) {
			got.items[key] = item
		}
	}
	return got, nil
}

// end closes a flight, and says what is worth a line in the log when the lock is free again.
func (c *Cache[K, I]) end(f *flight[I], got found[I], err error) {
	c.mu.Lock()
	warn := c.endLocked(f, got, err)
	forgotten := c.forgetUnknownLocked()
	c.mu.Unlock()
	if warn {
		c.options.logger.Warn("v4store: a read failed; what is known is served as it was", slog.Any("error", err))
	}
	if forgotten > 0 {
		c.options.logger.Warn("v4store: forgot unknown keys; are flag keys made from data?", slog.Int("keys", forgotten))
	}
}

// endLocked closes a flight with what it found, or as failed, and begins the next. The second end of a flight, when an
// abandoned read comes back after all, does nothing. It reports whether to log the error.
func (c *Cache[K, I]) endLocked(f *flight[I], got found[I], err error) (warn bool) {
	if f.ended {
		return false
	}
	f.ended, f.err = true, err
	f.limit.Stop()
	c.tick++
	now := c.nowLocked()
	if err == nil {
		if c.options.ttl != 0 && c.discardedLocked(f.entry, f, now) {
			c.stats.Discarded++
		}
		f.keep(got, now)
	} else {
		warn = c.failLocked(f, now)
	}
	close(f.done)
	e := f.entry
	e.flight = nil
	switch next := e.next; {
	case next == nil:
	case c.freshLocked(e, e.last, now): // a read of the collection began after all that its calls had to wait for
		e.next, next.ended = nil, true
		close(next.done)
	default:
		c.beginLocked(next)
	}
	return warn
}

// failLocked notes that a read failed, and reports whether to log it.
func (c *Cache[K, I]) failLocked(f *flight[I], now instant) (warn bool) {
	if f.spare != nil {
		f.entry.keep(f.spare)
	}
	f.entry.fail(f.err, c.tick, now)
	c.stats.Errors++
	warn = c.warned == (instant{}) || c.warned.age(now) >= time.Minute
	if warn {
		c.warned = now
	}
	return warn
}

// discardedLocked reports whether what a read finds for an entry is not fresh if it ends now: it is too old, or from
// before an invalidation, an invocation's begin, or a freeze.
func (c *Cache[K, I]) discardedLocked(e *entry[I], f *flight[I], now instant) bool {
	return f.start <= max(e.invalid, c.invalidAll, c.woken) || f.began.plus(c.options.ttl).reached(now)
}

// keepOneLocked stores what a read of one item found.
func (c *Cache[K, I]) keepOneLocked(col *collection[K, I], f *flight[I], got found[I], now instant) {
	item, ok := got.items[f.entry.key]
	f.entry.keep(c.valueLocked(f, f.entry, item, ok, now))
	col.whole.failures = 0 // the table answers: the whole kind may be tried again
}

// keepAllLocked stores what a read of a whole kind found. Where a value is discarded for its key, and the key's own read
// began later, that one may be what somebody waits for; it would be thrown away if this value were kept. So the value
// is only put by, and nobody sees it unless that read fails. A row that could not be understood is a read of its key that
// failed: it replaces nothing.
func (c *Cache[K, I]) keepAllLocked(col *collection[K, I], f *flight[I], got found[I], now instant) {
	for key := range got.items {
		col.findOrAdd(key)
	}
	for key := range got.broken {
		col.findOrAdd(key)
	}
	var none I
	col.whole.keep(c.valueLocked(f, &col.whole, none, false, now))
	col.each(func(e *entry[I]) {
		if err := got.broken[e.key]; err != nil {
			e.fail(err, c.tick, now)
			return
		}
		item, ok := got.items[e.key]
		v, own := c.valueLocked(f, e, item, ok, now), e.flight
		if own != nil && own.start > f.start && c.discardedLocked(e, f, now) {
			own.spare, e.failures = v, 0
			return
		}
		e.keep(v)
	})
}
