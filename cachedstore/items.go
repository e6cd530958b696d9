package cachedstore

import (
	"cmp"
	"context"
	"errors"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/clock"
)

// get is the slow path of Get:
//
//  1. It checks again under the lock: another call's read may have ended, the collection may show that the key does
//     not exist, or the last known value may have to be served.
//  2. It joins a read that satisfies needLocked, or starts one, and waits for it without the lock.
//  3. It returns the result of the read, or the last known value if the read failed or must not be waited for.
func (c *cache) get(coll *collection, key string) (ldstoretypes.ItemDescriptor, error) {
	c.mu.Lock()
	defer c.unlock()
	c.stats.Misses++
	now := c.nowLocked()
	e := c.entryLocked(coll, key, now)
	if v := e.hit(now); v != nil {
		return v.item, nil
	}
	known := func(now clock.Instant) (servable, expired bool) { return c.servable(e.last, now), c.expiredLocked(e) }
	if err := c.skipReadLocked(e, known, now); err != nil {
		return c.lastKnownLocked(e, err, now)
	}
	f := c.joinLocked(coll, e, c.needLocked(e, c.seq), now)
	err := c.awaitLocked(known, f)
	now = c.nowLocked()
	switch err = cmp.Or(err, f.err); {
	case err != nil:
		return c.lastKnownLocked(e, err, now)
	case f.value != nil:
		return f.value.item, nil
	case e.last == nil || e.last.start < f.start: // its entry was removed as unknown during a read of the collection
		e = c.entryLocked(coll, key, now)
	}
	if e.last == nil || e.last.start < f.start { // the Query could not decode its row, or found no row and no marker
		return c.lastKnownLocked(e, cmp.Or(e.failure, errTooOld), now)
	}
	return e.last.item, nil
}

// skipReadLocked returns an error if a Get must not wait for a read: the table is assumed to be down, the key is in
// backoff, or its last known value has only expired and reads are known to be slow.
func (c *cache) skipReadLocked(e *entry, known known, now clock.Instant) error {
	servable, expired := known(now)
	backsOff := e.pausing(now) || e.failures > 0 && !c.outage.MayRetry(e.failedAt, now)
	switch {
	case c.outage.Excuses(servable, expired):
		c.outage.Nudge(now)
		return c.outage.Err()
	case backsOff && (servable || e.flight == nil): // if not servable, wait for a read in progress
		return e.failure
	}
	return nil
}

// lastKnownLocked returns the last known value, or err if that value may not be served.
func (c *cache) lastKnownLocked(e *entry, err error, now clock.Instant) (ldstoretypes.ItemDescriptor, error) {
	if errors.Is(err, errClosed) || !c.servable(e.last, now) {
		return notFound, err
	}
	c.stats.StaleServes++
	return e.last.item, nil
}

// entryLocked returns the entry of a key, and adds it if there is none. If the collection is fresh, a new entry is a
// hit: the table does not have the key.
func (c *cache) entryLocked(coll *collection, key string, now clock.Instant) *entry {
	if e, ok := coll.entries.Load(key); ok {
		return e
	}
	c.forgetUnknownLocked(coll)
	e := coll.addEntry(key)
	if c.wholeLocked(coll, now) {
		e.last.until = coll.until
		e.fresh.Store(e.last)
		coll.expiry = coll.expiry.Earlier(coll.until)
	}
	return e
}

// needLocked returns the seq after which a read must have started to satisfy a call that started at seq begun. With TTL
// 0 a call does not join a read in progress; concurrent calls share the next one.
func (c *cache) needLocked(e *entry, begun uint64) uint64 {
	if c.options.ttl == 0 {
		return begun
	}
	return c.discardLocked(e)
}

// discardLocked returns the latest seq of an invalidation of the key or a Wake. Reads of the key that started before it
// are discarded.
func (c *cache) discardLocked(e *entry) uint64 {
	return max(e.invalid, c.invalidAll, c.woken)
}

// expiredLocked reports whether ShortWait applies to the last known value: it has expired and was not invalidated, and
// a read that started after the latest freeze or Wake has succeeded.
func (c *cache) expiredLocked(e *entry) bool {
	return c.options.ttl > 0 && e.last != nil && !e.last.discarded &&
		e.last.start > max(e.invalid, c.invalidAll) && c.settled > c.paused
}

// servable reports whether v, which may be nil, may be served although it is not fresh: see MaxStale. Its age counts
// from the start of its read, like the TTL.
func (c *cache) servable(v *value, now clock.Instant) bool {
	switch {
	case v == nil || c.options.maxStale < 0:
		return false
	case c.options.maxStale == 0:
		return true
	}
	return v.taken.Age(now) <= c.options.maxStale
}

// forgetUnknownLocked limits the memory used for keys that the table does not have. Each time Gets have added
// maxUnknown entries, it removes those without a row. It keeps an entry that a read in progress refers to. It also
// keeps an entry that was invalidated, or read after the collection: without the entry, the older result of the
// collection would apply again.
func (c *cache) forgetUnknownLocked(coll *collection) {
	coll.added++
	if coll.added < c.options.maxUnknown {
		return
	}
	coll.added = 0
	forgotten := 0
	for key, e := range coll.entries.AllRelaxed() {
		unknown := e.last == nil && coll.start == 0 || e.last != nil && !e.last.found()
		invalid := e.invalid > c.invalidAll && (e.last == nil || e.last.start < e.invalid)
		if !unknown || invalid || !coll.droppable(e) || coll.start > 0 && e.last != nil && e.last.start > coll.start {
			continue
		}
		coll.entries.Delete(key)
		forgotten++
	}
	if forgotten > 0 {
		c.stats.Forgotten += forgotten
		c.warnLocked("removed %d unknown keys of %s from memory; are flag keys built from data?", forgotten, coll.name)
	}
}

// readItem reads and decodes one row, without the lock. If a live item is absent, it checks the marker.
func (c *cache) readItem(ctx context.Context, coll *collection, e *entry) (*decoded, error) {
	if e == c.marker {
		return c.readMarker(ctx)
	}
	raw, err := c.inner.get(ctx, coll.kind, e.key)
	if err != nil {
		return nil, err
	}
	d, err := coll.decode(e.key, raw)
	if err == nil && !d.found() && e.read.Load().live() {
		err = c.confirmMarker()
	}
	return d, err
}

// keepItemLocked stores the result of a read of one key. If the read is discarded, the result is only the last known
// value.
func (c *cache) keepItemLocked(f *flight, d *decoded, now clock.Instant) {
	fresh := f.start > c.discardLocked(f.entry) && !c.frozenLocked(f, now)
	if !fresh && f.coll != c.markers {
		c.stats.Discarded++
	}
	if f.entry.failures > 0 {
		c.outage.Retried()
	}
	c.storeLocked(f, f.entry, d, fresh, now)
	f.value = f.entry.last
	f.coll.view.Store(nil)
}

// storeLocked stores what f found for one key. With TTL 0 it is only the last known value.
func (c *cache) storeLocked(f *flight, e *entry, d *decoded, fresh bool, now clock.Instant) {
	fresh = fresh && c.options.ttl != 0
	e.read.Store(d)
	v := &value{item: d.item, start: f.start, taken: f.began, until: f.began.Add(c.options.ttl), discarded: !fresh}
	e.store(v, fresh)
	if fresh {
		f.coll.expiry = f.coll.expiry.Earlier(v.until)
	}
	if d.live() {
		c.lookForMarkerLocked(now)
	}
}
