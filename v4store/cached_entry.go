package v4store

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// value is what a read found for one key, or the fact that a whole kind was read. It never changes after it was
// created, except over.
type value[I Item] struct {
	item  I             // the zero I if there is none
	found bool          // there is an item
	start uint64        // seq at which its read began
	taken clock.Instant // when its read began; its age counts from there
	until clock.Instant // it expires when either clock reaches this
	over  bool          // it has expired. Guarded by Cache.mu

	discarded bool // it was never fresh: an invocation began or a freeze was noticed during its read
}

// entry holds one key, or the reads of a whole kind. go-cache stores entries and never expires them: an entry decides
// itself whether its value is fresh. Guarded by Cache.mu.
//
// The race that a cache of a shared table must win, in steps:
//
//  1. read A of the key begins; the table answers with version 1;
//  2. another process writes version 2, and its message arrives: Invalidate sets invalid to this seq;
//  3. A ends. Its start is below invalid: it is kept as the last known value, it answers the Gets that joined it before
//     step 2, and it is never fresh;
//  4. a Get after step 2 did not join A. It waits for next, which begins as soon as A has ended.
//
// A read of the whole kind covers all its keys, except those that are being read when it begins: two reads that overlap
// cannot be ordered. A key that it covers is not read until it has ended. So the value that was read last is the
// newest.
type entry[K Kind[I], I Item] struct {
	key     string
	last    *value[I] // the last known value; nil before the first read was kept
	invalid uint64    // seq of the latest invalidation of this key

	flight, next *flight[K, I] // the read in progress, and the one that waits to begin
	ended        uint64        // seq at which its own latest read ended that succeeded
	skipped      uint64        // start of the latest read of the whole kind that found its row broken
	uncovered    uint64        // start of the latest read of the whole kind that did not cover it

	failures int           // consecutive failed reads
	failed   clock.Instant // when the latest of them ended
	failedAt uint64        // its seq
	period   uint64        // the outage's failing period in which it failed; 0: its row is broken, the table answers
	failure  error         // its error
}

// freshLocked reports whether the last known value may be served without a read. A value that expired once stays
// expired, also if the wall clock steps back.
func (c *Cache[K, I]) freshLocked(e *entry[K, I], now clock.Instant) bool {
	v := e.last
	if v == nil || v.over || v.discarded || c.invalidatedLocked(e) || c.options.ttl == 0 {
		return false
	}
	v.over = v.until.Reached(now)
	return !v.over
}

// invalidatedLocked reports whether the entry was invalidated after the read of its last known value began.
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

// fail records that a read failed, in a failing period of the outage, or 0 if the table answered with a broken row.
func (e *entry[K, I]) fail(err error, seq, period uint64, now clock.Instant) {
	e.failures++
	e.failure, e.failed, e.failedAt, e.period = err, now, seq, period
}

// broken reports whether the table has a row that could not be decoded when it was last read.
func (e *entry[K, I]) broken() bool { return e.failures > 0 && e.period == 0 }

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// backoff returns the pause after n consecutive failures, n > 0.
func backoff(n int) time.Duration {
	return min(firstBackoff<<min(n-1, 10), maxBackoff)
}
