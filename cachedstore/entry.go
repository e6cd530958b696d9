package cachedstore

import (
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/clock"
)

// notFound is the answer for a key that the table does not have. It is cached like any other value.
var notFound = ldstoretypes.ItemDescriptor{}.NotFound()

// value is what a read found for one key. It never changes after it is made.
type value struct {
	item      ldstoretypes.ItemDescriptor
	start     uint64        // seq at which its read began
	taken     clock.Instant // when its read began: its age counts from there
	until     clock.Instant // fresh until then
	discarded bool          // it was never fresh: an invalidation or a pause came during its read
}

// found reports whether the table has a row for the key, which may be a tombstone. The SDK's NotFound has version -1.
func (v *value) found() bool { return v.item.Version >= 0 }

// entry holds what is known of one key. Get reads fresh without a lock; cache.mu guards everything else.
//
// A collection finds an entry by its key until forgetUnknownLocked or forget drops it. A Get that still holds a dropped
// entry began before the drop.
type entry struct {
	key   string
	fresh atomic.Pointer[value]   // a hit: last, or older; nil: take the slow path. Written under cache.mu
	read  atomic.Pointer[decoded] // what was decoded last, kept or not. Written under cache.mu, read by reads without it

	last         *value  // the last known value; nil before the first read succeeded
	invalid      uint64  // seq of the latest invalidation
	flight, next *flight // its read in progress, and the one that waits to begin
	ended        uint64  // seq at which its latest read ended
	backoff              // of its reads
}

// invalidate removes the hit. Reads that began before seq are discarded.
func (e *entry) invalidate(seq uint64) {
	e.invalid = seq
	e.fresh.Store(nil)
	e.reset()
}

// store keeps the value of a read that ended. Reads of a key never overlap, so v is the newest in the table's history.
// Its version does not matter: the table may have been reset to an older one, and is followed.
func (e *entry) store(v *value, fresh bool) {
	e.last = v
	e.reset()
	if fresh {
		e.fresh.Store(v)
	} else {
		e.fresh.Store(nil)
	}
}

// hit returns the value that a Get may have without a read, or nil. A value that expired once has expired for good,
// although the wall clock may step back, so hit removes it.
func (e *entry) hit(now clock.Instant) *value {
	v := e.fresh.Load()
	if v != nil && v.until.Reached(now) {
		e.fresh.Store(nil)
		return nil
	}
	return v
}

// The pauses after failed reads of one thing, doubled from the first to the last.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// backoff tracks consecutive read failures of one key or collection and when the next attempt is allowed. Each has its
// own, so that one row that cannot be read does not keep others from being read. Guarded by cache.mu.
type backoff struct {
	failures int
	failedAt clock.Instant // when the latest failed
	failure  error         // its error
	over     bool          // the pause after it is over, and stays over though the wall clock may step back
}

// note adds a failure.
func (b *backoff) note(err error, now clock.Instant) {
	b.failures++
	b.failure, b.failedAt, b.over = err, now, false
}

// reset allows an attempt at once: a read succeeded, a message came, or an outage ended.
func (b *backoff) reset() { b.failures, b.failure = 0, nil }

// pausing reports whether the last read failed so recently that no attempt is made yet. A freeze ends the pause.
func (b *backoff) pausing(now clock.Instant) bool {
	if b.failures == 0 || b.over {
		return false
	}
	b.over = b.failedAt.Age(now) >= min(firstPause<<min(b.failures-1, 10), lastPause)
	return !b.over
}
