// Package outage tracks whether a table can be reached, for a cache over it, and notifies LaunchDarkly's clients.
//
// A failing period begins with the first read or write that fails, or takes too long. One goroutine, the watch, then
// checks the table, no matter how many keys fail. It checks once if the table responds, and with growing pauses while
// reads keep failing or the table is down. It logs one line per failing period, except if a read was only slow and the
// check succeeded. Only the watch notifies clients, so each outage's end follows its beginning.
//
// A failed write is lost even if the table is healthy: a client sends its data again only when it is notified of the
// end of an outage. Therefore a lost write is announced as an outage too, during which reads continue.
package outage

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// level is the severity of an outage. Each level also allows what the levels before it allow.
type level int32

const (
	reachable level = iota
	slow            // a read took longer than ShortWait: a value that has only expired is served at once
	hung            // a read reached ReadLimit: any last known value is served at once
	down            // a check of the table failed: no reads are started for calls
)

const (
	// firstCheck is the pause before the second check of a failing period. The pause doubles up to LastCheck.
	firstCheck = 100 * time.Millisecond
	// LastCheck is the longest pause between the checks of a failing period while the table responds.
	LastCheck = 5 * time.Second
	// Steady is the time without failures after which the next failure begins a new failing period, with an immediate
	// check and a log line.
	Steady = 30 * time.Second
	// After failed reads, the pause between reads of failing keys doubles from firstRetry to lastRetry.
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// Config connects an outage to its cache. No function except Start and Clock is called while a lock of this package is
// held.
type Config struct {
	Check func() bool          // reports whether the table responds, after at most the time limit of a read
	Ended func()               // allows keys to be read again at once. It is called before clients are notified
	Warn  func(line string)    // logs a line
	Start func(f func()) bool  // starts a goroutine and returns true, or returns false after Done
	Done  <-chan struct{}      // closed when the cache is closed
	Clock func() clock.Instant // reads the clock
	// LastDown is the longest pause between checks while the table is down. Values may stay stale for this long after
	// the table recovers.
	LastDown time.Duration
}

// Outage tracks whether the table can be reached. All its methods are safe for concurrent use and do not block.
type Outage struct {
	config   Config
	notifier notifier
	hurried  chan struct{} // ends the watch's pause; capacity 1
	now      atomic.Int32  // the level. Written under mu

	mu        sync.Mutex    // guards the fields below
	higher    chan struct{} // closed when the level is raised
	watching  bool          // the watch is running
	checking  bool          // a check is in progress
	failedNow bool          // a read or write failed after the latest check started
	lostWrite bool          // a write was lost, and the end of an outage was not announced since
	announced bool          // clients were notified of an outage, but not of its end
	logged    bool          // this failing period's line was logged
	onlySlow  bool          // the latest failure is a read that takes longer than ShortWait
	cause     error         // the latest failure
	failedAt  clock.Instant // when it happened
	checkedAt clock.Instant // when the latest check started
	pause     time.Duration // from the latest check to the next
	retryAt   clock.Instant // failing keys are not read before this
	retryIn   time.Duration // the pause after the latest read of a failing key
}

// New returns an Outage of a table that can be reached.
func New(config Config) *Outage {
	return &Outage{config: config, hurried: make(chan struct{}, 1), higher: make(chan struct{})}
}

func (o *Outage) level() level { return level(o.now.Load()) }

// Down reports whether the table is known to be down. It takes no lock.
func (o *Outage) Down() bool { return o.level() == down }

// Excuses reports whether a call returns what is known instead of waiting for a read. Servable and expired describe the
// last known value: it may be served, and it has expired without being invalidated.
func (o *Outage) Excuses(servable, expired bool) bool {
	at := o.level()
	return at == down || servable && (at == hung || at == slow && expired)
}

// Err returns the latest failure as an error, or nil before the first failure.
func (o *Outage) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil {
		return nil
	}
	return fmt.Errorf("the table cannot be read: %w", o.cause)
}

// Raised returns a channel that is closed when the level is raised. A call that waits for a read then calls Excuses
// again.
func (o *Outage) Raised() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.higher
}

// setLocked changes the level.
func (o *Outage) setLocked(to level) {
	from := level(o.now.Swap(int32(to)))
	if to > from {
		close(o.higher)
		o.higher = make(chan struct{})
	}
}

// Failed records that a read of the table failed. Limit is true if it reached its time limit.
func (o *Outage) Failed(err error, limit bool, now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noteLocked(err, now)
	if limit {
		o.suspectLocked(hung, now)
	}
}

// WriteFailed records that a write was lost.
func (o *Outage) WriteFailed(err error) {
	now := o.config.Clock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lostWrite = true
	o.noteLocked(err, now)
}

