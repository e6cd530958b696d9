package cachedstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/puzpuzpuz/xsync/v4"

	"github.com/warmflags/warmflags/internal/clock"
)

// collection holds what is cached of one kind of data. Get and GetAll read entries and view without a lock; cache.mu
// guards everything else.
type collection struct {
	kind    ldstoretypes.DataKind      // never changes
	name    string                     // kind's name
	entries *xsync.Map[string, *entry] // written under cache.mu
	view    atomic.Pointer[view]       // a hit of GetAll; nil: take the slow path. Written under cache.mu

	flight, next *flight       // the read of the whole collection in progress, and the one that waits to begin
	waiting      []*entry      // entries whose next read waits for flight to end
	backoff                    // of reads of the whole collection
	start        uint64        // seq at which the latest of them that succeeded began; 0: none did
	taken        clock.Instant // when it began
	until        clock.Instant // fresh until then
	expiry       clock.Instant // nothing of the collection expires before
	added        int           // entries added since unknown keys were last forgotten
	discarded    bool          // the latest read was never fresh: an invalidation of everything or a pause came during it
}

func newCollection(kind ldstoretypes.DataKind) *collection {
	return &collection{kind: kind, name: kind.GetName(), entries: xsync.NewMap[string, *entry](), expiry: clock.Never}
}

// view is the answer to GetAll. It never changes after it is made, and callers share its items.
type view struct {
	items []ldstoretypes.KeyedItemDescriptor
	until clock.Instant // the earliest of its items' and its collection's
}

// addEntry adds an entry for a key that has none. If the whole collection was read, the last known value is that it
// does not have the key.
func (coll *collection) addEntry(key string) *entry {
	e := &entry{key: key}
	if coll.start > 0 {
		e.last = &value{item: notFound, start: coll.start, taken: coll.taken, until: coll.taken, discarded: coll.discarded}
	}
	coll.entries.Store(key, e)
	return e
}

// covers reports whether the read of the collection in progress also reads e. It says nothing of an entry whose own
// read was in progress when it began: two reads that overlap cannot be ordered.
func (coll *collection) covers(e *entry) bool {
	return coll.flight != nil && e.flight == nil && e.ended < coll.flight.start
}

// droppable reports whether e may be forgotten: no read will be stored in it, and it does not keep a read of the
// collection in progress from being stored.
func (coll *collection) droppable(e *entry) bool {
	return e.flight == nil && e.next == nil && (coll.flight == nil || e.ended < coll.flight.start)
}

// wholeLocked reports whether the latest read of the whole collection still says which keys there are. What expired
// once has expired for good.
func (c *cache) wholeLocked(coll *collection, now clock.Instant) bool {
	if coll.until.Reached(now) {
		coll.until = coll.taken
	}
	return c.options.ttl != 0 && coll.start > c.invalidAll && !coll.until.Reached(now)
}

// getAll is a GetAll that was no hit:
//
//  1. it waits for a read of the whole collection, unless the latest is still good and few keys are stale;
//  2. it waits for a read of each key that is still stale: those that were invalidated during the first read;
//  3. it assembles the known values.
//
// It holds the lock except while it waits. What is invalidated while it waits need not be in its answer.
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
		need := max(c.invalidAll, c.woken)
		if c.options.ttl == 0 {
			need = c.seq
		} else if coll.flight != nil && stale.after(coll.flight.start) > c.options.manyStale {
			need = coll.flight.start
		}
		f := c.joinWholeLocked(coll, need, now)
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
			if err == nil && (e.last == nil || e.last.start < f.start) { // a Query found its row broken, or gone with the marker
				err = cmp.Or(e.failure, errTooOld)
			}
			if err != nil && c.missingLocked(e, err, now) {
				return nil, err
			}
		}
	}
	return c.assembleLocked(coll), nil
}

// unread returns the entries of which nothing is known until their own read has ended (see covers), except those that were
// waited for.
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
	expired bool  // all have only expired
	err     error // a key may not be served, and not be read yet either
}

// after returns how many of them were invalidated after seq.
func (stale *staleEntries) after(seq uint64) (n int) {
	for _, e := range stale.entries {
		if e.invalid > seq {
			n++
		}
	}
	return n
}

// staleLocked lists the entries whose last known value is not good for a call that began at seq begun and waited for
// the read of the collection which began at seq joined (0: it waited for none). What was read since the call began is
// good, whatever came after that.
func (c *cache) staleLocked(coll *collection, begun, joined uint64, now clock.Instant) staleEntries {
	stale := staleEntries{expired: true}
	for _, e := range coll.entries.AllRelaxed() {
		switch {
		case e.hit(now) != nil:
		case e.last != nil && e.last.start > begun:
		case joined > 0 && e.last != nil && e.last.start >= joined && e.last.start > e.invalid:
		case e.pausing(now) && !c.missingLocked(e, e.failure, now): // as last known, or left out
		case e.pausing(now) && e.flight == nil:
			stale.err = e.failure
		default:
			stale.entries = append(stale.entries, e)
			stale.expired = stale.expired && c.expiredLocked(e)
		}
	}
	return stale
}

