package cachedstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// collection is what is cached of one kind of data. What is not atomic is guarded by cache.mu.
type collection struct {
	kind  ldstoretypes.DataKind // never changes
	name  string                // kind's name
	slots keymap
	view  atomic.Pointer[view] // a hit of GetAll; nil: look under the lock. Set and cleared under cache.mu

	lane // reads of the whole collection
	setback
	start  uint64  // tick at which the latest such read that succeeded began; 0: none did
	taken  instant // when it began
	until  instant // fresh until then
	expiry instant // before then nothing of it expires
	asked  int     // slots made for a Get since unknown keys were last forgotten
}

// view is the answer to GetAll. It never changes after it was made, and callers share its items. Invalidations, and
// reads that end well, clear the pointer to it in the same hold of the lock; what expires ends with until.
type view struct {
	items []ldstoretypes.KeyedItemDescriptor // sorted by key
	until instant                            // the earliest of its items' and its collection's
}

// wholeLocked reports whether the latest read of the whole collection still says which keys there are. What has expired
// once has expired for good.
func (s *cache) wholeLocked(c *collection, now instant) bool {
	if c.until.reached(now) {
		c.until = c.taken
	}
	return s.options.ttl != 0 && c.start > s.invalidAll && !c.until.reached(now)
}

// newSlot makes a place for a key that has none. Where the whole collection was read, it did not have the key: that
// is the last known value.
func (c *collection) newSlot(key string) *slot {
	sl := &slot{key: key}
	if c.start > 0 {
		sl.last, sl.kept = &value{item: notFound, start: c.start, taken: c.taken, until: c.taken}, c.start
	}
	return sl
}

// absent makes it fresh that the collection does not have a new slot's key, and returns until when.
func (s *slot) absent(c *collection) instant {
	s.last = &value{item: notFound, start: c.start, taken: c.taken, until: c.until}
	s.fresh.Store(s.last)
	return c.until
}

// manyStale is how many items are read one by one for a GetAll; for more, the whole collection is read.
const manyStale = 25

// getAll is a GetAll that was no hit: it reads the whole collection, or only the keys that were invalidated. In
// steps: (1) join a read of the collection, unless the latest is still good; (2) join a read of each key that
// was invalidated since, or read the collection when these are many; (3) put the known values together. The lock is given
// away while it waits, in (1), (2) and sometimes (3), so each step looks at the slots as they are by then. What is
// invalidated while it waits need not be in its answer, as it began before.
func (s *cache) getAll(c *collection) ([]ldstoretypes.KeyedItemDescriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Misses++
	now := s.nowLocked()
	if v := c.view.Load(); v != nil && v.until.reached(now) {
		c.view.Store(nil) // for good, as in slot.hit
	}
	whole := s.wholeLocked(c, now)
	if s.outage.down && s.servableWholeLocked(c, now) || !whole && c.resting(now) {
		return s.lastWholeLocked(c, c.failure)
	}
	begun := s.tick
	var joined uint64 // the read of the collection that this call joined began then
	if !whole {
		f := s.awaitAllLocked(c, 0)
		if f.err != nil {
			return s.lastWholeLocked(c, f.err)
		}
		joined = f.start
	}
	stale, err := s.staleLocked(c, begun, joined, s.nowLocked())
	switch {
	case err != nil:
	case len(stale) > manyStale:
		if f := s.awaitAllLocked(c, latestInvalid(stale)); f.err != nil {
			return s.lastWholeLocked(c, f.err)
		}
	default:
		err = s.awaitItemsLocked(c, stale)
	}
	if err != nil {
		return nil, err
	}
	return s.assembleLocked(c)
}

// latestInvalid is the tick after which a read of the collection must begin to have all of these as they are now.
func latestInvalid(slots []*slot) (tick uint64) {
	for _, sl := range slots {
		tick = max(tick, sl.invalid)
	}
	return tick
}

// awaitAllLocked waits for a read of the whole collection that began after a tick, without the lock while it waits. It never
// takes one that began before the latest InvalidateAll or Wake, nor without a cache one that began before this call.
func (s *cache) awaitAllLocked(c *collection, after uint64) *flight {
	tick := max(after, s.invalidAll, s.woken)
	if s.options.ttl == 0 {
		tick = s.tick
	}
	f := s.joinLocked(&c.lane, &collectionReader{s, c}, tick)
	s.awaitLocked([]*flight{f})
	return f
}

// awaitLocked waits for flights to end, without the lock while it waits.
func (s *cache) awaitLocked(flights []*flight) {
	s.mu.Unlock()
	for _, f := range flights {
		<-f.done
	}
	s.mu.Lock()
}

