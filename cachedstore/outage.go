package cachedstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// level is how far the table is from answering. Each level also serves what the levels before it serve.
type level int32

const (
	reachable level = iota
	slow            // a read outlasted ShortWait: a value that only expired is served at once
	hung            // a read ran into ReadLimit: any last known value is served at once
	down            // a check of the table failed: nothing is read
)

const (
	// firstCheck is the pause before the second check of a failing period. It doubles up to lastCheck; while the table
	// is down in a Lambda function, whose time stands still between invocations, up to lastCheckLambda. After
	// recovery, values are stale for this pause at most.
	firstCheck      = 100 * time.Millisecond
	lastCheck       = 5 * time.Second
	lastCheckLambda = time.Second
	// steady is how long nothing must fail before a failure begins a new failing period: with a check at once and a line.
	steady = 30 * time.Second
	// lastRetry is the longest pause between attempts to read keys whose reads failed; firstPause is the shortest.
	lastRetry = time.Second
)

// outage tracks whether the table can be reached. It has its own lock, which is taken after cache.mu.
//
// A failing period begins with the first read or write that fails. One goroutine, the watch, then checks the table: once
// if it answers, and with growing pauses for as long as failures go on or the table is down, whatever number of keys
// fail. The watch alone has clients notified, so each outage's end follows its beginning.
//
// A write that failed is lost, however healthy the table is: a client that writes sends its data again only when it is
// notified of an outage's end. So a lost write is announced as an outage too, in which reads go on.
type outage struct {
	c       *cache        // its options, loggers, goroutines and notifier; not what cache.mu guards
	hurried chan struct{} // ends the watch's pause; buffered, 1
	now     atomic.Int32  // the level. Written under mu

	mu        sync.Mutex    // guards the fields below
	higher    chan struct{} // closed when the level is raised
	watching  bool          // the watch runs
	checking  bool          // it is asking the table
	failedNow bool          // something failed since the latest check began
	lostWrite bool          // a write was lost, and no outage's end was announced since
	announced bool          // clients were notified of an outage, and not of its end
	logged    bool          // this failing period's line was written
	cause     error         // the latest failure
	failedAt  clock.Instant // when it happened
	checkedAt clock.Instant // when the latest check began
	pause     time.Duration // from then to the next
	retryAt   clock.Instant // keys whose reads failed are not read before
	retryIn   time.Duration // the pause after the next such read
}

func (o *outage) init(c *cache) {
	o.c, o.hurried = c, make(chan struct{}, 1)
	o.higher = make(chan struct{})
}

// level returns the level. It takes no lock.
func (o *outage) level() level { return level(o.now.Load()) }

// excuses reports whether a call is answered with what is known, instead of by a read.
func (o *outage) excuses(servable, expired bool) bool {
	at := o.level()
	return at == down || servable && (at == hung || at == slow && expired)
}

// err returns why the table is not reachable, or nil before the first failure.
func (o *outage) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil {
		return nil
	}
	return fmt.Errorf("the table cannot be read: %w", o.cause)
}

// raised returns a channel that is closed when the level is raised: calls that wait for a read ask excuses again.
func (o *outage) raised() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.higher
}

// setLocked changes the level.
func (o *outage) setLocked(to level) {
	from := level(o.now.Swap(int32(to)))
	if to > from {
		close(o.higher)
		o.higher = make(chan struct{})
	}
}

// failed notes that a read of the table failed.
func (o *outage) failed(err error, now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noteLocked(err, now)
	if err == errAbandoned { //nolint:errorlint // never wrapped
		o.suspectLocked(hung, now)
	}
}

// writeFailed notes that a write was lost.
func (o *outage) writeFailed(err error) {
	now := o.c.options.clock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lostWrite = true
	o.noteLocked(err, now)
}

// suspect notes that a read has outlasted ShortWait.
func (o *outage) suspect(now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil || o.failedAt.Age(now) > steady {
		o.noteLocked(fmt.Errorf("a read takes longer than %v", o.c.options.shortWait), now)
	}
	o.suspectLocked(slow, now)
}

// noteLocked notes a failure. The first of a failing period has the table checked at once.
func (o *outage) noteLocked(err error, now clock.Instant) {
	if !o.watching && (o.cause == nil || o.failedAt.Age(now) > steady) {
		o.pause, o.logged = 0, false
	}
	o.cause, o.failedAt, o.failedNow = err, now, true
	if !o.watching {
		o.watching = o.c.running.start(o.watch)
	}
}

// suspectLocked raises the level until the next check has answered. That check must be under way or begin now, so that
// nothing is served stale for long on a suspicion; the table is not checked for it more than once a second.
func (o *outage) suspectLocked(to level, now clock.Instant) {
	if !o.checking && o.pause > 0 {
		if o.checkedAt.Age(now) < time.Second {
			return
		}
		o.hurryLocked()
	}
	if !o.watching {
		o.failedNow = true
		o.watching = o.c.running.start(o.watch)
	}
	o.setLocked(max(to, o.level()))
}

