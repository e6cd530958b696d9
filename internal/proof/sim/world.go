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

// System is a cache under judgment: LaunchDarkly builds a data store of it for each client, and changes are
// delivered to it. It may be a [change.Waker].
type System interface {
	subsystems.ComponentConfigurer[subsystems.DataStore]
	change.Sink
}

// Setup is what a cache is made of.
type Setup struct {
	Table     subsystems.ComponentConfigurer[subsystems.PersistentDataStore]
	Hands     func() (mono, wall time.Duration) // the clock; timers are package time's
	TTL       time.Duration                     // this and the next as in [Script]
	MaxStale  time.Duration
	ReadLimit time.Duration // after which a read is abandoned
	Preload   bool
	Lambda    bool
	Strict    bool
}

// Subject is a kind of cache, and how it differs from others.
type Subject struct {
	New func(Setup) System
	// Tick is how much later it may learn of a freeze, and Early how long before the end of the TTL it may read
	// again; 0 is at once. Both count if the script does not ask for strict clocks, and in Lambda once the cache has
	// been woken.
	Tick, Early time.Duration
	Recovery    time.Duration // within which it finds that the table can be reached again; 0 is a minute
	// ShortWait is how long a call waits for the read of a value that has only expired; 0 is as long as for any other.
	ShortWait time.Duration
	// ManyStale is how many stale items a GetAll reads one by one before it reads the collection; 0 is more than there
	// are. Forgets says that the cache may forget an item that the table does not have.
	ManyStale int
	Forgets   bool
	Marker    bool          // it does not believe that an item is gone from a table which has lost its marker
	Notice    time.Duration // within which clients are notified of an outage; 0 is at once
	// NoStatus says that it has no data store status, and finds out by reads for its callers that the table answers
	// again. It tells the first client of outages all the same, but only a read of the same thing, or Recovery
	// without any failed read, ends the time in which a thing "cannot be reached".
	NoStatus bool
}

// What there is in the table: a flag that does not exist at first among them.
const items = 4

var (
	kinds   = [2]ldstoretypes.DataKind{ldstoreimpl.Features(), ldstoreimpl.Segments()}
	kindOf  = [items]int{0, 0, 0, 1}
	keys    = [items]string{"a", "b", "new", "a"}
	choices = [8]int{0, 0, 0, 0, 1, 1, 2, 3} // of items, by a step's number
)

// world is one run of a script.
//
// Two sorts of goroutines meet here: the script's own, which carries out one step after the other, and the cache's,
// which read the table, return from calls and tell clients of the store. Both note what happens under mu. The cache
// may come with locks of its own held, so mu is never held while the cache is called (a step lets go of it first).
//
// What a step does takes the lock itself (do, call, message, invalidate, promptly, answer, clock, build, hold, rest,
// settle, finale), and so does what runs in the cache's goroutines and the calls' (beginRead, endRead, serialized,
// wrote, hands, UpdateStatus, endCall). All else is called with it: event, look, finish, sweep, write, put,
// beginCall, whatever begins with judge or note, and what says something of the world.
type world struct {
	script  Script
	subject Subject
	system  System
	races   Races
	trace   *strings.Builder // nil: none is kept

	mu       sync.Mutex // guards the fields below; the cache's goroutines report here too
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
	failing  [len(kinds)]bool  // as item.failing, of reads of the whole kind
	failed   [len(kinds)]stamp // when the last one failed
	reads    []*read
	flying   []*read // not answered yet, those that were abandoned too
	calls    []*call // not ended
	left     []*call // ended while a read of their kind was under way
	clients  []*client
	building [len(kinds)]bool // the cache is preloading, and may read this kind
	queue    []message
	broken   *Broken // the first broken promise

	held, late, outage bool
	wiped, sawMarker   bool // the table has no marker; the cache has seen one
	lag                int
	healed             time.Duration // when reads were last neither held nor failing, or -1
	sawWell            bool          // since the store was last told to be down
	sawFailure         bool          // since it was last told to be up
	mustTell           bool          // the last read failed because of an outage
	lastFailure        stamp
	mustTellBy         time.Duration // when clients must have been notified of it, if mustTell
	suspected          bool          // a read took longer than ShortWait, and no check of the table has answered since
	unreachable        bool          // as suspected, but a read was abandoned or a check failed
	settled, paused    int           // events: the last read that began and ended well, the last freeze that is known
}

// leap is a forward jump of the wall clock. It is remembered because a cache whose timekeeper has not looked since
// cannot know of it.
type leap struct{ at, by time.Duration }

// Broken says which promise a cache did not keep. It is what [Run] returns.
type Broken struct {
	Promise int // its number in docs/promises.md
	Step    int // during which it was broken, from 0
	Text    string
	Trace   string // what had happened, if it was asked for
}

