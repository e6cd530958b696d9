package v4store

import (
	"errors"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

var (
	errAbandoned = errors.New("the read took too long and was abandoned")
	errClosed    = errors.New("the cache is closed")
	errDown      = errors.New("the table cannot be reached")
	errSlow      = errors.New("the read takes longer than ShortWait")
)

// flight is one read of the inner store and the calls that wait for it. Cache.mu guards its fields until done is
// closed; after that they never change. A call may wait for a flight that has not started yet.
type flight[K Kind[I], I Item] struct {
	col   *collection[K, I]
	entry *entry[K, I]  // for a read of the whole kind, col.whole
	done  chan struct{} // closed when the read has ended

	callers   int           // calls that wait for it; a pending flight without callers does not start
	start     uint64        // seq at which it started; 0: it has not started
	began     clock.Instant // when it started
	retry     bool          // the last read of the entry failed
	limit     *time.Timer   // abandons it
	ended     bool
	followers []*flight[K, I] // pending reads of items that this read of the kind replaces
	err       error
}

// covers reports whether the flight reads an entry.
func (f *flight[K, I]) covers(e *entry[K, I]) bool {
	return f.entry == e || f.entry == &f.col.whole && f.col.covers(e) && f.col.find(e.key) == e
}

// needLocked returns the seq after which a read must have started to satisfy a call that started at seq begun. With TTL
// 0 it must have started after the call.
func (c *Cache[K, I]) needLocked(e *entry[K, I], begun uint64) uint64 {
	if c.options.ttl == 0 {
		return begun
	}
	return c.discardLocked(e)
}

// discardLocked returns the latest seq of an invalidation of the entry or a Wake. Reads of the entry that started
// before it are discarded.
func (c *Cache[K, I]) discardLocked(e *entry[K, I]) uint64 {
	return max(e.invalid, c.invalidAll, c.woken)
}

// joinable reports whether a flight in progress satisfies a call that needs a read which started after seq need.
func joinable[K Kind[I], I Item](f *flight[K, I], need uint64) bool {
	return f != nil && f.start > need
}

// joinLocked returns the flight for a call that needs a read of e which started after seq need: a flight in progress, a
// pending flight, or a new one. If the whole kind was read before and is no longer fresh, the flight reads the whole
// kind.
func (c *Cache[K, I]) joinLocked(col *collection[K, I], e *entry[K, I], need uint64, now clock.Instant) *flight[K, I] {
	whole, covered := &col.whole, col.covers(e)
	// If a read of the kind in progress will make it fresh, no other read of the kind follows it for one key.
	query := c.options.ttl != 0 && whole.last != nil && !c.freshLocked(whole, now) && !c.outage.failing(whole) &&
		e.flight == nil && !joinable(whole.flight, c.discardLocked(whole))
	switch {
	case joinable(e.flight, need):
		return e.flight
	case e.next != nil:
		return e.next
	case covered && joinable(whole.flight, need):
		return whole.flight
	case covered && whole.next != nil:
		return whole.next
	case query:
		return c.joinWholeLocked(col, need)
	}
	f := &flight[K, I]{col: col, entry: e, done: make(chan struct{})}
	switch {
	case e.flight != nil:
		e.next = f
	case covered:
		e.next = f
		col.waiting = append(col.waiting, e)
	default:
		c.beginLocked(f)
	}
	return f
}

// joinWholeLocked is joinLocked for a call that needs the whole kind.
func (c *Cache[K, I]) joinWholeLocked(col *collection[K, I], need uint64) *flight[K, I] {
	whole := &col.whole
	switch {
	case joinable(whole.flight, need):
		return whole.flight
	case whole.next != nil:
		return whole.next
	}
	f := &flight[K, I]{col: col, entry: whole, done: make(chan struct{})}
	if whole.flight == nil {
		c.beginLocked(f)
	} else {
		whole.next = f
	}
	return f
}

// beginLocked starts a read in a goroutine, which ends when the inner store returns, and a timer that abandons the
// read.
func (c *Cache[K, I]) beginLocked(f *flight[K, I]) {
	f.began = c.nowLocked()
	c.seq++
	f.start = c.seq
	f.entry.flight = f
	c.outage.begin(f)
	c.checkLocked()
	c.stats.Reads++
	f.limit = time.AfterFunc(c.options.readLimit, func() { c.end(f, found[I]{}, errAbandoned) })
	go func() {
		got, err := guarded(func() (found[I], error) { return c.fetch(f) })
		c.end(f, got, err)
		if len(got.items) > 0 {
			c.marker.look(c.inner, c.options.clock())
		}
	}()
}

// awaitLocked waits until flights have ended. It releases the lock while it waits. It returns errSlow if they have not
// ended after wait, unless wait is negative; errDown if an outage begins and the call is servable, which means that it
// can return a last known value; or errClosed. The error of a read is in its flight.
func (c *Cache[K, I]) awaitLocked(wait time.Duration, servable bool, flights ...*flight[K, I]) error {
	if wait == 0 {
		return errSlow
	}
	var tooLong <-chan time.Time
	if wait > 0 && wait < c.options.readLimit {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		tooLong = timer.C
	}
	var down <-chan struct{}
	if servable {
		down = c.outage.began
	}
	for _, f := range flights {
		f.callers++
	}
	for i, f := range flights {
		err := c.selectLocked(f, tooLong, down)
		if err == nil || !errors.Is(err, errClosed) && f.ended {
			continue
		}
		if errors.Is(err, errSlow) {
			c.outage.slow = f
		}
		for _, f := range flights[i:] {
			f.callers--
		}
		return err
	}
	return nil
}

// selectLocked waits for the first of these events. It releases the lock while it waits.
func (c *Cache[K, I]) selectLocked(f *flight[K, I], tooLong <-chan time.Time, down <-chan struct{}) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-f.done:
		return nil
	case <-tooLong:
		return errSlow
	case <-down:
		return errDown
	case <-c.closing:
		return errClosed
	}
}