// hurry has the table checked at once if it is known to be unreachable: an invocation began.
func (o *outage) hurry(now clock.Instant) {
	if o.level() == reachable {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.checkedAt.Age(now) >= firstCheck {
		o.hurryLocked()
	}
}

// nudge has the table checked if that is due by now: the watch's timer may have stood still with the process.
func (o *outage) nudge(now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.checkedAt.Age(now) >= o.pause {
		o.hurryLocked()
	}
}

func (o *outage) hurryLocked() {
	if o.checking {
		return
	}
	select {
	case o.hurried <- struct{}{}:
	default:
	}
}

// watch checks the table until it answers and nothing has failed since.
func (o *outage) watch() {
	for {
		o.mu.Lock()
		wait := o.pause - o.checkedAt.Age(o.c.options.clock())
		o.mu.Unlock()
		if !o.sleep(wait) {
			return
		}
		o.mu.Lock()
		o.checkedAt, o.checking, o.failedNow = o.c.options.clock(), true, false
		o.mu.Unlock()
		up := o.c.available()
		if o.c.life.Err() != nil || o.conclude(up) {
			return
		}
	}
}

// sleep waits until d is over or the watch is hurried. It reports whether the cache is still open.
func (o *outage) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-o.hurried:
	case <-o.c.life.Done():
		return false
	}
	return true
}

// conclude draws the conclusions from a check. It reports whether the watch ends. The level changes under the lock;
// clients are notified and lines are written after.
func (o *outage) conclude(up bool) (ends bool) {
	o.mu.Lock()
	wasDown, wasAnnounced, cause := o.level() == down, o.announced, o.cause
	o.checking = false
	last := lastCheck
	if o.c.options.freezes && !up {
		last = lastCheckLambda
	}
	o.pause = min(max(2*o.pause, firstCheck), last)
	var line string
	switch {
	case !up:
		o.setLocked(down)
		o.announced = true
		if !wasDown {
			line = "the table cannot be read, last known values are served until it can: " + cause.Error()
		}
	case wasAnnounced:
		o.setLocked(reachable)
		o.announced, o.lostWrite = false, false
		if wasDown {
			line = "the table can be read again"
		}
	default:
		o.setLocked(reachable)
		o.announced = o.lostWrite
		if !o.logged {
			line = cause.Error() + "; the table can be read otherwise"
		}
		if o.lostWrite {
			line = cause.Error() + "; the table can be read, and clients are asked to write again"
		}
	}
	o.logged = o.logged || line != ""
	announced := o.announced
	ends = up && !announced && !o.failedNow
	o.watching = !ends
	o.mu.Unlock()

	if line != "" {
		o.c.loggers.Warn("cachedstore: " + line)
	}
	if wasAnnounced && !announced {
		o.c.resetBackoffs()
	}
	if wasAnnounced != announced || announced {
		o.c.notify.announce(announced)
	}
	return ends
}

// mayRetry reports whether a key whose read failed at failedAt may be read again. Such reads follow each other with a
// pause that grows while they fail, so that reads of a throttled table fall; a success allows the next at once.
func (o *outage) mayRetry(failedAt, now clock.Instant) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.retryAt.Reached(now) || failedAt.Age(now) > steady
}

// retrying notes that such a read begins.
func (o *outage) retrying(now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryIn = min(max(2*o.retryIn, firstPause), lastRetry)
	o.retryAt = now.Add(o.retryIn)
}

// retried notes that such a read succeeded.
func (o *outage) retried() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryIn, o.retryAt = 0, clock.Instant{}
}

// resetBackoffs allows every key and collection to be read at once, whatever pause it was in.
func (c *cache) resetBackoffs() {
	c.mu.Lock()
	defer c.unlock()
	for _, coll := range c.collections {
		coll.reset()
		for _, e := range coll.entries.AllRelaxed() {
			e.reset()
		}
	}
	c.outage.retried()
}

// available asks the table for as long as a read may take. An answer that comes later is dropped. A table that has lost a
// marker which this process has seen counts as unreachable: it is being emptied or filled.
func (c *cache) available() bool {
	ctx, cancel := context.WithTimeout(c.life, c.options.readLimit)
	defer cancel()
	answer := make(chan bool, 1)
	c.running.start(func() {
		seen := c.inner.markerSeen.Load()
		reached, marker := c.inner.check(ctx)
		answer <- reached && (marker || !seen)
	})
	select {
	case yes := <-answer:
		return yes
	case <-ctx.Done():
		return false
	}
}
