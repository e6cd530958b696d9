package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/change"
)

// System is a cache under test. LaunchDarkly builds a data store of it for each client, and changes are delivered to
// it. It may be a [change.Waker].
type System interface {
	subsystems.ComponentConfigurer[subsystems.DataStore]
	change.Sink
}

// Setup is the configuration of a cache.
type Setup struct {
	Table     subsystems.ComponentConfigurer[subsystems.PersistentDataStore]
	Clock     func() (mono, wall time.Duration) // the clocks; timers use package time
	TTL       time.Duration                     // as in [Script], like MaxStale
	MaxStale  time.Duration
	ReadLimit time.Duration // after which a read is abandoned
	Preload   bool
	Lambda    bool
	Strict    bool
}

// Subject is a kind of cache, with the properties in which it differs from other caches.
type Subject struct {
	New func(Setup) System
	// SweepInterval is how much later it may detect a freeze. Early is how long before the end of the TTL it may read
	// again. 0 means at once. Both apply only if the script does not ask for strict clocks, and in Lambda only after a
	// Wake.
	SweepInterval, Early time.Duration
	Recovery             time.Duration // within which it detects recovery of the table; 0 means one minute
	// ShortWait is how long a call waits for the read of a value that has only expired. 0 means as long as for other
	// reads.
	ShortWait time.Duration
	// ManyStale is how many stale items a GetAll reads one by one before it reads the collection. 0 means no limit.
	// Forgets is true if the cache may remove an item from memory that the table does not have.
	ManyStale    int
	Forgets      bool
	Marker       bool          // it does not accept that an item is absent from a table without its marker
	NotifyWithin time.Duration // within which clients are notified of an outage; 0 means at once
	// NoStatus is true if it has no data store status, and detects recovery only by reads for its callers. It still
	// notifies the first client of outages. But a key "cannot be reached" until a read of the same key succeeds, or
	// until Recovery has passed without a failed read.
	NoStatus bool
}

// items is the number of items. One of them is a flag that does not exist at first.
const items = 4

var (
	kinds   = [2]ldstoretypes.DataKind{ldstoreimpl.Features(), ldstoreimpl.Segments()}
	kindOf  = [items]int{0, 0, 0, 1}
	keys    = [items]string{"a", "b", "new", "a"}
	choices = [8]int{0, 0, 0, 0, 1, 1, 2, 3} // of items, by a step's number
)

// world is one run of a script.
//
// Two kinds of goroutines use it: the script's goroutine, which executes the steps, and the cache's goroutines, which
// read the table, return from calls and notify clients. Both record events under mu. The cache may hold its own locks
// when it calls, so mu is never held while the cache is called.
//
// These functions acquire mu: do, call, message, invalidate, promptly, answer, moveClocks, build, hold, recoveryTime,
// settle and finale; and in the goroutines of the cache and of calls beginRead, endRead, serialized, wrote, readClocks,
// UpdateStatus and endCall. All other functions require that mu is held.
type world struct {
	script  Script
	subject Subject
	system  System
	races   Races
	trace   *strings.Builder // nil: none is kept

	mu       sync.Mutex // guards the fields below
	start    time.Time
	offset   time.Duration // of the wall clock
	events   int
	step     int
	freezes  int
	backs    int
	wakes    int
	leaps    []leap
	serial   int
	items    [items]*item
	allInv   stamp             // the last InvalidateAll
	failing  [len(kinds)]bool  // like item.failing, for reads of the whole kind
	failed   [len(kinds)]stamp // when the last read of the whole kind failed
	reads    []*read
	inFlight []*read // reads that have not returned, including abandoned ones
	calls    []*call // not ended
	returned []*call // calls that ended while a read of their kind was in progress
	clients  []*client
	building [len(kinds)]bool // the cache is preloading, and may read this kind
	queue    []message
	broken   *Broken // the first broken promise

	held, late, outage bool
	wiped, sawMarker   bool // the table has no marker; the cache has seen one
	lag                int
	healthySince       time.Duration // since when reads are neither held nor failing; -1 if they are
	sawWell            bool          // a read or check succeeded since clients were last notified of an outage
	sawFailure         bool          // a read or check failed since clients were last notified of its end
	mustNotify         bool          // the last read failed because of an outage
	lastFailure        stamp
	mustNotifyBy       time.Duration // the latest time for that notification
	suspected          bool          // a read took longer than ShortWait, and no check of the table has succeeded since
	unreachable        bool          // the same after an abandoned read or a failed check
	settled, paused    int           // events: the start of the last successful read, the last detected freeze
}

