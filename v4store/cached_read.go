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
	errSlow      = errors.New("the read takes longer than a call waits for an expired value")
)

// flight is one read of the inner store and the calls that wait for it. Its fields are guarded by Cache.mu until done
// is closed, and never change after. Start is 0 until it begins: any call may wait for a flight that has not begun.
type flight[K Kind[I], I Item] struct {
	col   *collection[K, I]
	entry *entry[K, I]  // the collection's whole if all items are read
	done  chan struct{} // closed when the read has ended

	callers   int           // calls that wait for it; a flight without one does not begin
	start     uint64        // seq at which it began
	began     clock.Instant // when it began
	retry     bool          // the last read of the entry failed
	limit     *time.Timer   // abandons it
	ended     bool
	followers []*flight[K, I] // reads of items that this read of the kind answers, because they had not begun
	err       error
}

// covers reports whether the flight reads an entry.
func (f *flight[K, I]) covers(e *entry[K, I]) bool {
	return f.entry == e || f.entry == &f.col.whole && f.col.covers(e) && f.col.find(e.key) == e
}

// needLocked returns the seq after which a read must have begun to answer a call that began at seq begun. Without a
// cache (TTL 0) it must have begun after the call.
func (c *Cache[K, I]) needLocked(e *entry[K, I], begun uint64) uint64 {
	if c.options.ttl == 0 {
		return begun
	}
	return c.discardLocked(e)
}

// discardLocked returns the seq up to which a read that began is discarded for an entry: the entry was invalidated
// since, or an invocation began.
func (c *Cache[K, I]) discardLocked(e *entry[K, I]) uint64 {
	return max(e.invalid, c.invalidAll, c.woken)
}

// joinable reports whether a flight in progress answers a call that needs a read which began after seq need.
func joinable[K Kind[I], I Item](f *flight[K, I], need uint64) bool {
	return f != nil && f.start > need
}

// joinLocked returns the flight that answers a call which needs a read of e that began after seq need: one in progress,
// one that waits to begin, or a new one. A kind that was cached as a whole and is not fresh any more is read by one
// read of the kind.
func (c *Cache[K, I]) joinLocked(col *collection[K, I], e *entry[K, I], need uint64, now clock.Instant) *flight[K, I] {
	whole, covered := &col.whole, col.covers(e)
	// A read of the kind pays if it makes the kind fresh. One in progress that will is not followed by another for one
	// key.
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

// beginLocked begins a read, in a goroutine that ends when the inner store answers, and a timer that abandons it.
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
		got, err := guarded(func() (found[I], error) { return c.ask(f) })
		c.end(f, got, err)
		if len(got.items) > 0 {
			c.marker.learn(c.inner)
		}
	}()
}

// awaitLocked waits until flights have ended, without the lock while it waits. It returns errSlow if they have not
// after wait, unless that is negative; errDown if an outage begins and the call is servable, which means that it can be
// answered with a last known value; or errClosed. The error of a read is in its flight.
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

// selectLocked waits for the first of these to happen, without the lock while it waits.
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

// end ends a read, and writes its log lines after it has released the lock.
func (c *Cache[K, I]) end(f *flight[K, I], got found[I], err error) {
	c.mu.Lock()
	r := c.endLocked(f, got, err)
	r.forgotten = c.forgetUnknownLocked()
	c.mu.Unlock()
	r.log(c.options.logger, f.col.kind.GetNamespace())
}

// endLocked ends a read with what it found, or as failed, and begins what waits for it. The second end of a read, when
// an abandoned one returns after all, does nothing. What was found is stored before the calls that wait continue, and
// before the next read begins.
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
		if len(got.broken) == 0 {
			c.answered = max(c.answered, f.start)
		} else if c.warned == (clock.Instant{}) || c.warned.Age(now) >= quiet {
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

// answer lets the calls that wait continue.
func (f *flight[K, I]) answer() {
	close(f.done)
	for _, g := range f.followers {
		g.start, g.err, g.ended = f.start, f.err, true
		close(g.done)
	}
}

// advanceLocked begins what waited for f, unless no call waits for it any more. A read of the kind that waited answers
// the reads of items that waited too.
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

// keepLocked stores what a read found.
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
		if e.flight != nil || e.ended > f.start { // the two reads overlapped: the item is left to its own
			e.uncovered = f.start
		} else {
			c.keepEntryLocked(f, e, got, now)
		}
	})
}

// keepEntryLocked stores what a read found for one entry. A row that is broken or lost is a failed read of its key: its
// last known value stays.
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
		fresh := *e.last // which keys there are stays fresh
		fresh.taken = f.began
		e.last = &fresh
		return
	}
	item, ok := got.items[e.key]
	e.last = &value[I]{item: item, found: ok, start: f.start, taken: f.began, until: f.began.Add(c.options.ttl),
		discarded: f.start <= c.woken}
}
