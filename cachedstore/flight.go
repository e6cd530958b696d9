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

// flight is one read of the table and the calls that wait for it. cache.mu guards its fields until done is closed;
// after that they never change. A call may wait for a flight that has not started yet.
type flight struct {
	coll  *collection
	entry *entry        // nil: the whole collection
	done  chan struct{} // closed when the read has ended

	start     uint64        // seq at which it started; 0: it has not started
	began     clock.Instant // when it started
	freezes   int           // cache.freezes when it started
	limit     *time.Timer   // abandons it
	ended     bool
	waiters   int       // number of calls that wait for it
	followers []*flight // pending reads of single items that this read of the collection replaces
	value     *value    // the result of a read of one item
	err       error
}

func newFlight(coll *collection, e *entry) *flight {
	return &flight{coll: coll, entry: e, done: make(chan struct{})}
}

// waitersLocked returns the number of calls that wait for the read.
func (f *flight) waitersLocked() int {
	n := f.waiters
	for _, g := range f.followers {
		n += g.waiters
	}
	return n
}

// answer releases the waiting calls.
func (f *flight) answer() {
	close(f.done)
	for _, g := range f.followers {
		g.start, g.err, g.ended = f.start, f.err, true
		close(g.done)
	}
}

// frozenLocked reports whether the process was frozen since the read started: the response may be as old as the freeze.
// Now must come from nowLocked, which detects a freeze that has just ended.
func (c *cache) frozenLocked(f *flight, now clock.Instant) bool {
	return f.freezes < c.freezes || f.began.Frozen(now)
}

// joinableLocked reports whether a flight in progress satisfies a call that needs a read which started after seq need.
func (c *cache) joinableLocked(f *flight, need uint64, now clock.Instant) bool {
	return f != nil && f.start > need && !c.frozenLocked(f, now)
}

// joinLocked returns the flight for a call that needs a read of e which started after seq need: a flight in progress, a
// pending flight, or a new one. If the whole collection was read before and is no longer fresh, the flight is a Query
// of the collection.
func (c *cache) joinLocked(coll *collection, e *entry, need uint64, now clock.Instant) *flight {
	covered := coll.covers(e)
	// If a Query in progress will make the collection fresh, no other Query follows it for one key.
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

// beginLocked starts the read of f. The read's age and its place in the order count from before the request, because
// the response shows the table's state at that time or later. In a closed cache the read fails at once.
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
		// Finish before cancel: otherwise a store that uses ctx could end the flight first, with "context canceled".
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

// finish ends a flight, either with keep or with err, and starts the reads that wait for it. It does nothing for a
// flight that has ended: an abandoned read may still return. All of it happens under one hold of the lock, so the
// result is stored before the waiting calls are released and before the next read starts.
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

// failLocked records that a read failed. The failure of a discarded read starts no backoff. In a process that is frozen
// between invocations, an abandoned read that no call waits for is not counted as an outage: its timer may have run out
// because of a freeze.
func (c *cache) failLocked(f *flight, now clock.Instant) {
	if f.coll != c.markers {
		c.stats.Errors++
	}
	abandoned := errors.Is(f.err, errAbandoned)
	if abandoned && c.options.freezes && f.waitersLocked() == 0 {
		return
	}
	switch {
	case f.entry == nil && f.start > max(c.invalidAll, c.woken):
		f.coll.note(f.err, now)
	case f.entry != nil && f.start > c.discardLocked(f.entry):
		if newlyUndecoded(f.entry, f.err) {
			c.warnUndecodedLocked(f.err.Error())
		}
		f.entry.note(f.err, now)
	}
	var undecoded *decodeError
	if errors.As(f.err, &undecoded) { // the table was reached
		return
	}
	c.outage.Failed(f.err, abandoned, now)
}

// advanceLocked starts the reads that waited for f to end. A pending read of the collection also replaces the pending
// reads of single items.
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

// known reports what a call can return without waiting: whether there is a last known value that may be served, and
// whether that value has expired without being invalidated. It is called under cache.mu.
type known func(now clock.Instant) (servable, expired bool)

// awaitLocked waits for flights. It releases the lock while it waits. It returns an error if the call must not wait
// until they have ended: the table is down; or a last known value is servable and the table is assumed to be down; or
// that value has only expired, and ShortWait has passed.
func (c *cache) awaitLocked(known known, flights ...*flight) error {
	for _, f := range flights {
		f.waiters++
		defer func() { f.waiters-- }() // mu is held when awaitLocked returns
	}
	expired := true
	for waited := c.options.shortWait == 0; ; {
		raised := c.outage.Raised() // before Excuses, so that no change of the level is missed
		servable, expiredNow := known(c.nowLocked())
		expired = expired && expiredNow // the process may have been frozen while the call waited
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

// await waits until the flights have ended, the outage's level is raised, ShortWait has passed, or the cache is closed.
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