// leap is a forward jump of the wall clock. The model records it because a cache cannot know of it before its next
// sweep.
type leap struct{ at, by time.Duration }

// Broken is the error that [Run] returns for a broken promise.
type Broken struct {
	Promise int // its number in docs/promises.md
	Step    int // during which it was broken, from 0
	Text    string
	Trace   string // the events before, if they were recorded
}

// Error returns the promise, the step and the reason, without Trace.
func (b *Broken) Error() string {
	return fmt.Sprintf("promise %d is broken at step %d: %s", b.Promise, b.Step, b.Text)
}

// stuck is the limit for a run in real time: a goroutine that waits for a mutex forever stops the bubble.
const stuck = time.Minute

// Run executes the script on a new cache, in its own bubble. It returns a [*Broken] for the first promise that the
// cache did not keep. It counts races in races, which may be nil.
func Run(t *testing.T, script Script, subject Subject, races Races) error {
	if races == nil {
		races = NewRaces()
	}
	return run(t, &world{script: script, subject: subject, races: races})
}

// Trace is like Run, and records all events in the [*Broken].
func Trace(t *testing.T, script Script, subject Subject) error {
	return run(t, &world{script: script, subject: subject, races: NewRaces(), trace: &strings.Builder{}})
}

// run executes a world. The watchdog is created outside of the bubble, so it uses real time.
func run(t *testing.T, w *world) error {
	watchdog := time.AfterFunc(stuck, func() {
		panic(fmt.Sprintf("sim: the cache is stuck, or a goroutine of it waits for a mutex. The script:\n%v", w.script))
	})
	defer watchdog.Stop()
	w.bubble(t)
	if w.broken == nil {
		return nil
	}
	if w.trace != nil {
		w.broken.Trace = w.trace.String()
	}
	return w.broken
}

// bubble executes the steps until the first broken promise. Synctest panics if goroutines of the bubble are still
// blocked after the script.
func (w *world) bubble(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			w.brokef(5, "the cache leaks goroutines: %v", p)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		w.begin()
		for n, step := range w.script.Steps {
			if w.broken != nil {
				break
			}
			w.mu.Lock()
			w.step = n
			w.mu.Unlock()
			w.do(step)
			w.settle()
		}
		w.finale()
	})
}

// begin fills the table and builds the first client. If the script says so, reads are held from the start, including
// those of a preload. This is step -1.
func (w *world) begin() {
	w.start, w.healthySince = time.Now(), -1
	if w.subject.Recovery == 0 {
		w.subject.Recovery = time.Minute
	}
	for x := range w.items {
		w.items[x] = &item{kind: kindOf[x], key: keys[x], shown: -1, rows: make([]row, 1, 8)}
		if keys[x] != "new" {
			w.serial++
			w.items[x].rows[0] = row{version: 10, serial: w.serial, state: live}
		}
	}
	w.system = w.subject.New(Setup{
		Table: table{w}, Clock: w.readClocks, ReadLimit: readLimit,
		TTL: w.script.TTL, MaxStale: w.script.MaxStale, Preload: w.script.Preload,
		Lambda: w.script.Lambda, Strict: w.script.Strict,
	})
	w.hold(w.script.Held, false)
	w.step = -1
	w.build()
	w.settle()
}

// readClocks returns the monotonic clock, which follows the bubble's time, and the wall clock. Both are far from 0, so
// that the zero instant is long ago.
func (w *world) readClocks() (mono, wall time.Duration) {
	mono = time.Since(w.start) + time.Hour
	w.mu.Lock()
	defer w.mu.Unlock()
	return mono, mono + 400_000*time.Hour + w.offset
}

