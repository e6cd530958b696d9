package cachedstore

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/puzpuzpuz/xsync/v4"

	"github.com/warmflags/warmflags/internal/clock"
)

// collection is the cache of one kind of data. Get and GetAll read entries and view without a lock. cache.mu guards all
// other fields.
type collection struct {
	kind    ldstoretypes.DataKind      // never changes
	name    string                     // kind's name
	entries *xsync.Map[string, *entry] // written under cache.mu
	view    atomic.Pointer[view]       // what a hit of GetAll returns, or nil. Written under cache.mu

	flight, next *flight       // the read of the whole collection in progress, and the read that starts after it
	waiting      []*entry      // entries whose next read waits for flight to end
	backoff                    // of reads of the whole collection
	start        uint64        // seq at which the latest successful read of the collection started; 0: no such read
	taken        clock.Instant // when that read started
	until        clock.Instant // the collection is fresh until then
	expiry       clock.Instant // nothing in the collection expires before this
	added        int           // entries added since unknown keys were last removed
	discarded    bool          // that read was never fresh: an InvalidateAll, a Wake or a freeze came during it
}

func newCollection(kind ldstoretypes.DataKind) *collection {
	return &collection{kind: kind, name: kind.GetName(), entries: xsync.NewMap[string, *entry](), expiry: clock.Never}
}

// view is the result of GetAll. It is immutable, and callers share its items.
type view struct {
	items []ldstoretypes.KeyedItemDescriptor
	until clock.Instant // when the first item or the collection expires
}

// addEntry adds an entry for a key that has none. If the whole collection was read, the last known value of the new
// entry is "not found".
func (coll *collection) addEntry(key string) *entry {
	e := &entry{key: key}
	if coll.start > 0 {
		e.last = &value{
			item: notFound, start: coll.start, taken: coll.taken, until: coll.taken, discarded: coll.discarded,
		}
	}
	coll.entries.Store(key, e)
	return e
}

// covers reports whether the read of the collection in progress also counts as a read of e. It does not if a read of e
// was in progress when it started: two reads that overlap cannot be ordered.
func (coll *collection) covers(e *entry) bool {
	return coll.flight != nil && e.flight == nil && e.ended < coll.flight.start
}

// droppable reports whether e may be removed from the map: no read will store a value in it, and it does not exclude
// its key from a read of the collection in progress.
func (coll *collection) droppable(e *entry) bool {
	return e.flight == nil && e.next == nil && (coll.flight == nil || e.ended < coll.flight.start)
}

// wholeLocked reports whether the latest read of the whole collection still determines which keys exist. Once expired,
// a collection stays expired until it is read again, even if the wall clock is set back.
func (c *cache) wholeLocked(coll *collection, now clock.Instant) bool {
	if coll.until.Reached(now) {
		coll.until = coll.taken
	}
	return c.options.ttl != 0 && coll.start > c.invalidAll && !coll.until.Reached(now)
}

// getAll is the slow path of GetAll:
//
//  1. It waits for a read of the whole collection, unless the latest one is fresh and few keys are stale.
//  2. It waits for a read of each key that is still stale, because it was invalidated during the first read.
//  3. It assembles the known values.
//
// It holds the lock except while it waits. Its result need not include changes that were invalidated while it waits.
func (c *cache) getAll(coll *collection) ([]ldstoretypes.KeyedItemDescriptor, error) {
	c.mu.Lock()
	defer c.unlock()
	c.stats.Misses++
	now := c.nowLocked()
	begun, joined := c.seq, uint64(0)
	stale := c.staleLocked(coll, begun, 0, now)
	query := !c.wholeLocked(coll, now) || len(stale.entries) > c.options.manyStale
	known := func(now clock.Instant) (servable, expired bool) {
		servable = coll.start > 0 && c.servable(&value{taken: coll.taken}, now)
		return servable, servable && stale.expired && !coll.discarded && c.options.ttl > 0 &&
			coll.start > c.invalidAll && c.settled > c.paused
	}
	servable, expired := known(now)
	switch {
	case c.outage.Excuses(servable, expired):
		c.outage.Nudge(now)
		return c.lastWholeLocked(coll, c.outage.Err(), now)
	case query && coll.pausing(now):
		return c.lastWholeLocked(coll, coll.failure, now)
	}
	if query {
		f := c.joinWholeLocked(coll, c.wholeNeedLocked(coll, stale), now)
		if err := cmp.Or(c.awaitLocked(known, f), f.err); err != nil {
			return c.lastWholeLocked(coll, err, c.nowLocked())
		}
		joined = f.start
	}
	now = c.nowLocked()
	stale = c.staleLocked(coll, begun, joined, now)
	if stale.err != nil {
		return nil, stale.err
	}
	waited := map[*entry]bool{}
	for entries := stale.entries; len(entries) > 0; entries = coll.unread(waited) {
		flights := make([]*flight, len(entries))
		for i, e := range entries {
			waited[e] = true
			flights[i] = c.joinLocked(coll, e, c.needLocked(e, begun), now)
		}
		err := c.awaitLocked(known, flights...)
		if now = c.nowLocked(); err != nil {
			return c.lastWholeLocked(coll, err, now)
		}
		for i, f := range flights {
			e, err := entries[i], f.err
			// The Query could not decode its row, or found neither the row nor the marker.
			if err == nil && (e.last == nil || e.last.start < f.start) {
				err = cmp.Or(e.failure, errTooOld)
			}
			if err != nil && c.missingLocked(e, err, now) {
				return nil, err
			}
		}
	}
	return c.assembleLocked(coll), nil
}

