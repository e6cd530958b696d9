package cachedstore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

var (
	errAbandoned = errors.New("read took too long and was abandoned")
	errClosed    = errors.New("store is closed")
	errTooOld    = errors.New("the last known value is older than MaxStale, and the table cannot be read")
)

// flight is one read of the table and the calls that wait for it. Its fields are guarded by cache.mu until done is
// closed and never change after. Start is 0 until it begins: any call may wait for a flight that has not begun.
type flight struct {
	coll  *collection
	entry *entry        // nil: the whole collection
	done  chan struct{} // closed when the read ended

	start     uint64        // seq at which it began
	began     clock.Instant // when it began
	freezes   int           // freezes seen when it began
	limit     *time.Timer   // abandons it
	ended     bool
	waiters   int       // calls that wait for it
	followers []*flight // item reads that this read of the collection answers, because they had not begun
	value     *value    // what a read of one item found
	err       error
}

func newFlight(coll *collection, e *entry) *flight {
	return &flight{coll: coll, entry: e, done: make(chan struct{})}
}

// waitersLocked returns how many calls wait for the read.
func (f *flight) waitersLocked() int {
	n := f.waiters
	for _, g := range f.followers {
		n += g.waiters
	}
	return n
}

// answer frees the calls that wait.
func (f *flight) answer() {
	close(f.done)
	for _, g := range f.followers {
		g.start, g.err, g.ended = f.start, f.err, true
		close(g.done)
	}
}

// frozenLocked reports whether the process stood still since the read began: its answer is as old as that. Now must
// come from nowLocked, which counts a freeze that has just ended.
func (c *cache) frozenLocked(f *flight, now clock.Instant) bool {
	return f.freezes < c.freezes || f.began.Frozen(now)
}

// joinableLocked reports whether a flight in progress is good for a call that needs a read which began after seq need.
func (c *cache) joinableLocked(f *flight, need uint64, now clock.Instant) bool {
	return f != nil && f.start > need && !c.frozenLocked(f, now)
}

// joinLocked returns the flight that answers a call which needs a read of e that began after seq need: one in
// progress, one that waits to begin, or a new one. What was cached as a whole and is not fresh any more is read by
// one Query.
func (c *cache) joinLocked(coll *collection, e *entry, need uint64, now clock.Instant) *flight {
	covered := coll.covers(e)
	// A Query pays if it makes the collection fresh: one in progress that will is not followed by another for one key.
	query := c.options.ttl != 0 && coll.start > 0 && !c.wholeLocked(coll, now) && !coll.pausing(now) &&
		e.flight == nil && !c.joinableLocked(coll.flight, max(c.invalidAll, c.woken), now)
	switch {
	case c.joinableLocked(e.flight, need, now):
		return e.flight
	case e.next != nil:
		return e.next
	case covered && c.joinableLocked(coll.flight, need, now):
		return coll.flight
	case covered && coll.next != nil:
		return coll.next
	case query:
		return c.joinWholeLocked(coll, need, now)
	}
	f := newFlight(coll, e)
	switch {
	case e.flight != nil:
		e.next = f
	case covered:
		e.next = f
		coll.waiting = append(coll.waiting, e)
	default:
		c.beginLocked(f)
	}
	return f
}

// joinWholeLocked is joinLocked for a call that needs the whole collection.
func (c *cache) joinWholeLocked(coll *collection, need uint64, now clock.Instant) *flight {
	switch {
	case c.joinableLocked(coll.flight, need, now):
		return coll.flight
	case coll.next != nil:
		return coll.next
	}
	f := newFlight(coll, nil)
	if coll.flight == nil {
		c.beginLocked(f)
	} else {
		coll.next = f
	}
	return f
}

// beginLocked starts the read of f. Its age and its order count from here, before the table is asked: whatever the
// table answers is from then or later. In a closed cache it fails at once.
func (c *cache) beginLocked(f *flight) {
	c.seq++
	now := c.nowLocked()
	f.start, f.began, f.freezes = c.seq, now, c.freezes
	if c.closed {
		f.ended, f.err = true, errClosed
		f.answer()
		return
	}
	if f.coll != c.markers {
		c.stats.Reads++
	}
	if f.entry == nil {
		f.coll.flight = f
	} else {
		f.entry.flight = f
		if f.entry.failures > 0 {
			c.outage.Retrying(now)
		}
	}
	ctx, cancel := context.WithCancel(c.life)
	f.limit = time.AfterFunc(c.options.readLimit, func() {
		// In this order: otherwise a store that heeds ctx would end the flight first, with "context canceled".
		c.finish(f, nil, errAbandoned)
		cancel()
	})
	c.running.start(func() {
		defer cancel()
		if f.entry == nil {
			found, err := c.readWhole(ctx, f.coll)
			c.finish(f, func(now clock.Instant) { c.keepWholeLocked(f, found, now) }, err)
			return
		}
		found, err := c.readItem(ctx, f.coll, f.entry)
		c.finish(f, func(now clock.Instant) { c.keepItemLocked(f, found, now) }, err)
	})
}

