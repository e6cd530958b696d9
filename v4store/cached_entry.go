package v4store

import "time"

// value is what a read found for one key, or that a whole kind was read. It never changes after it was made, but for
// over.
type value[I Item] struct {
	item  I       // the zero I when there is none
	found bool    // there is one
	start uint64  // tick at which its read began
	kept  uint64  // tick at which its read ended
	taken instant // when its read began: its age counts from there
	until instant // fresh until either hand reaches this
	over  bool    // it is not fresh any more, or never was, for another reason than an invalidation. Guarded by Cache.mu
}

// entry is the place of one key, or of a whole kind's reads. It is what go-cache holds, which never takes it away:
// whether it has expired is its own affair. Guarded by Cache.mu.
//
// The race that a cache of a shared table must win, in steps:
//
//  1. read A of the key begins; the table answers with version 1;
//  2. another process writes version 2, and its message arrives: Invalidate sets invalid to this tick;
//  3. A ends. Its start is below invalid: it is kept as the last known value, answers the Gets that had joined it
//     before step 2, and is never fresh;
//  4. a Get after step 2 did not join A; it waits for next, which begins as soon as A has ended, so that reads of one
//     key never overlap.
type entry[I Item] struct {
	key     string
	last    *value[I] // the last known value, nil before the first read was kept
	invalid uint64    // tick of the latest invalidation of this key
	rumor   rumor
	lagging int // reads in a row that were older than the rumor

	flight, next *flight[I] // the read in progress, and the one that begins when it has ended

	failures int     // reads in a row that failed
	failed   instant // when the last of them ended
	failedAt uint64  // its tick
	failure  error   // its error
}

// rumor is what the latest message said of an item.
type rumor struct {
	version int // 0 when unknown
	gone    bool
	came    instant
}

// freshLocked reports whether the entry's value v may be served without a read. What has expired once has expired for
// good, though the wall clock may step back.
func (c *Cache[K, I]) freshLocked(e *entry[I], v *value[I], now instant) bool {
	if v == nil || v.over || v.start <= max(e.invalid, c.invalidAll) || c.options.ttl == 0 {
		return false
	}
	v.over = v.until.reached(now)
	return !v.over
}

// keep makes v the last known value, unless one was kept since v's read began: two reads that overlapped (an item's and
// its collection's) cannot be ordered, so the one that ended second is thrown away.
func (e *entry[I]) keep(v *value[I]) {
	e.failures = 0
	if e.last == nil || v.start >= e.last.kept {
		e.last = v
	}
}

// valueLocked is what a read found for an entry.
func (c *Cache[K, I]) valueLocked(f *flight[I], e *entry[I], item I, found bool, now instant) *value[I] {
	v := &value[I]{item: item, found: found, start: f.start, kept: c.tick, taken: f.began}
	v.until = f.began.plus(c.options.ttl)
	if c.lagLocked(e, v, now) {
		v.until = v.until.earlier(now.plus(restAfter(e.lagging)))
	}
	v.over = f.start <= c.woken
	return v
}

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	// lagLimit is how long a table that is older than the newest message is asked again: not at all. Reads are strongly
	// consistent, and messages come from the table's own stream.
	lagLimit = 0
)

// lagLocked reports whether v is older than the newest message says (the topic of another region, a replica that lags),
// and counts how often in a row.
func (c *Cache[K, I]) lagLocked(e *entry[I], v *value[I], now instant) bool {
	older := v.found && v.item.GetVersion() < e.rumor.version || !v.found && !e.rumor.gone
	if !older || e.rumor.version == 0 || e.invalid < c.invalidAll || e.rumor.came.age(now) >= lagLimit {
		e.lagging = 0
		return false
	}
	e.lagging++
	return true
}

// servable reports whether v may be served although it is not fresh.
func (c *Cache[K, I]) servable(v *value[I], now instant) bool {
	switch {
	case v == nil || c.options.maxStale < 0:
		return false
	case c.options.maxStale == 0:
		return true
	}
	return v.taken.age(now) <= c.options.maxStale
}

// fail notes that a read failed.
func (e *entry[I]) fail(err error, tick uint64, now instant) {
	e.failures++
	e.failure, e.failed, e.failedAt = err, now, tick
}

// restingLocked reports whether the last read failed so lately that it is not tried again yet. An invalidation makes it
// be tried at once.
func (c *Cache[K, I]) restingLocked(e *entry[I], now instant) bool {
	return e.failures > 0 && e.failedAt > max(e.invalid, c.invalidAll) && e.failed.age(now) < restAfter(e.failures)
}

// restAfter is the pause after the n-th failure in a row, n > 0.
func restAfter(n int) time.Duration {
	return min(firstRetry<<min(n-1, 10), lastRetry)
}
