package v4store

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// quiet is the time without failed reads after which the next failure starts a new failing period, which is logged
// once.
const quiet = time.Minute

// outage tracks failed reads of the table, whichever keys they read. Guarded by Cache.mu.
//
// A first failure is the failure of a key or kind whose last read did not fail. It means that the table is down. From
// then on, calls that have a last known value do not wait, and one read at a time is a probe, after a backoff. The
// first successful read ends this. A check of the marker, which starts with the first failure and with each probe, ends
// it too.
//
// Keys whose reads failed are retried one at a time, after the same backoff, until one of those retries succeeds. So
// 500 throttled keys cause few reads, and do not delay keys whose reads succeed.
type outage[K Kind[I], I Item] struct {
	down     bool          // there was a first failure, and no read has succeeded since
	began    chan struct{} // closed when down becomes true, and replaced when it becomes false
	failures int           // failed attempts in this period; overlapping reads count as one
	period   uint64        // number of the failing period, from 1; a successful retry or a quiet minute ends it
	last     clock.Instant // when the latest read failed
	err      error         // its error
	counted  uint64        // seq of the latest attempt in failures
	next     clock.Instant // when the next retry may start
	partial  clock.Instant // until then a first failure does not mean down, because the marker could be read
	checking bool          // the marker is being read
	retry    *flight[K, I] // the retry in progress
	slow     *flight[K, I] // a read in progress that has exceeded the short wait
	latest   *flight[K, I] // the read that failed last
}

// failing reports whether the last read of an entry failed in this period.
func (o *outage[K, I]) failing(e *entry[K, I]) bool {
	return e.failures > 0 && e.period > 0 && e.period == o.period
}

// begin records the start of a read.
func (o *outage[K, I]) begin(f *flight[K, I]) {
	f.retry = o.failing(f.entry)
	if o.retry == nil && (o.down || f.retry) {
		o.retry = f
	}
}

// forget records the end of a read.
func (o *outage[K, I]) forget(f *flight[K, I]) {
	if o.retry == f {
		o.retry = nil
	}
	if o.slow == f {
		o.slow = nil
	}
}

// succeed records that a read succeeded.
func (o *outage[K, I]) succeed(f *flight[K, I]) {
	o.slow = nil
	o.up()
	if f.retry {
		o.period++
		o.failures, o.next = 0, clock.Instant{}
	}
}

// up ends the state down.
func (o *outage[K, I]) up() {
	if !o.down {
		return
	}
	o.down, o.began = false, make(chan struct{})
	if o.retry != nil && !o.retry.retry { // a probe of an entry whose reads did not fail
		o.retry = nil
	}
}

// fail records that a read failed, and reports whether this starts a failing period.
func (o *outage[K, I]) fail(f *flight[K, I], err error, seq uint64, now clock.Instant) (begins bool) {
	begins = o.last == (clock.Instant{}) || o.last.Age(now) >= quiet
	if begins {
		o.period++
		o.failures, o.counted = 0, 0
	}
	o.last, o.err, o.latest = now, err, f
	if !o.down && !f.retry && o.partial.Reached(now) {
		o.down = true
		close(o.began)
	}
	if f.start > o.counted {
		o.failures, o.counted = o.failures+1, seq
		o.next = now.Add(backoff(o.failures))
	}
	return begins
}

// blockedLocked reports whether no read of an entry may start now. An entry is blocked if its last read failed or the
// table is down, and one of these holds: the backoff has not ended; or there is a last known value to serve, and a
// retry is in progress that does not cover the entry. An invalidation after the failure unblocks the entry, unless the
// table is down.
func (c *Cache[K, I]) blockedLocked(e *entry[K, I], now clock.Instant) bool {
	o := &c.outage
	switch {
	case o.down:
	case !e.broken() && !o.failing(e) || e.failedAt <= max(e.invalid, c.invalidAll):
		return false
	case e.broken():
		return e.failed.Age(now) < backoff(e.failures)
	}
	return !o.next.Reached(now) || o.retry != nil && (o.down || !o.retry.covers(e)) && c.servable(e.last, now)
}

// checkLocked reads the marker in a goroutine, if the table is down and the inner store can read it. If the read
// succeeds, only some reads fail, and the table is not down.
func (c *Cache[K, I]) checkLocked() {
	if _, ok := c.inner.(markerReader); !ok || !c.outage.down || c.outage.checking {
		return
	}
	c.outage.checking = true
	go func() {
		err := c.marker.read(c.inner)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outage.checking = false
		if err == nil && c.outage.down {
			c.outage.partial = c.nowLocked().Add(maxBackoff)
			c.outage.up()
			c.notifyLocked(true)
		}
	}()
}

// notifyLocked calls the test hook if the table went down or up.
func (c *Cache[K, I]) notifyLocked(wasDown bool) {
	if c.options.onOutage != nil && wasDown != c.outage.down {
		c.options.onOutage(c.outage.down)
	}
}

// reasonLocked returns why an entry is blocked.
func (c *Cache[K, I]) reasonLocked(e *entry[K, I]) error {
	if c.outage.down {
		return c.outage.err
	}
	return e.failure
}

// waitLocked returns how long a call waits for a read of e, if there is a last known value. A negative result means
// until the read has ended or was abandoned.
//
//   - While the table is down, the call does not wait.
//   - For an expired value, it waits for the short wait, or not at all while another read has exceeded it.
//   - For an invalidated or discarded value, it waits until the read has ended. It also does until a read has succeeded
//     since the latest Wake or freeze, because the first read after a freeze may need a new connection.
func (c *Cache[K, I]) waitLocked(e *entry[K, I], now clock.Instant) time.Duration {
	switch short := c.options.shortWait; {
	case !c.servable(e.last, now) || c.options.ttl == 0:
		return -1
	case c.outage.down:
		return 0
	case short < 0:
		return -1
	case c.invalidatedLocked(e) || e.last.discarded || c.answered <= c.woken:
		return -1
	case c.outage.slow != nil:
		return 0
	default:
		return short
	}
}

// skipsLocked reports whether a call whose wait is given by waitLocked starts no read, because another read is slow.
// With ShortWait(0) it starts one without waiting for it.
func (c *Cache[K, I]) skipsLocked(wait time.Duration) bool {
	return wait == 0 && !c.outage.down && c.outage.slow != nil
}

// probeLocked starts a probe if the table is down and the backoff has ended. It reads the key or kind that failed last.
func (c *Cache[K, I]) probeLocked(now clock.Instant) {
	o, f := &c.outage, c.outage.latest
	switch {
	case !o.down || o.retry != nil || !o.next.Reached(now) || f.entry.flight != nil || f.col.whole.flight != nil:
	case f.entry == &f.col.whole:
		c.joinWholeLocked(f.col, 0)
	default:
		f.col.findOrAdd(f.entry.key) // an unknown key may have been removed from memory
		c.joinLocked(f.col, f.col.find(f.entry.key), 0, now)
	}
}