// wholeNeedLocked returns the sequence number after which a read of the collection must have started, so that a GetAll
// may join it. A read with too many invalidations after its start is not joined: each of these keys would need a read
// of its own.
func (c *cache) wholeNeedLocked(coll *collection, stale staleEntries) uint64 {
	switch {
	case c.options.ttl == 0:
		return c.seq
	case coll.flight != nil && stale.after(coll.flight.start) > c.options.manyStale:
		return coll.flight.start
	}
	return max(c.invalidAll, c.woken)
}

// unread returns the entries without a last known value whose own read is in progress, except those in waited. A read
// of the collection does not cover them (see covers).
func (coll *collection) unread(waited map[*entry]bool) (entries []*entry) {
	for _, e := range coll.entries.AllRelaxed() {
		if e.last == nil && e.flight != nil && !waited[e] {
			entries = append(entries, e)
		}
	}
	return entries
}

// staleEntries are the entries of a collection that a GetAll has to read.
type staleEntries struct {
	entries []*entry
	expired bool  // all of them have expired, and none was invalidated
	err     error // why a key can neither be served nor be read yet; nil if there is no such key
}

// after returns the number of entries that were invalidated after seq.
func (stale *staleEntries) after(seq uint64) (n int) {
	for _, e := range stale.entries {
		if e.invalid > seq {
			n++
		}
	}
	return n
}

// staleLocked lists the entries whose last known value does not satisfy a GetAll. The call started at seq begun and
// waited for the read of the collection that started at seq joined (0: it did not wait for one). A value that was read
// after the call started satisfies it, even if it was invalidated since.
func (c *cache) staleLocked(coll *collection, begun, joined uint64, now clock.Instant) staleEntries {
	stale := staleEntries{expired: true}
	for _, e := range coll.entries.AllRelaxed() {
		switch {
		case e.hit(now) != nil:
		case e.last != nil && e.last.start > begun:
		case joined > 0 && e.last != nil && e.last.start >= joined && e.last.start > e.invalid:
		case e.pausing(now) && !c.missingLocked(e, e.failure, now): // its last known value is served, or it is omitted
		case e.pausing(now) && e.flight == nil:
			stale.err = e.failure
		default:
			stale.entries = append(stale.entries, e)
			stale.expired = stale.expired && c.expiredLocked(e)
		}
	}
	return stale
}

// missingLocked reports whether the table may have the key although there is no value that may be served. To omit the
// key from a GetAll would tell the client that the flag does not exist. A row that cannot be decoded is omitted.
func (c *cache) missingLocked(e *entry, failure error, now clock.Instant) bool {
	if e.last == nil {
		var broken *decodeError
		return !errors.As(failure, &broken)
	}
	return !c.servable(e.last, now)
}

// lastWholeLocked returns the last known values for a GetAll whose read failed or is not waited for. It returns an
// error if there is a key that missingLocked reports.
func (c *cache) lastWholeLocked(
	coll *collection, err error, now clock.Instant,
) ([]ldstoretypes.KeyedItemDescriptor, error) {
	servable := !errors.Is(err, errClosed) && coll.start > 0 && c.servable(&value{taken: coll.taken}, now)
	for _, e := range coll.entries.AllRelaxed() {
		if e.hit(now) == nil && c.missingLocked(e, e.failure, now) {
			servable = false
			err = cmp.Or(err, e.failure, errTooOld)
		}
	}
	if !servable {
		return nil, err
	}
	c.stats.StaleServes++
	return c.assembleLocked(coll), nil
}

