package v4store

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// value is the result of a read of one key, or the fact that a whole kind was read. It is immutable, except over.
type value[I Item] struct {
	item  I             // the zero I if there is none
	found bool          // there is an item
	start uint64        // seq at which its read started
	taken clock.Instant // when its read started; its age counts from then
	until clock.Instant // it expires when either clock reaches this
	over  bool          // it has expired. Guarded by Cache.mu

	discarded bool // it was never fresh: a Wake or a freeze came during its read
}

// entry is the cache of one key, or tracks the reads of a whole kind. go-cache stores entries and never expires them;
// freshLocked decides whether a value is fresh. Guarded by Cache.mu.
//
// A cache of a shared table must handle this race:
//
//  1. Read A of the key starts, and the table returns version 1.
//  2. Another process writes version 2, and its message arrives: Invalidate sets invalid to its seq.
//  3. A ends. Its start is below invalid, so its value becomes the last known value and is never fresh. It is returned
//     to the Gets that joined A before step 2.
//  4. A Get after step 2 did not join A. It waits for next, which starts as soon as A has ended.
//
// A read of the whole kind covers all its keys, except those that are being read when it starts: two reads that overlap
// cannot be ordered. A key that it covers is not read on its own until it has ended. So the value of the latest read is
// always the newest.
type entry[K Kind[I], I Item] struct {
	key     string
	last    *value[I] // the last known value; nil until a read has succeeded
	invalid uint64    // seq of the latest invalidation of this key

	flight, next *flight[K, I] // the read in progress, and the read that starts after it
	ended        uint64        // seq at which its own latest successful read ended
	skipped      uint64        // start of the latest read of the whole kind that could not decode its row
	uncovered    uint64        // start of the latest read of the whole kind that did not cover it

	failures int           // consecutive failed reads
	failed   clock.Instant // when the latest failed read ended
	failedAt uint64        // its seq
	period   uint64        // the failing period in which it failed; 0: its row was read but cannot be decoded
	failure  error         // its error
}

// freshLocked reports whether the last known value may be served without a read. Once expired, a value stays expired,
// even if the wall clock is set back.
func (c *Cache[K, I]) freshLocked(e *entry[K, I], now clock.Instant) bool {
	v := e.last
	if v == nil || v.over || v.discarded || c.invalidatedLocked(e) || c.options.ttl == 0 {
		return false
	}
	v.over = v.until.Reached(now)
	return !v.over
}

// invalidatedLocked reports whether the entry was invalidated after the read of its last known value started.
func (c *Cache[K, I]) invalidatedLocked(e *entry[K, I]) bool {
	return e.last.start <= max(e.invalid, c.invalidAll)
}

// servable reports whether v may be served although it is not fresh.
func (c *Cache[K, I]) servable(v *value[I], now clock.Instant) bool {
	switch {
	case v == nil || c.options.maxStale < 0:
		return false
	case c.options.maxStale == 0:
		return true
	}
	return v.taken.Age(now) <= c.options.maxStale
}

// fail records that a read failed in the given failing period, or in period 0 if the row was read but cannot be
// decoded.
func (e *entry[K, I]) fail(err error, seq, period uint64, now clock.Instant) {
	e.failures++
	e.failure, e.failed, e.failedAt, e.period = err, now, seq, period
}

// broken reports whether the row could not be decoded when it was last read.
func (e *entry[K, I]) broken() bool { return e.failures > 0 && e.period == 0 }

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// backoff returns the pause after n consecutive failures, n > 0.
func backoff(n int) time.Duration {
	return min(firstBackoff<<min(n-1, 10), maxBackoff)
}