// Suspect records that a read takes longer than the short wait.
func (o *Outage) Suspect(wait time.Duration, now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil || o.failedAt.Age(now) > Steady {
		o.noteLocked(fmt.Errorf("a read takes longer than %v", wait), now)
		o.onlySlow = true
	}
	o.suspectLocked(slow, now)
}

// noteLocked records a failure. The first failure of a failing period triggers an immediate check of the table.
func (o *Outage) noteLocked(err error, now clock.Instant) {
	if !o.watching && (o.cause == nil || o.failedAt.Age(now) > Steady) {
		o.pause, o.logged = 0, false
	}
	o.cause, o.failedAt, o.failedNow, o.onlySlow = err, now, true, false
	if !o.watching {
		o.watching = o.config.Start(o.watch)
	}
}

// suspectLocked raises the level until the next check has ended. It does so only if that check is in progress or starts
// now, so that a suspicion does not cause stale values for long. It triggers at most one check per second.
func (o *Outage) suspectLocked(to level, now clock.Instant) {
	if !o.checking && o.pause > 0 {
		if o.checkedAt.Age(now) < time.Second {
			return
		}
		o.hurryLocked()
	}
	if !o.watching {
		o.failedNow = true
		o.watching = o.config.Start(o.watch)
	}
	o.setLocked(max(to, o.level()))
}

// Hurry triggers a check if the table is assumed to be unreachable. It is called when an invocation starts.
func (o *Outage) Hurry(now clock.Instant) {
	if o.level() == reachable {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.checkedAt.Age(now) >= firstCheck {
		o.hurryLocked()
	}
}

// Nudge triggers a check if one is due: the watch's timer does not run while the process is frozen.
func (o *Outage) Nudge(now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.checkedAt.Age(now) >= o.pause {
		o.hurryLocked()
	}
}

func (o *Outage) hurryLocked() {
	if o.checking {
		return
	}
	select {
	case o.hurried <- struct{}{}:
	default:
	}
}

// watch checks the table until it responds and nothing has failed since the check started.
func (o *Outage) watch() {
	for {
		o.mu.Lock()
		wait := o.pause - o.checkedAt.Age(o.config.Clock())
		o.mu.Unlock()
		if !o.sleep(wait) {
			return
		}
		o.mu.Lock()
		o.checkedAt, o.checking, o.failedNow = o.config.Clock(), true, false
		o.mu.Unlock()
		up := o.config.Check()
		select {
		case <-o.config.Done:
			return
		default:
		}
		if o.conclude(up) {
			return
		}
	}
}

// sleep waits until d has passed or a check is triggered. It returns false if the cache was closed.
func (o *Outage) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-o.hurried:
	case <-o.config.Done:
		return false
	}
	return true
}

// conclude applies the result of a check. It reports whether the watch ends. It changes the level under the lock, and
// notifies clients and logs without it.
func (o *Outage) conclude(up bool) (ends bool) {
	o.mu.Lock()
	wasDown, wasAnnounced, cause := o.level() == down, o.announced, o.cause
	o.checking = false
	last := LastCheck
	if !up {
		last = o.config.LastDown
	}
	o.pause = min(max(2*o.pause, firstCheck), last)
	var line string
	switch {
	case !up:
		o.setLocked(down)
		o.announced = true
		if !wasDown {
			line = "the table cannot be read; last known values are served until it can: " + cause.Error()
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
		if !o.logged && !o.onlySlow { // one slow read is no failure
			line = cause.Error() + "; a check of the table succeeded"
		}
		if o.lostWrite {
			line = cause.Error() + "; a check of the table succeeded, and clients are asked to write again"
		}
	}
	o.logged = o.logged || line != ""
	announced := o.announced
	ends = up && !announced && !o.failedNow
	o.watching = !ends
	o.mu.Unlock()

	if line != "" {
		o.config.Warn(line)
	}
	if wasAnnounced && !announced {
		o.config.Ended()
	}
	if wasAnnounced != announced || announced {
		o.notifier.announce(announced)
	}
	return ends
}

// MayRetry reports whether a key whose read failed at failedAt may be read again. The pause between such reads grows
// while they fail, which reduces the load on a throttled table. After a success the next read may start at once.
func (o *Outage) MayRetry(failedAt, now clock.Instant) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.retryAt.Reached(now) || failedAt.Age(now) > Steady
}

// Retrying records that a read of a failing key starts.
func (o *Outage) Retrying(now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryIn = min(max(2*o.retryIn, firstRetry), lastRetry)
	o.retryAt = now.Add(o.retryIn)
}

// Retried records that a read of a failing key succeeded.
func (o *Outage) Retried() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryIn, o.retryAt = 0, clock.Instant{}
}