// finish ends a flight, with keep or as failed, and begins what waits for it. The second end of a flight, when an
// abandoned read returns after all, does nothing. All of it is one hold of the lock: what was found is stored before
// the calls that wait are freed and before the next read begins.
func (c *cache) finish(f *flight, keep func(now clock.Instant), err error) {
	c.mu.Lock()
	defer c.unlock()
	if f.ended {
		return
	}
	f.ended, f.err = true, err
	f.limit.Stop()
	c.seq++
	now := c.nowLocked()
	if f.entry == nil {
		f.coll.flight = nil
	} else {
		f.entry.flight, f.entry.ended = nil, c.seq
	}
	if err != nil {
		c.failLocked(f, now)
	} else {
		keep(now)
		if f.start > c.paused {
			c.settled = f.start
		}
	}
	f.answer()
	c.advanceLocked(f)
}

// failLocked notes that a read failed. A read that was discarded anyway keeps no later one waiting. In a process that is
// frozen between invocations, an abandoned read that no call waits for says nothing of the table: its timer ran out while
// the process stood still.
func (c *cache) failLocked(f *flight, now clock.Instant) {
	c.stats.Errors++
	abandoned := errors.Is(f.err, errAbandoned)
	if abandoned && c.options.freezes && f.waitersLocked() == 0 {
		return
	}
	switch {
	case f.entry == nil && f.start > max(c.invalidAll, c.woken):
		f.coll.note(f.err, now)
	case f.entry != nil && f.start > c.discardLocked(f.entry):
		f.entry.note(f.err, now)
	}
	var broken *decodeError
	if errors.As(f.err, &broken) { // the table answers
		c.warnLocked("%s; its last known value is served", f.err)
		return
	}
	c.outage.Failed(f.err, abandoned, now)
}

// advanceLocked begins what waited for f to end. A read of the collection that waited answers the item reads that
// waited too.
func (c *cache) advanceLocked(f *flight) {
	if e := f.entry; e != nil {
		if next := e.next; next != nil {
			e.next = nil
			c.beginLocked(next)
		}
		return
	}
	coll, query, waiting := f.coll, f.coll.next, f.coll.waiting
	coll.next, coll.waiting = nil, nil
	for _, e := range waiting {
		next := e.next
		e.next = nil
		if query != nil {
			query.followers = append(query.followers, next)
		} else {
			c.beginLocked(next)
		}
	}
	if query != nil {
		c.beginLocked(query)
	}
}

// known reports what a call can be answered with if it does not wait: whether a last known value is servable, and
// whether that value has only expired. It is called under cache.mu.
type known func(now clock.Instant) (servable, expired bool)

// awaitLocked waits for flights, without the lock while it waits. It returns an error if the call does not wait until
// they have ended: because the table is down, or is taken to be and a last known value is servable, or because that
// value has only expired and ShortWait is over.
func (c *cache) awaitLocked(known known, flights ...*flight) error {
	for _, f := range flights {
		f.waiters++
		defer func() { f.waiters-- }() // mu is held again
	}
	expired := true
	for waited := c.options.shortWait == 0; ; {
		raised := c.outage.Raised() // before Excuses is asked
		servable, only := known(c.nowLocked())
		expired = expired && only // a freeze may have come while it waited
		if c.outage.Excuses(servable, expired) || waited && servable && expired {
			return cmp.Or(c.outage.Err(), errAbandoned)
		}
		c.unlock()
		ended, tooLong := c.await(flights, raised, !waited)
		c.mu.Lock()
		switch waited = waited || tooLong; {
		case c.life.Err() != nil:
			return errClosed
		case ended:
			return nil
		}
	}
}

// await waits until the flights have ended, the outage's level is raised, ShortWait is over, or the cache is closed.
func (c *cache) await(flights []*flight, raised <-chan struct{}, short bool) (ended, tooLong bool) {
	timer := time.NewTimer(max(c.options.shortWait, 0))
	defer timer.Stop()
	timeout := timer.C
	if !short || c.options.shortWait <= 0 {
		timeout = nil
	}
	for _, f := range flights {
		select {
		case <-f.done:
		case <-timeout:
			c.outage.Suspect(c.options.shortWait, c.options.clock())
			return false, true
		case <-raised:
			return false, false
		case <-c.life.Done():
			return false, false
		}
	}
	return true, false
}