// end ends a read, and logs after it has released the lock.
func (c *Cache[K, I]) end(f *flight[K, I], got found[I], err error) {
	c.mu.Lock()
	r := c.endLocked(f, got, err)
	r.forgotten = c.forgetUnknownLocked()
	c.mu.Unlock()
	r.log(c.options.logger, f.col.kind.GetNamespace())
}

// endLocked ends a read with its result or its error, and starts the reads that wait for it. It does nothing for a read
// that has ended: an abandoned read may still return. The result is stored before the waiting calls continue and before
// the next read starts.
func (c *Cache[K, I]) endLocked(f *flight[K, I], got found[I], err error) (r report) {
	if f.ended || c.closed {
		return r
	}
	e := f.entry
	f.ended, f.err, e.flight = true, err, nil
	f.limit.Stop()
	c.outage.forget(f)
	c.seq++
	now := c.nowLocked()
	failure, wasDown := err, c.outage.down
	for _, lost := range got.lost {
		failure = lost
	}
	if failure != nil {
		c.stats.Errors++
		if c.outage.fail(f, failure, c.seq, now) {
			r.failure = failure
		}
	} else {
		c.outage.succeed(f)
		if f.entry == &f.col.whole || len(got.broken) == 0 {
			c.answered = max(c.answered, f.start)
		}
		if len(got.broken) > 0 && (c.warned == (clock.Instant{}) || c.warned.Age(now) >= quiet) {
			c.warned, r.broken = now, got.broken
		}
	}
	c.notifyLocked(wasDown)
	if !wasDown {
		c.checkLocked()
	}
	if err != nil {
		e.fail(err, c.seq, c.outage.period, now)
	} else {
		if c.options.ttl != 0 && (f.start <= c.discardLocked(e) || f.began.Add(c.options.ttl).Reached(now)) {
			c.stats.Discarded++
		}
		c.keepLocked(f, got, now)
	}
	f.answer()
	c.advanceLocked(f)
	return r
}

// answer releases the waiting calls.
func (f *flight[K, I]) answer() {
	close(f.done)
	for _, g := range f.followers {
		g.start, g.err, g.ended = f.start, f.err, true
		close(g.done)
	}
}

// advanceLocked starts the reads that waited for f, unless no call waits for them any more. A pending read of the kind
// also replaces the pending reads of items.
func (c *Cache[K, I]) advanceLocked(f *flight[K, I]) {
	e, col := f.entry, f.col
	query, waiting := e.next, []*entry[K, I](nil)
	e.next = nil
	if e == &col.whole {
		waiting, col.waiting = col.waiting, nil
	}
	if query != nil && query.callers == 0 {
		query = nil
	}
	for _, e := range waiting {
		next := e.next
		e.next = nil
		switch {
		case query != nil:
			query.followers = append(query.followers, next)
		case next.callers > 0:
			c.beginLocked(next)
		}
	}
	if query != nil {
		c.beginLocked(query)
	}
}

// keepLocked stores the result of a read.
func (c *Cache[K, I]) keepLocked(f *flight[K, I], got found[I], now clock.Instant) {
	if e, whole := f.entry, &f.col.whole; e != whole {
		c.keepEntryLocked(f, e, got, now)
		return
	}
	for key := range got.items {
		f.col.findOrAdd(key)
	}
	for key := range got.broken {
		f.col.findOrAdd(key)
	}
	c.keepEntryLocked(f, &f.col.whole, found[I]{}, now)
	f.col.each(func(e *entry[K, I]) {
		if e.flight != nil || e.ended > f.start { // the two reads overlapped: the item keeps its own value
			e.uncovered = f.start
		} else {
			c.keepEntryLocked(f, e, got, now)
		}
	})
}

// keepEntryLocked stores the result of a read for one entry. For a key whose row is broken or lost, the read counts as
// failed, and the last known value is kept.
func (c *Cache[K, I]) keepEntryLocked(f *flight[K, I], e *entry[K, I], got found[I], now clock.Instant) {
	if err := got.broken[e.key]; err != nil {
		e.fail(err, c.seq, 0, now)
		if f.entry == e {
			c.stats.Errors++
			f.err = err
		} else {
			e.skipped = f.start
		}
		return
	}
	if err := got.lost[e.key]; err != nil {
		e.fail(err, c.seq, c.outage.period, now)
		return
	}
	e.failures = 0
	if f.entry == e {
		e.ended = c.seq
	}
	if e == &f.col.whole && f.start <= c.discardLocked(e) && c.freshLocked(e, now) {
		fresh := *e.last // the list of existing keys stays fresh
		fresh.taken = f.began
		e.last = &fresh
		return
	}
	item, ok := got.items[e.key]
	e.last = &value[I]{item: item, found: ok, start: f.start, taken: f.began, until: f.began.Add(c.options.ttl),
		discarded: f.start <= c.woken}
}