// awaitItemsLocked waits for a read of each slot, without the lock while it waits. It returns an error when one failed
// whose last known value may not be served; a key of which nothing is known is left out instead.
func (s *cache) awaitItemsLocked(c *collection, stale []*slot) (err error) {
	flights := make([]*flight, len(stale))
	for i, sl := range stale {
		flights[i] = s.joinLocked(&sl.lane, &itemReader{s, c, sl}, s.staleTickLocked(sl))
	}
	s.awaitLocked(flights)
	for i, f := range flights {
		if f.err != nil && stale[i].last != nil {
			err = f.err
		}
	}
	return err
}

// staleLocked lists the keys whose last known value is not good for a call that began at tick begun and joined a
// read of the collection which began at tick joined (0: it joined none). What was read since the call began is good for
// it, whatever came after that. It returns an error when a key may not be served, and not be read again yet either.
func (s *cache) staleLocked(c *collection, begun, joined uint64, now instant) (stale []*slot, err error) {
	c.slots.each(func(sl *slot) {
		switch {
		case sl.hit(now) != nil:
		case sl.last != nil && sl.last.start > begun:
		case joined > 0 && sl.goodSince(joined) && sl.invalid < sl.last.start:
		case sl.resting(now): // as last known, or left out
			if v := cmp.Or(sl.last, sl.spare); v != nil && !s.servable(v, now) {
				err = sl.failure
			}
		default:
			stale = append(stale, sl)
		}
	})
	return stale, err
}

// servableWholeLocked reports whether the keys of the latest read of the collection may be served though they are not fresh.
func (s *cache) servableWholeLocked(c *collection, now instant) bool {
	return c.start > 0 && s.servable(&value{taken: c.taken}, now)
}

// lastWholeLocked answers a GetAll whose read failed, or was not tried, with what is known; or with an error when one key's
// value may not be served: to leave the key out would say that it is gone.
func (s *cache) lastWholeLocked(c *collection, err error) ([]ldstoretypes.KeyedItemDescriptor, error) {
	now := s.nowLocked()
	servable := s.servableWholeLocked(c, now)
	c.slots.each(func(sl *slot) {
		if sl.last != nil && sl.hit(now) == nil && !s.servable(sl.last, now) {
			servable = false
			err = cmp.Or(err, sl.failure, errTooOld)
		}
	})
	if !servable {
		return nil, err
	}
	s.stats.StaleServes++
	return s.assembleLocked(c)
}

// assembleLocked puts the last known values together, and publishes them as a hit when all are fresh. A key that
// exists, and whose only known value is put by until its own read has ended, is waited for; if that fails, the
// value put by may not be served either, and that is an error. It is a hit for later calls only if the collection's read
// and every slot in it are fresh, until the first of them expires.
func (s *cache) assembleLocked(c *collection) ([]ldstoretypes.KeyedItemDescriptor, error) {
	for { // while one is awaited, a read of the collection may put by another
		var flights []*flight
		c.slots.each(func(sl *slot) {
			if sl.last == nil && sl.spare != nil && sl.flight != nil {
				flights = append(flights, sl.flight)
			}
		})
		if len(flights) == 0 {
			break
		}
		s.awaitLocked(flights)
		for _, f := range flights {
			if f.err != nil {
				return nil, f.err
			}
		}
	}
	now := s.nowLocked()
	if v := c.view.Load(); v != nil && !v.until.reached(now) {
		return v.items, nil
	}
	items := []ldstoretypes.KeyedItemDescriptor{}
	until, fresh := c.until, s.wholeLocked(c, now)
	c.slots.each(func(sl *slot) {
		if v := sl.hit(now); v != nil {
			until = until.earlier(v.until)
		} else {
			fresh = false
		}
		if sl.last != nil && sl.last.found() {
			items = append(items, ldstoretypes.KeyedItemDescriptor{Key: sl.key, Item: sl.last.item})
		}
	})
	slices.SortFunc(items, func(a, b ldstoretypes.KeyedItemDescriptor) int { return cmp.Compare(a.Key, b.Key) })
	if fresh {
		c.view.Store(&view{items: items, until: until})
		c.expiry = c.expiry.earlier(until)
	}
	return items, nil
}

// collectionReader reads all of one kind.
type collectionReader struct {
	s *cache
	c *collection
}