// missingLocked reports whether the table may have a key of which nothing is known that may be served: a GetAll
// without it would say that it is gone. A row that cannot be decoded is left out.
func (c *cache) missingLocked(e *entry, failure error, now clock.Instant) bool {
	if e.last == nil {
		var broken *decodeError
		return !errors.As(failure, &broken)
	}
	return !c.servable(e.last, now)
}

// lastWholeLocked answers a GetAll with what is known, because a read failed or is not waited for. It returns an error
// if one key's value may not be served: to leave the key out would say that it is gone.
func (c *cache) lastWholeLocked(coll *collection, err error, now clock.Instant) ([]ldstoretypes.KeyedItemDescriptor, error) {
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

// assembleLocked puts the last known values together, in no order. The result is a hit for later calls if the
// collection and every entry are fresh, until the first of them expires.
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

// contents is what a read of a whole collection found.
type contents struct {
	items  map[string]*decoded
	broken map[string]error // rows that were not understood, or are gone with the marker: their last known values stay
	failed error            // why live items are gone
}

// readWhole reads and decodes all rows of a kind, without the lock. A row that cannot be decoded affects no other.
func (c *cache) readWhole(ctx context.Context, coll *collection) (*contents, error) {
	raw, broken, err := c.inner.getAll(ctx, coll.kind)
	if err != nil {
		return nil, err
	}
	found := &contents{items: make(map[string]*decoded, len(raw)), broken: map[string]error{}}
	for key, err := range broken { // the inner store has logged it
		found.broken[key] = err
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

// keepWholeLocked stores what a read of the whole collection found for each key. A key that it did not find is gone:
// that is a value like any other.
func (c *cache) keepWholeLocked(f *flight, found *contents, now clock.Instant) {
	coll := f.coll
	for key := range found.items {
		if _, ok := coll.entries.Load(key); !ok {
			coll.addEntry(key)
		}
	}
	for key, err := range found.broken {
		if _, ok := coll.entries.Load(key); !ok {
			coll.addEntry(key)
		}
		var undecoded *decodeError
		if errors.As(err, &undecoded) {
			c.warnLocked("%s; its last known value is served", err)
		}
	}
	coll.start, coll.taken, coll.until = f.start, f.began, f.began.Add(c.options.ttl)
	coll.reset()
	coll.view.Store(nil)
	fresh := f.start > max(c.invalidAll, c.woken) && !c.frozenLocked(f, now)
	if coll.discarded = !fresh; !fresh {
		c.stats.Discarded++
		coll.until = f.began // known, but not fresh
	}
	for key, e := range coll.entries.AllRelaxed() {
		if e.flight != nil || e.ended > f.start {
			continue // see covers
		}
		if err := found.broken[key]; err != nil {
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
			e.fresh.Store(hit) // a discarded read does not displace it; last is served when it is no hit any more
		}
	}
	if found.failed != nil {
		c.outage.Failed(found.failed, false, now)
		return
	}
	c.stats.BrokenRows += len(found.broken)
}

// decoded is an item and what it was made of. It never changes after it is made.
type decoded struct {
	version int
	sum     [sha256.Size]byte // of the JSON
	item    ldstoretypes.ItemDescriptor
}

// found reports whether the table has a row.
func (d *decoded) found() bool { return d.item.Version >= 0 }

// live reports whether the table has a row that is not a tombstone. The receiver may be nil.
func (d *decoded) live() bool { return d != nil && d.item.Item != nil }

// decodeError is an item that was read but not understood: the table can be reached.
type decodeError struct{ cause error }

func (err *decodeError) Error() string { return err.cause.Error() }
func (err *decodeError) Unwrap() error { return err.cause }

// decode makes an item of what the table holds, as LaunchDarkly's own wrapper does. JSON that equals what was decoded
// before is not decoded again: after InvalidateAll, or a TTL, most items are equal.
func (coll *collection) decode(key string, raw ldstoretypes.SerializedItemDescriptor) (*decoded, error) {
	if raw.Deleted || raw.SerializedItem == nil {
		return &decoded{item: ldstoretypes.ItemDescriptor{Version: raw.Version}}, nil
	}
	sum := sha256.Sum256(raw.SerializedItem)
	if e, ok := coll.entries.Load(key); ok {
		if d := e.read.Load(); d != nil && d.version == raw.Version && d.sum == sum {
			return d, nil
		}
	}
	item, err := coll.kind.Deserialize(raw.SerializedItem)
	if err != nil {
		if err.Error() == "" { // as LaunchDarkly's reader says of an unknown word
			err = cmp.Or(json.Unmarshal(raw.SerializedItem, new(any)), err)
		}
		return nil, &decodeError{fmt.Errorf("decode %s %q: %w", coll.name, key, err)}
	}
	if raw.Version != 0 {
		item.Version = raw.Version // the table's own version, where it differs from the JSON's
	}
	return &decoded{raw.Version, sum, item}, nil
}
