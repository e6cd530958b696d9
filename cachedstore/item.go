package cachedstore

import (
	"context"
	"fmt"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// This file is the way of a Get that is no hit, and of the read that it may begin. With read.go, in steps:
//
//  1. get looks again under the lock: the whole collection may say that there is no such key, another call's read may have
//     ended, and after a failed read the last known value may have to do for a while;
//  2. it joins a read that began after the tick of staleTickLocked, or has one begin, and waits without the lock;
//  3. keep stores what was read: as fresh when it began after discardTickLocked, as last known otherwise. With a
//     cache these two ticks are the same, so a Get never waits for a read that is bound to be discarded;
//  4. fail stores nothing, and answers with the last known value where that may be served.

// notFound answers for a key that the table does not have. It is cached as any other value is.
var notFound = ldstoretypes.ItemDescriptor{}.NotFound()

// contextReader is what a store may offer beside Get and GetAll, for callers with a deadline (dynamostore does).
type contextReader interface {
	GetContext(context.Context, ldstoretypes.DataKind, string) (ldstoretypes.SerializedItemDescriptor, error)
	GetAllContext(context.Context, ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, error)
}

// brokenTeller is what a store may offer beside GetAll: it also says which rows it passed over (dynamostore does).
type brokenTeller interface {
	GetAllAndBroken(context.Context, ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, map[string]error, error)
}

// get is a Get that was no hit. In an outage it does not read where a last known value may be served; where none may, the
// read is the only hope, and is tried once a backoff.
func (s *cache) get(c *collection, key string) (ldstoretypes.ItemDescriptor, error) {
	s.mu.Lock()
	s.stats.Misses++
	now := s.nowLocked()
	sl := c.slots.get(key)
	if sl == nil {
		whole := s.wholeLocked(c, now)
		if !whole && s.outage.down && s.servableWholeLocked(c, now) {
			s.mu.Unlock()
			return notFound, nil // the collection, as last known, does not have it
		}
		s.forgetUnknownLocked(c)
		sl = c.newSlot(key)
		if whole { // it does not have it, for as long as it is fresh itself
			c.expiry = c.expiry.earlier(sl.absent(c))
		}
		c.slots.add(sl)
	}
	if v := sl.hit(now); v != nil {
		s.mu.Unlock()
		return v.item, nil // another call's read has ended since the look without the lock
	}
	if s.outage.down || sl.resting(now) {
		if s.servable(sl.last, now) {
			s.stats.StaleServes++
			s.mu.Unlock()
			return sl.last.item, nil
		}
		// Not where a read is under way: that one may answer.
		if sl.resting(now) && sl.flight == nil {
			s.mu.Unlock()
			return notFound, sl.failure
		}
	}
	f := s.joinLocked(&sl.lane, &itemReader{s, c, sl}, s.staleTickLocked(sl))
	s.mu.Unlock()
	<-f.done
	return f.item, f.err
}

// staleTickLocked is the tick at or before which a read of the key must not have begun, to answer a call that
// starts now. Without a cache (TTL 0) no read that has begun will do, and calls that wait share the next one.
func (s *cache) staleTickLocked(sl *slot) uint64 {
	if s.options.ttl == 0 {
		return s.tick
	}
	return s.discardTickLocked(sl)
}

// discardTickLocked is the tick at or before which a read that began is discarded for this key: it was invalidated
// since, or an invocation began.
func (s *cache) discardTickLocked(sl *slot) uint64 {
	return max(sl.invalid, s.invalidAll, s.woken)
}

// servable reports whether v, which may be nil, may be served although it is not fresh: see MaxStale. Its age counts from
// the beginning of its read, as the TTL does.
func (s *cache) servable(v *value, now instant) bool {
	switch {
	case v == nil || s.options.maxStale < 0:
		return false
	case s.options.maxStale == 0:
		return true
	}
	return v.taken.age(now) <= s.options.maxStale
}

// forgetUnknownLocked bounds what is remembered of keys that the table does not have: every maxUnknown slots that
// were made for a Get, those that hold none go. A slot stays while a read is under way that its order matters
// to (a dropped slot forgets what was kept, and a read from before that could be kept after all), or while it says
// that a key was invalidated (or "the collection does not have it" would be believed again). An InvalidateAll needs no
// slot to remember it.
func (s *cache) forgetUnknownLocked(c *collection) {
	c.asked++
	if c.asked < maxUnknown || c.flight != nil {
		return
	}
	c.asked = 0
	forgotten := 0
	c.slots.remove(func(sl *slot) bool {
		if sl.flight != nil || sl.last != nil && sl.last.found() {
			return false
		}
		if sl.invalid > s.invalidAll && (sl.last == nil || sl.last.start < sl.invalid) {
			return false
		}
		forgotten++
		return true
	})
	if forgotten > 0 {
		s.stats.Forgotten += forgotten
		s.loggers.Warnf("cachedstore: forgot %d unknown keys of %s; are flag keys made from data?", forgotten, c.name)
	}
}

// itemReader is the [reader] of one key.
type itemReader struct {
	s  *cache
	c  *collection
	sl *slot
}

// read asks the store for the row, and decodes it: also without the lock, as JSON takes longer than all the rest.
func (r *itemReader) read(ctx context.Context) (any, error) {
	var raw ldstoretypes.SerializedItemDescriptor
	var err error
	if core, ok := r.s.core.(contextReader); ok {
		raw, err = core.GetContext(ctx, r.c.kind, r.sl.key)
	} else {
		raw, err = r.s.core.Get(r.c.kind, r.sl.key)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %q: %w", r.c.name, r.sl.key, err)
	}
	d, err := r.c.decode(r.sl.key, raw)
	if err != nil {
		return nil, err // not d: a nil pointer is not a nil interface
	}
	return d, nil
}

// answered is true when a read of the collection has made the item fresh while these calls waited for their turn: being
// fresh, it began after all invalidations so far, and so after all that these calls had to wait for. Without a cache
// nothing is fresh, and the read begins.
func (r *itemReader) answered(f *flight, now instant) bool {
	v := r.sl.hit(now)
	if v == nil {
		return false
	}
	f.item = v.item
	return true
}

// keep answers with what is known now, which is not what was read when a read of the collection ended meanwhile: this
// one was thrown away then. With a cache what is known is an answer: the collection's value was kept because it is fresh, or
// because its read began after this one (where neither is so, it is put by: see collectionReader.keep). Without a cache
// it is none where the other read had begun before these calls.
func (r *itemReader) keep(f *flight, found any, now instant) bool {
	s, sl := r.s, r.sl
	d := found.(*decoded)
	sl.decoded.Store(d)
	item := d.item
	stale := s.discardTickLocked(sl)
	fresh := f.start > stale && !s.frozenLocked(f, now)
	if !fresh {
		s.stats.Discarded++
	}
	s.keepLocked(r.c, sl, item, f, fresh, now)
	r.c.failures = 0 // the table answers: a Query may be tried again
	r.c.view.Store(nil)
	f.item = sl.last.item
	return s.options.ttl != 0 || sl.last.start >= f.start
}

// fail answers with the last known value, or the error. First, what a read of the collection had put by for this case
// becomes the last known value, as of the tick at which that read ended.
func (r *itemReader) fail(f *flight, err error, now instant) {
	if spare := r.sl.spare; spare != nil {
		r.sl.keep(spare, false, r.sl.putBy) // a read that began since then is newer
	}
	r.sl.fail(err, now)
	if r.s.servable(r.sl.last, now) {
		r.s.stats.StaleServes++
		f.item = r.sl.last.item
		return
	}
	f.item, f.err = notFound, err
}

// keepLocked gives a slot what a read found. Without a cache it is only the last known value.
func (s *cache) keepLocked(c *collection, sl *slot, item ldstoretypes.ItemDescriptor, f *flight, fresh bool, now instant) {
	v := s.valueLocked(sl, item, f, now)
	v.stale = !fresh
	c.expiry = c.expiry.earlier(sl.keep(v, fresh && s.options.ttl != 0, s.tick))
}

// valueLocked makes the value of what f read, expiring a TTL after f began. Where the table lags behind a message, the
// shorter time that it is served counts from now, as a pause between two reads does.
func (s *cache) valueLocked(sl *slot, item ldstoretypes.ItemDescriptor, f *flight, now instant) *value {
	until := f.began.until(s.options.ttl)
	if served := sl.lag(item.Version, s.options.ttl, now); served != s.options.ttl {
		until = now.until(served).earlier(until)
	}
	return &value{item: item, start: f.start, taken: f.began, until: until}
}