// read asks the store for all rows of the kind, and decodes them without the lock. One that cannot be decoded spoils no other.
func (r *collectionReader) read(ctx context.Context) (any, error) {
	var raw []ldstoretypes.KeyedSerializedItemDescriptor
	var passedOver map[string]error
	var err error
	switch core := r.s.core.(type) {
	case brokenTeller:
		raw, passedOver, err = core.GetAllAndBroken(ctx, r.c.kind)
	case contextReader:
		raw, err = core.GetAllContext(ctx, r.c.kind)
	default:
		raw, err = r.s.core.GetAll(r.c.kind)
	}
	if err != nil {
		return nil, fmt.Errorf("read all %s: %w", r.c.name, err)
	}
	result := contents{items: make(map[string]*decoded, len(raw)), broken: map[string]error{}}
	for key, err := range passedOver { // the store has logged it
		result.items[key], result.broken[key] = nil, err
	}
	for _, item := range raw {
		d, err := r.c.decode(item.Key, item.Item)
		if err != nil {
			r.s.loggers.Errorf("cachedstore: %s; it is served as last known", err)
			result.broken[item.Key] = err
		}
		result.items[item.Key] = d
	}
	return result, nil
}

// contents is what a read of a whole collection found.
type contents struct {
	items  map[string]*decoded
	broken map[string]error // of rows that are there but were not understood: their last known values stay
}

// keep gives each slot its value, by the rules of slot.keep. Where the key was invalidated since this read began, and
// its own read began later, that one may be what somebody waits for; it would be thrown away if this value were
// kept. So this value is only put by, and nobody sees it unless that read fails. For example:
//
//  1. the collection's read begins, and sees version 1 of a key;
//  2. version 2 is written, its message comes, and a Get of the key begins its own read, which sees version 2;
//  3. the collection's read ends. If its version 1 were kept now, as last known, the key's read would be one that began
//     before something was kept (slot.keep), and version 2 would be lost.
//
// A key that is not in the answer is gone: that is a value like any other.
func (r *collectionReader) keep(f *flight, result any, now instant) bool {
	s, c := r.s, r.c
	found := result.(contents)
	var added []*slot
	for key := range found.items {
		if c.slots.get(key) == nil {
			added = append(added, c.newSlot(key))
		}
	}
	c.slots.add(added...)
	s.stats.Broken += len(found.broken)
	c.start, c.taken, c.until = f.start, f.began, f.began.until(s.options.ttl)
	c.failures = 0
	frozen := s.frozenLocked(f, now)
	if f.start <= max(s.invalidAll, s.woken) || frozen {
		s.stats.Discarded++
		c.until = f.began // known, but not fresh
	}
	c.slots.each(func(sl *slot) {
		if err := found.broken[sl.key]; err != nil {
			sl.fail(err, now)
			return
		}
		item := notFound
		if d := found.items[sl.key]; d != nil {
			sl.decoded.Store(d)
			item = d.item
		}
		stale := s.discardTickLocked(sl)
		fresh := f.start > stale && !frozen
		if !fresh && sl.flight != nil && sl.flight.start > f.start {
			sl.spare, sl.putBy = s.valueLocked(sl, item, f, now), s.tick
			return
		}
		s.keepLocked(c, sl, item, f, fresh, now)
	})
	c.view.Store(nil)
	return true
}

// answered is always false: nothing else reads a whole collection.
func (r *collectionReader) answered(*flight, instant) bool { return false }

// fail notes the error for the collection. Those who wait look for themselves at what may be served (lastWholeLocked).
func (r *collectionReader) fail(f *flight, err error, now instant) {
	r.c.fail(err, now)
	f.err = err
}

// decoded is an item and what it was made of. It never changes after it was made.
type decoded struct {
	version int
	sum     [sha256.Size]byte // of the JSON
	item    ldstoretypes.ItemDescriptor
}

// decode makes an item of what the table holds, as LaunchDarkly's own wrapper does. What is equal to what was
// decoded before is not decoded again: after InvalidateAll, or a TTL, most items are.
func (c *collection) decode(key string, raw ldstoretypes.SerializedItemDescriptor) (*decoded, error) {
	if raw.Deleted || raw.SerializedItem == nil {
		return &decoded{item: ldstoretypes.ItemDescriptor{Version: raw.Version}}, nil
	}
	sum := sha256.Sum256(raw.SerializedItem)
	if sl := c.slots.get(key); sl != nil {
		if d := sl.decoded.Load(); d != nil && d.version == raw.Version && d.sum == sum {
			return d, nil
		}
	}
	item, err := c.kind.Deserialize(raw.SerializedItem)
	if err != nil {
		return nil, &decodeError{fmt.Errorf("decode %s %q: %w", c.name, key, err)}
	}
	if raw.Version != 0 {
		item.Version = raw.Version // the table's own version, where it differs from the JSON's
	}
	return &decoded{raw.Version, sum, item}, nil
}
