package cachedstore

import (
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/clock"
)

// notFound is the value of a key that the table does not have. It is cached like any other value.
var notFound = ldstoretypes.ItemDescriptor{}.NotFound()

// value is the result of a read of one key. It is immutable.
type value struct {
	item      ldstoretypes.ItemDescriptor
	start     uint64        // seq at which its read started
	taken     clock.Instant // when its read started; its age counts from then
	until     clock.Instant // fresh until then
	discarded bool          // it was never fresh: an invalidation, a Wake or a freeze came during its read
}

// found reports whether the table has a row for the key, which may be a tombstone. The SDK's NotFound has version -1.
func (v *value) found() bool { return v.item.Version >= 0 }

// entry is the cache of one key. Get reads fresh without a lock. cache.mu guards all other fields.
//
// A collection maps a key to its entry until forgetUnknownLocked or forget removes the entry. Only a Get that started
// before the removal can still use it.
type entry struct {
	key   string
	fresh atomic.Pointer[value]   // last, an older value that is still fresh, or nil. Written under cache.mu
	read  atomic.Pointer[decoded] // the latest read's result, even if discarded. Written under cache.mu

	last         *value  // the last known value; nil until a read has succeeded
	invalid      uint64  // seq of the latest invalidation
	flight, next *flight // its read in progress, and the read that starts after it
	ended        uint64  // seq at which its latest read ended
	backoff              // of its reads
}

// invalidate removes the fresh value. Reads that started before seq will be discarded.
func (e *entry) invalidate(seq uint64) {
	e.invalid = seq
	e.fresh.Store(nil)
	e.reset()
}

// store stores the value of a read that ended. Reads of a key never overlap, so v is the newest value in the table's
// history, whatever its version: the table may have been reset to older data.
func (e *entry) store(v *value, fresh bool) {
	e.last = v
	e.reset()
	if fresh {
		e.fresh.Store(v)
	} else {
		e.fresh.Store(nil)
	}
}

// hit returns the fresh value, or nil. It removes a value that has expired, so that the value stays expired even if the
// wall clock is set back.
func (e *entry) hit(now clock.Instant) *value {
	v := e.fresh.Load()
	if v != nil && v.until.Reached(now) {
		e.fresh.Store(nil)
		return nil
	}
	return v
}

// The pause after consecutive failed reads of one key or collection doubles from firstPause to lastPause.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// backoff tracks consecutive read failures of one key or collection and when the next attempt is allowed. One
// unreadable row does not delay reads of other keys. Guarded by cache.mu.
type backoff struct {
	failures int
	failedAt clock.Instant // when the latest read failed
	failure  error         // its error
	over     bool          // the pause has ended, and stays ended even if the wall clock is set back
}

// note records a failure.
func (b *backoff) note(err error, now clock.Instant) {
	b.failures++
	b.failure, b.failedAt, b.over = err, now, false
}

// reset allows the next attempt at once: a read succeeded, an invalidation arrived, or an outage ended.
func (b *backoff) reset() { b.failures, b.failure = 0, nil }

// pausing reports whether the latest read failed so recently that the next attempt is not allowed yet. A freeze counts
// as time that has passed.
func (b *backoff) pausing(now clock.Instant) bool {
	if b.failures == 0 || b.over {
		return false
	}
	b.over = b.failedAt.Age(now) >= min(firstPause<<min(b.failures-1, 10), lastPause)
	return !b.over
}
