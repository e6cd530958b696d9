package cachedstore

import (
	"cmp"
	"context"
	"errors"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/clock"
)

// get is a Get that was no hit:
//
//  1. it looks again under the lock: another call's read may have ended, the collection may not have the key, or the
//     last known value has to do for a while;
//  2. it joins a read that began after needLocked, or has one begin, and waits for it without the lock;
//  3. it returns what the read found, or the last known value if the read failed or may not be waited for.
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
	case e.last == nil || e.last.start < f.start: // dropped as unknown while a read of the collection answered
		e = c.entryLocked(coll, key, now)
	}
	if e.last == nil || e.last.start < f.start { // its row is broken, or is gone with the marker
		return c.lastKnownLocked(e, cmp.Or(e.failure, errTooOld), now)
	}
	return e.last.item, nil
}

// skipReadLocked returns an error if a Get does not wait for a read: the table is taken to be down, the key's reads
// failed and are backing off, or the last known value has only expired and reads are known to be slow.
func (c *cache) skipReadLocked(e *entry, known known, now clock.Instant) error {
	servable, expired := known(now)
	backsOff := e.pausing(now) || e.failures > 0 && !c.outage.MayRetry(e.failedAt, now)
	switch {
	case c.outage.Excuses(servable, expired):
		c.outage.Nudge(now)
		return c.outage.Err()
	case backsOff && (servable || e.flight == nil): // a read in progress may answer
		return e.failure
	}
	return nil
}

// lastKnownLocked answers with the last known value, or with err if it may not be served.
func (c *cache) lastKnownLocked(e *entry, err error, now clock.Instant) (ldstoretypes.ItemDescriptor, error) {
	if errors.Is(err, errClosed) || !c.servable(e.last, now) {
		return notFound, err
	}
	c.stats.StaleServes++
	return e.last.item, nil
}

// entryLocked returns the entry of a key, and makes it if there is none. If the collection is fresh, a new entry is a
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

// needLocked returns the seq after which a read must have begun to answer a call that began at seq begun. Without a
// cache (TTL 0) no read that was in progress will do, and the calls that wait share the next one.
func (c *cache) needLocked(e *entry, begun uint64) uint64 {
	if c.options.ttl == 0 {
		return begun
	}
	return c.discardLocked(e)
}

// discardLocked returns the seq up to which a read that began is discarded for this key: the key was invalidated since,
// or an invocation began.
func (c *cache) discardLocked(e *entry) uint64 {
	return max(e.invalid, c.invalidAll, c.woken)
}

// expiredLocked reports whether the last known value has only expired, so that a short wait for its read is enough: it
// was not invalidated, and the table was read since the process last stood still.
func (c *cache) expiredLocked(e *entry) bool {
	return c.options.ttl > 0 && e.last != nil && !e.last.discarded &&
		e.last.start > max(e.invalid, c.invalidAll) && c.settled > c.paused
}

// servable reports whether v, which may be nil, may be served although it is not fresh: see MaxStale. Its age counts
// from the beginning of its read, like the TTL.
func (c *cache) servable(v *value, now clock.Instant) bool {
	switch {
	case v == nil || c.options.maxStale < 0:
		return false
	case c.options.maxStale == 0:
		return true
	}
	return v.taken.Age(now) <= c.options.maxStale
}

// forgetUnknownLocked bounds the memory for keys that the table does not have: each time a Get has added maxUnknown
// entries, those without a value are dropped. An entry stays while a call waits for its own read, and while it records
// that the key was invalidated or was read after the collection: otherwise what the collection showed would be believed
// again.
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
		c.warnLocked("forgot %d unknown keys of %s; are flag keys made from data?", forgotten, coll.name)
	}
}

// readItem reads and decodes one row, without the lock. If a live item is gone, the marker must still be there.
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

// keepItemLocked stores what a read of one key found: as fresh, or only as the last known value if it is discarded.
func (c *cache) keepItemLocked(f *flight, d *decoded, now clock.Instant) {
	fresh := f.start > c.discardLocked(f.entry) && !c.frozenLocked(f, now)
	if !fresh {
		c.stats.Discarded++
	}
	if f.entry.failures > 0 {
		c.outage.Retried()
	}
	c.storeLocked(f, f.entry, d, fresh, now)
	f.value = f.entry.last
	f.coll.view.Store(nil)
}

// storeLocked stores what f found for one key. Without a cache it is only the last known value.
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
