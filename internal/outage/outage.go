// Package outage tracks whether a table can be reached, for a cache over it, and notifies LaunchDarkly's clients.
//
// A failing period begins with the first read or write that fails. One goroutine, the watch, then checks the table:
// once if it answers, and with growing pauses for as long as failures go on or the table is down, whatever number of
// keys fail. It writes one line per failing period. It alone notifies clients, so each outage's end follows its
// beginning.
//
// A write that failed is lost, however healthy the table is: a client that writes sends its data again only when it is
// notified of an outage's end. So a lost write is announced as an outage too, in which reads go on.
package outage

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// level is how far the table is from answering. At each, what is served at the levels before it is served too.
type level int32

const (
	reachable level = iota
	slow            // a read outlasted the short wait: a value that only expired is served at once
	hung            // a read ran into its limit: any last known value is served at once
	down            // a check of the table failed: nothing is read
)

const (
	// firstCheck is the pause before the second check of a failing period. It doubles up to LastCheck.
	firstCheck = 100 * time.Millisecond
	// LastCheck is the longest pause between the checks of a failing period in which the table answers.
	LastCheck = 5 * time.Second
	// Steady is how long nothing must fail before a failure begins a new failing period: with a check at once and a
	// line.
	Steady = 30 * time.Second
	// The pause between attempts to read keys whose reads failed doubles from the first to the last.
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// Config is what an outage needs of its cache. Nothing of it is called while a lock of this package is held, except
// Start and Clock.
type Config struct {
	Check func() bool          // asks the table; it takes as long as a read may
	Ended func()               // an outage has ended: keys may be read again at once. Clients are notified after
	Warn  func(line string)    // writes a line to the log
	Start func(f func()) bool  // starts a goroutine, and reports whether it did: not after Done
	Done  <-chan struct{}      // closed when the cache is
	Clock func() clock.Instant // reads the clock
	// LastDown is the longest pause between checks while the table is down. After recovery, values are stale for this
	// pause at most.
	LastDown time.Duration
}

// Outage tracks whether the table can be reached. All its methods are safe for concurrent use, and none waits.
type Outage struct {
	config   Config
	notifier notifier
	hurried  chan struct{} // ends the watch's pause; buffered, 1
	now      atomic.Int32  // the level. Written under mu

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

// New returns an Outage of a table that can be reached.
func New(config Config) *Outage {
	return &Outage{config: config, hurried: make(chan struct{}, 1), higher: make(chan struct{})}
}

func (o *Outage) level() level { return level(o.now.Load()) }

// Down reports whether the table is known to be down. It takes no lock.
func (o *Outage) Down() bool { return o.level() == down }

// Excuses reports whether a call is answered with what is known, instead of by a read.
func (o *Outage) Excuses(servable, expired bool) bool {
	at := o.level()
	return at == down || servable && (at == hung || at == slow && expired)
}

// Err returns why the table is not reachable, or nil before the first failure.
func (o *Outage) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil {
		return nil
	}
	return fmt.Errorf("the table cannot be read: %w", o.cause)
}

// Raised returns a channel that is closed when the level is raised: calls that wait for a read ask Excuses again.
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

// Failed notes that a read of the table failed, with an error or because it ran into its limit.
func (o *Outage) Failed(err error, limit bool, now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noteLocked(err, now)
	if limit {
		o.suspectLocked(hung, now)
	}
}

// WriteFailed notes that a write was lost.
func (o *Outage) WriteFailed(err error) {
	now := o.config.Clock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lostWrite = true
	o.noteLocked(err, now)
}

// Suspect notes that a read takes longer than the short wait.
func (o *Outage) Suspect(wait time.Duration, now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil || o.failedAt.Age(now) > Steady {
		o.noteLocked(fmt.Errorf("a read takes longer than %v", wait), now)
	}
	o.suspectLocked(slow, now)
}

// noteLocked notes a failure. The first of a failing period has the table checked at once.
func (o *Outage) noteLocked(err error, now clock.Instant) {
	if !o.watching && (o.cause == nil || o.failedAt.Age(now) > Steady) {
		o.pause, o.logged = 0, false
	}
	o.cause, o.failedAt, o.failedNow = err, now, true
	if !o.watching {
		o.watching = o.config.Start(o.watch)
	}
}

// suspectLocked raises the level until the next check has answered. That check must be under way or begin now, so that
// nothing is served stale for long on a suspicion; the table is not checked for it more than once a second.
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

// Hurry has the table checked at once if it is known to be unreachable: an invocation began.
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

// Nudge has the table checked if that is due by now: the watch's timer may have stood still with the process.
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

// watch checks the table until it answers and nothing has failed since.
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

// sleep waits until d is over or the watch is hurried. It reports whether the cache is still open.
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

// conclude draws the conclusions from a check. It reports whether the watch ends. The level changes under the lock;
// clients are notified and lines are written after.
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

// MayRetry reports whether a key whose read failed at failedAt may be read again. Such reads follow each other with a
// pause that grows while they fail, so that reads of a throttled table fall; a success allows the next at once.
func (o *Outage) MayRetry(failedAt, now clock.Instant) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.retryAt.Reached(now) || failedAt.Age(now) > Steady
}

// Retrying notes that such a read begins.
func (o *Outage) Retrying(now clock.Instant) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryIn = min(max(2*o.retryIn, firstRetry), lastRetry)
	o.retryAt = now.Add(o.retryIn)
}

// Retried notes that such a read succeeded.
func (o *Outage) Retried() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retryIn, o.retryAt = 0, clock.Instant{}
}
