package cachedstore

import (
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// This file has the rules for one key: what a read may store, and what a Get may be given. It reads nothing itself.
// Three pointers hold what is known: fresh (a hit), last (what is served when a read fails) and spare
// (put by until the key's own read has ended). Whenever fresh is set it is the same value as last.

// value is what a read found for one key. It never changes after it was made.
type value struct {
	item  ldstoretypes.ItemDescriptor
	start uint64  // tick at which its read began
	taken instant // when its read began: its age counts from there
	until instant // fresh until either hand reaches this
	stale bool    // its read was discarded: it never was fresh
}

// found reports whether the table has a row for the key, which may be a tombstone. The SDK's NotFound has version -1.
func (v *value) found() bool { return v.item.Version >= 0 }

// slot is the place of one key. Get looks at fresh without a lock; everything else is guarded by cache.mu.
//
// The race that a cache of a shared table must win, in steps:
//
//  1. read A of the key begins; the table answers with version 1;
//  2. another process writes version 2, and its message arrives: Invalidate sets invalid to this tick;
//  3. A ends. Its start is below invalid: it is kept as the last known value, answers the Gets that had joined
//     it before step 2, and is never fresh;
//  4. a Get after step 2 did not join A; it waits for next, which begins as soon as A has ended, so that
//     reads of one key never overlap.
//
// A slot belongs to one collection and is found by its key until forgetUnknownLocked drops it. A Get that still holds a
// dropped slot began before the drop; calls that begin later find none, and make another.
type slot struct {
	key   string
	fresh atomic.Pointer[value] // a hit; nil: look under the lock. Set and cleared under cache.mu
	// decoded is what was decoded last, kept or not. Set under cache.mu; looked at without it by reads.
	decoded atomic.Pointer[decoded]

	last    *value // the last known value, nil before the first read was kept
	kept    uint64 // tick at which last was kept
	spare   *value // what a discarded read of the collection found, for when the key's own read fails
	putBy   uint64 // tick at which that read ended
	invalid uint64 // tick of the latest invalidation of this key
	lane           // the key's reads

	expect   int     // the version in the latest message, 0 when unknown
	expected instant // when that message came
	lagging  int     // reads in a row that were older than expect
	setback          // of the key's reads
}

// invalidate makes what is known of the key, and what is being read, not fresh. Tick is the present one.
func (s *slot) invalidate(tick uint64) {
	s.invalid = tick
	s.fresh.Store(nil)
	s.failures = 0
}

// keep stores what a read found, as fresh or only as the last known value, unless something was kept since the
// read began: two reads that overlapped cannot be ordered, so the one that ended second is thrown away. Reads that did
// not overlap are in the table's order, because all of them are strongly consistent. Versions are not looked at: the
// table may have been reset to lower ones, and is followed. It returns when what it made fresh expires, or never
// where it made nothing fresh, for the collection's expiry.
func (s *slot) keep(v *value, fresh bool, tick uint64) instant {
	if v.start < s.kept {
		return never
	}
	s.last, s.kept, s.spare = v, tick, nil
	s.failures = 0
	if !fresh {
		s.fresh.Store(nil) // an older value must not be served after this one
		return never
	}
	s.fresh.Store(v)
	return v.until
}

// The pauses after failed reads of one thing, and between reads of a table that lags: doubled from the first to the last.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	// lagLimit is how long a table that is older than the newest message is asked again.
	lagLimit = time.Minute
)

// lag returns how long a value of this version may be served: ttl, or less when the newest message spoke of a
// later version (the topic of another region, a replica that lags). It counts these reads, so it is called once a read.
// After a minute the table is believed: the message was wrong, or the row was reset or removed since.
func (s *slot) lag(version int, ttl time.Duration, now instant) time.Duration {
	if s.expect == 0 || s.expect <= version || s.expected.age(now) >= lagLimit {
		s.lagging = 0
		return ttl
	}
	s.lagging++
	if again := backoff(s.lagging); ttl < 0 || again < ttl {
		return again
	}
	return ttl
}

// hit returns the value that a Get may have without a read, or nil. What has expired once has expired for good, though
// the wall clock may step back: so what it finds expired it also takes away, and needs cache.mu for that.
func (s *slot) hit(now instant) *value {
	v := s.fresh.Load()
	if v != nil && v.until.reached(now) {
		s.fresh.Store(nil)
		return nil
	}
	return v
}

// goodSince reports whether the last known value is good for a call that joined the read which began at tick: it is
// of that read, or of a later one that was not discarded.
func (s *slot) goodSince(tick uint64) bool {
	return s.last != nil && (s.last.start == tick || s.last.start > tick && !s.last.stale)
}

// setback is what is known of reads in a row that failed: the table is left alone for a while. An item and a collection
// have one each, so that a row that cannot be read does not keep others from being read. Setting failures to 0 ends
// it: a read succeeded, a message came, or an outage is over. Guarded by cache.mu.
type setback struct {
	failures int
	failed   instant // when the last one ended
	failure  error   // its error
	rested   bool    // the pause after it is over, and stays so though the wall clock may step back
}

// fail notes one more read that failed, now.
func (b *setback) fail(err error, now instant) {
	b.failures++
	b.failure, b.failed, b.rested = err, now, false
}

// resting reports whether the last read failed so lately that it is not tried again yet. A thaw ends a rest, because age
// goes by the hand that moved farther; a rest that is over stays over until the next failure.
func (b *setback) resting(now instant) bool {
	if b.failures == 0 || b.rested {
		return false
	}
	b.rested = b.failed.age(now) >= backoff(b.failures)
	return !b.rested
}

// backoff is the pause after the n-th failure in a row, n > 0.
func backoff(n int) time.Duration {
	return min(firstRetry<<min(n-1, 10), lastRetry)
}