// Error names the promise, the step and what was seen; Trace is left out.
func (b *Broken) Error() string {
	return fmt.Sprintf("promise %d is broken at step %d: %s", b.Promise, b.Step, b.Text)
}

// stuck is how long a run may take in real time: a goroutine that waits for a mutex for ever stops a bubble.
const stuck = time.Minute

// Run carries out the script on a new cache, in a bubble of its own, and returns a [*Broken] for the first promise
// that the cache did not keep. Races that occurred are counted, unless races is nil.
func Run(t *testing.T, script Script, subject Subject, races Races) error {
	if races == nil {
		races = NewRaces()
	}
	return run(t, &world{script: script, subject: subject, races: races})
}

// Trace runs the script as Run does, and its [*Broken] tells all that happened.
func Trace(t *testing.T, script Script, subject Subject) error {
	return run(t, &world{script: script, subject: subject, races: NewRaces(), trace: &strings.Builder{}})
}

// run runs a world to its end. The watchdog is made outside of the bubble, and so goes by real time.
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

// bubble carries out the steps, stopping at the first broken promise. Synctest panics when the script is over and
// goroutines of the bubble are blocked for good.
func (w *world) bubble(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			w.brokef(5, "the cache leaves goroutines behind: %v", p)
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

// begin fills the table and has the first client built. Its reads, of a preload, are held already if the script says
// so; they are of step -1.
func (w *world) begin() {
	w.start, w.healed = time.Now(), -1
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
		Table: table{w}, Hands: w.hands, ReadLimit: readLimit,
		TTL: w.script.TTL, MaxStale: w.script.MaxStale, Preload: w.script.Preload,
		Lambda: w.script.Lambda, Strict: w.script.Strict,
	})
	w.hold(w.script.Held, false)
	w.step = -1
	w.build()
	w.settle()
}

// hands is the clock: its monotonic hand is the bubble's time. Both begin far from 0, so that
// the zero of a clock is long ago.
func (w *world) hands() (mono, wall time.Duration) {
	mono = time.Since(w.start) + time.Hour
	w.mu.Lock()
	defer w.mu.Unlock()
	return mono, mono + 400_000*time.Hour + w.offset
}

// event stamps something that happens now. Reads that ran past their limit before it are ended first, as the cache
// has given them up by then.
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

// brokef notes a broken promise. The first one counts: those after it may be its consequences.
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

// under is the read of just this item, or kind, that is under way and has not been abandoned.
func (w *world) under(kind, x int) *read {
	for _, r := range w.flying {
		if r.kind == kind && r.item == x && !r.done {
			return r
		}
	}
	return nil
}

// settle waits until nothing moves, and looks at what should have happened by now.
func (w *world) settle() {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.event()
	// A check would have answered. A cache without a status checks nothing: the slow read has to end.
	w.suspected = w.suspected && (w.outage || w.subject.NoStatus && w.reading())
	w.judgeWaiting(now)
	w.judgeStatus(now)
}

// reading reports whether a read is under way that was not abandoned.
func (w *world) reading() bool {
	return slices.ContainsFunc(w.flying, func(r *read) bool { return !r.done })
}

// sleep lets time pass.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	w.settle()
}

// hold decides how reads that begin from now on are answered.
func (w *world) hold(held, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.late = held, late
	w.heal()
}

// heal notes since when the table answers well.
func (w *world) heal() {
	switch well := !w.held && !w.outage && !w.wiped; {
	case !well:
		w.healed = -1
	case w.healed < 0:
		w.healed = time.Since(w.start)
	}
}

// rest is how long a cache may need until it has recovered from what is past.
func (w *world) rest() time.Duration {
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

// finale ends all that is under way, and sees whether the cache ends in a state that it should be in: the outage is
// over, every held read is answered, time enough for a recovery passes, and then each item and each kind is asked for
// once more, as if in steps of their own.
func (w *world) finale() {
	w.mu.Lock()
	w.step, w.outage, w.lag, w.mustTell, w.wiped = len(w.script.Steps), false, 0, false, false
	held := slices.Clone(w.flying)
	w.mu.Unlock()
	w.hold(false, false)
	for _, r := range held {
		if r.gate != nil {
			r.gate <- well
		}
		w.settle()
	}
	w.sleep(w.rest())
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
	if w.subject.NoStatus && w.isDown() && len(w.reads) > reads { // if all was cached, it could not find out
		w.brokef(4, "the table is well, everything was asked for, and it still counts as down")
	}
	w.mu.Unlock()
	for n := len(w.clients) - 1; n >= 0; n-- {
		w.close(n)
	}
}