// event returns the stamp of an event that happens now. It first ends the reads that have reached their time limit,
// because the cache has abandoned them by then.
func (w *world) event() stamp {
	w.events++
	mono := time.Since(w.start)
	now := stamp{n: w.events, step: w.step, mono: mono, wall: mono + w.offset}
	w.sweep(now)
	for _, c := range w.calls {
		w.suspected = w.suspected || w.subject.ShortWait > 0 && mono-c.begin.mono >= w.subject.ShortWait
	}
	for _, c := range w.calls {
		c.slow = c.slow || w.suspected
	}
	return now
}

// brokef records a broken promise. Only the first one counts, because later ones may be its consequences.
func (w *world) brokef(promise int, format string, args ...any) {
	if w.broken == nil {
		w.broken = &Broken{Promise: promise, Step: w.step, Text: fmt.Sprintf(format, args...)}
		w.tracef("BROKEN: %v", w.broken)
	}
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%4d %8v  %s\n", w.step, time.Since(w.start), fmt.Sprintf(format, args...))
	}
}

func (w *world) name(x int) string { return kinds[kindOf[x]].GetName() + "/" + keys[x] }

func (w *world) readName(r *read) string {
	if r.item < 0 {
		return "all " + kinds[r.kind].GetName()
	}
	return w.name(r.item)
}

// inProgress returns the read of exactly this item or kind that is in progress and not abandoned, or nil.
func (w *world) inProgress(kind, x int) *read {
	for _, r := range w.inFlight {
		if r.kind == kind && r.item == x && !r.done {
			return r
		}
	}
	return nil
}

// settle waits until all goroutines are blocked, and checks the calls that still wait and the status.
func (w *world) settle() {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.event()
	// A check would have ended by now. A cache without a status does not check the table: the slow read has to end.
	w.suspected = w.suspected && (w.outage || w.subject.NoStatus && w.reading())
	w.checkWaiting(now)
	w.checkStatus(now)
}

// reading reports whether a read is in progress and not abandoned.
func (w *world) reading() bool {
	return slices.ContainsFunc(w.inFlight, func(r *read) bool { return !r.done })
}

// sleep lets time pass.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	w.settle()
}

// hold determines how reads end that start from now on.
func (w *world) hold(held, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.late = held, late
	w.updateHealthy()
}

// updateHealthy records since when the table responds normally.
func (w *world) updateHealthy() {
	switch well := !w.held && !w.outage && !w.wiped; {
	case !well:
		w.healthySince = -1
	case w.healthySince < 0:
		w.healthySince = time.Since(w.start)
	}
}

// recoveryTime returns how long the cache may need to recover.
func (w *world) recoveryTime() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	failing := w.isDown()
	for _, i := range w.items {
		failing = failing || i.failing
	}
	if failing {
		return w.subject.Recovery + time.Second
	}
	return time.Second
}

// finale ends everything in progress and checks that the cache recovers. It ends the outage and every held read, waits
// for the recovery time, and then reads each item and each kind once more, each as a separate step.
func (w *world) finale() {
	w.mu.Lock()
	w.step, w.outage, w.lag, w.mustNotify, w.wiped = len(w.script.Steps), false, 0, false, false
	held := slices.Clone(w.inFlight)
	w.mu.Unlock()
	w.hold(false, false)
	for _, r := range held {
		if r.gate != nil {
			r.gate <- well
		}
		w.settle()
	}
	w.sleep(w.recoveryTime())
	w.mu.Lock()
	reads := len(w.reads)
	w.mu.Unlock()
	for n := range items + len(kinds) {
		w.mu.Lock()
		w.step++
		w.mu.Unlock()
		if w.broken == nil {
			w.call(0, [...]int{0, 1, 2, 3, -1, -1}[n], [...]int{0, 0, 0, 1, 0, 1}[n])
			w.settle()
		}
	}
	w.mu.Lock()
	if w.subject.NoStatus && w.isDown() && len(w.reads) > reads { // without a read it cannot detect recovery
		w.brokef(4, "the table is reachable and was read, but the store still counts as down")
	}
	w.mu.Unlock()
	for n := len(w.clients) - 1; n >= 0; n-- {
		w.close(n)
	}
}