// assembleLocked returns the last known values, in no particular order. If the collection and every entry are fresh,
// the result is a hit for later calls until the first of them expires.
func (c *cache) assembleLocked(coll *collection) []ldstoretypes.KeyedItemDescriptor {
	now := c.nowLocked()
	if v := coll.view.Load(); v != nil && !v.until.Reached(now) {
		return v.items
	}
	items := make([]ldstoretypes.KeyedItemDescriptor, 0, coll.entries.Size())
	until, fresh := coll.until, c.wholeLocked(coll, now)
	for _, e := range coll.entries.AllRelaxed() {
		v := e.hit(now)
		if v != nil {
			until = until.Earlier(v.until)
		} else {
			fresh, v = false, e.last
		}
		if v != nil && v.found() {
			items = append(items, ldstoretypes.KeyedItemDescriptor{Key: e.key, Item: v.item})
		}
	}
	if fresh {
		coll.view.Store(&view{items: items, until: until})
		coll.expiry = coll.expiry.Earlier(until)
	}
	return items
}

// contents is the result of a read of a whole collection.
type contents struct {
	items  map[string]*decoded
	broken map[string]error // by key, why the last known value is kept: its row cannot be decoded, or see failed
	failed error            // why the absence of known live items is not accepted, or nil
}

// readWhole reads and decodes all rows of a kind, without the lock. A row that cannot be decoded does not affect
// others.
func (c *cache) readWhole(ctx context.Context, coll *collection) (*contents, error) {
	raw, broken, err := c.inner.getAll(ctx, coll.kind)
	if err != nil {
		return nil, err
	}
	found := &contents{items: make(map[string]*decoded, len(raw)), broken: map[string]error{}}
	for key, err := range broken { // already logged by the inner store
		found.broken[key] = &decodeError{cause: err, logged: true}
	}
	for _, item := range raw {
		if d, err := coll.decode(item.Key, item.Item); err != nil {
			found.broken[item.Key] = err
		} else {
			found.items[item.Key] = d
		}
	}
	var gone []string
	for key, e := range coll.entries.All() {
		if found.items[key] == nil && found.broken[key] == nil && e.read.Load().live() {
			gone = append(gone, key)
		}
	}
	if len(gone) > 0 {
		found.failed = c.confirmMarker()
	}
	for _, key := range gone {
		if found.failed != nil {
			found.broken[key] = found.failed
		}
	}
	return found, nil
}

// keepWholeLocked stores the result of a read of the whole collection. For a known key that the read did not find it
// stores "not found", which is a value like any other.
func (c *cache) keepWholeLocked(f *flight, found *contents, now clock.Instant) {
	coll := f.coll
	for key := range found.items {
		if _, ok := coll.entries.Load(key); !ok {
			coll.addEntry(key)
		}
	}
	for key := range found.broken {
		if _, ok := coll.entries.Load(key); !ok {
			coll.addEntry(key)
		}
	}
	coll.start, coll.taken, coll.until = f.start, f.began, f.began.Add(c.options.ttl)
	coll.reset()
	coll.view.Store(nil)
	fresh := f.start > max(c.invalidAll, c.woken) && !c.frozenLocked(f, now)
	if coll.discarded = !fresh; !fresh {
		c.stats.Discarded++
		coll.until = f.began // not fresh
	}
	var undecoded []string
	for key, e := range coll.entries.AllRelaxed() {
		if e.flight != nil || e.ended > f.start {
			continue // see covers
		}
		if err := found.broken[key]; err != nil {
			if newlyUndecoded(e, err) {
				undecoded = append(undecoded, err.Error())
			}
			e.note(err, now)
			continue
		}
		d := found.items[key]
		if d == nil {
			d = &decoded{item: notFound}
		}
		hit := e.hit(now)
		c.storeLocked(f, e, d, fresh && f.start > e.invalid, now)
		if !fresh {
			e.fresh.Store(hit) // a discarded read does not replace a hit; last is served once the hit has expired
		}
	}
	c.warnUndecodedLocked(undecoded...)
	if found.failed != nil {
		c.outage.Failed(found.failed, false, now)
		return
	}
	c.stats.BrokenRows += len(found.broken)
}
