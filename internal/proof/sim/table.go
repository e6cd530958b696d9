package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// verdict is how a held read is answered.
type verdict int

const (
	well verdict = iota
	fails
	breaks // an item's JSON is broken
	panics
)

var errTable = errors.New("the table cannot be reached")

// read is one read of the table by the cache: of an item, or of a whole kind. It is kept after it ended: the model's
// question is always which read an answer can have come from.
type read struct {
	id, kind   int
	item       int // -1: the whole kind
	begin, end stamp
	gate       chan verdict // nil: answered at once
	pos        [items]int   // by item, the row that it saw: an index of item.rows, or -1

	done      bool // ended, or abandoned
	abandoned bool // the cache's limit for a read passed before it was answered
	failed    bool // with nothing to keep
	maybe     bool // one item was broken: what a cache does with the others is its own affair

	freezes   [2]int      // how many there had been when it began and when it ended
	backs     [2]int      // as freezes: steps of the wall clock backwards
	wakes     [2]int      // as freezes: calls of Wake
	contested [items]bool // a read of the other sort ended while this one was under way
	discarded [items]bool // an invalidation came while it was under way
	vanished  [items]bool // it found nothing where the cache knew a live item, and the marker was gone
}

func (r *read) covers(x int) bool { return r.item == x || r.item < 0 && kindOf[x] == r.kind }

// table is what the cache is built over: LaunchDarkly's interface. Its methods run in the cache's goroutines, and a
// read stands still in them until a step answers it.
type table struct{ w *world }

// Build is called by the cache.
func (t table) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) { return t, nil }

func (t table) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.SerializedItemDescriptor, error) {
	for x, i := range t.w.items {
		if i.key == key && kinds[i.kind] == kind {
			r, err := t.w.read(i.kind, x)
			if err != nil {
				return ldstoretypes.SerializedItemDescriptor{}.NotFound(), err
			}
			return t.w.serialized(x, r.pos[x]), nil
		}
	}
	return ldstoretypes.SerializedItemDescriptor{}.NotFound(), nil
}

func (t table) GetAll(kind ldstoretypes.DataKind) (found []ldstoretypes.KeyedSerializedItemDescriptor, err error) {
	for k := range kinds {
		if kinds[k] != kind {
			continue
		}
		r, err := t.w.read(k, -1)
		if err != nil {
			return nil, err
		}
		for x, i := range t.w.items {
			if i.kind != k {
				continue
			}
			if item := t.w.serialized(x, r.pos[x]); item.SerializedItem != nil {
				found = append(found, ldstoretypes.KeyedSerializedItemDescriptor{Key: i.key, Item: item})
			}
		}
	}
	return found, nil
}

// serialized is the row at pos of item x. A broken one has the latest version and no end. Tombstones come in both of
// the ways in which stores give them: marked as deleted, or to be known by their JSON only.
func (w *world) serialized(x, pos int) ldstoretypes.SerializedItemDescriptor {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.items[x]
	if pos < 0 {
		broken := i.json(row{version: 1000, serial: -1, state: live})
		return ldstoretypes.SerializedItemDescriptor{Version: 1000, SerializedItem: broken[:len(broken)-5]}
	}
	r := i.rows[pos]
	if r.state == absent {
		return ldstoretypes.SerializedItemDescriptor{}.NotFound()
	}
	return ldstoretypes.SerializedItemDescriptor{
		Version: r.version, Deleted: r.state == tombstone && r.version%2 == 0, SerializedItem: i.json(r),
	}
}

// Init and Upsert break a promise: a cache in daemon mode never writes.
func (t table) Init([]ldstoretypes.SerializedCollection) error {
	t.w.wrote("Init")
	return nil
}

func (t table) Upsert(ldstoretypes.DataKind, string, ldstoretypes.SerializedItemDescriptor) (bool, error) {
	t.w.wrote("Upsert")
	return true, nil
}

func (w *world) wrote(how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.brokef(7, "the cache wrote to the table (%s)", how)
}

// IsInitialized is also how a cache reads the marker, which is a read like any other.
func (t table) IsInitialized() bool {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	t.w.settled = t.w.event().n
	t.w.sawMarker = t.w.sawMarker || !t.w.wiped
	return !t.w.wiped
}

func (t table) IsStoreAvailable() bool {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	lost := t.w.outage || t.w.wiped && t.w.sawMarker
	t.w.sawWell = t.w.sawWell || !lost
	t.w.suspect(lost)
	if lost {
		t.w.sawFailure, t.w.lastFailure = true, t.w.event()
	}
	return !t.w.outage
}

func (t table) Close() error { return nil }

// read is one read from its beginning to its answer, in the cache's goroutine.
func (w *world) read(kind, x int) (*read, error) {
	r := w.beginRead(kind, x)
	answer := well
	if r.gate != nil {
		answer = <-r.gate
	}
	switch w.endRead(r, answer) {
	case fails:
		return nil, errTable
	case panics:
		panic(errTable)
	}
	return r, nil
}

// beginRead notes a read, and judges whether it may begin. One that is held looks at the rows now, or late, by steps
// of their own; one that is not held looks in endRead, at once.
func (w *world) beginRead(kind, x int) *read {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &read{id: len(w.reads), kind: kind, item: x, begin: w.event()}
	r.freezes[0], r.backs[0], r.wakes[0] = w.freezes, w.backs, w.wakes
	for y := range r.pos {
		r.pos[y] = -1
	}
	w.tracef("read %d of %s begins", r.id, w.readName(r))
	w.judgeBegin(r)
	w.reads = append(w.reads, r)
	w.flying = append(w.flying, r)
	for y, i := range w.items {
		if r.covers(y) {
			i.over = append(i.over, r)
		}
	}
	if !w.held {
		return r
	}
	r.gate = make(chan verdict, 1)
	if !w.late {
		w.look(r, false)
	}
	return r
}

// look lets a read see the table's rows, or only the next of them that it has not seen. A read of a
// collection is a Query of several pages, and no snapshot.
func (w *world) look(r *read, one bool) {
	for x, i := range w.items {
		if !r.covers(x) || r.pos[x] >= 0 {
			continue
		}
		now := len(i.rows) - 1
		r.pos[x] = now
		if lag := min(w.lag, now); lag > 0 {
			r.pos[x] -= lag
			w.races.hit("a read lags behind the table")
		}
		w.tracef("read %d sees %s %v", r.id, w.name(x), i.rows[r.pos[x]])
		if one {
			return
		}
	}
}

// endRead notes what the read brings, and returns how it is answered in fact: in an outage, reads that were
// not held, or look late, fail. A read that was abandoned brings nothing any more: finish has noted it already.
func (w *world) endRead(r *read, answer verdict) verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.event()
	if w.outage && answer == well && (r.gate == nil || w.late) {
		answer = fails
	}
	w.look(r, false)
	if answer == breaks && !w.breakItem(r) {
		answer = well
	}
	w.flying = slices.DeleteFunc(w.flying, func(other *read) bool { return other == r })
	w.tracef("read %d ends, %v", r.id, [...]string{"well", "with an error", "broken", "in a panic"}[answer])
	if !r.abandoned {
		for x, i := range w.items {
			if p := r.pos[x]; w.wiped && w.sawMarker && r.covers(x) && p >= 0 && i.rows[p].state == absent {
				r.maybe, r.vanished[x] = true, w.knewLive(r, x)
			}
		}
		r.failed = answer == fails || answer == panics || answer == breaks && !r.maybe
		w.finish(r, now)
		if w.outage && answer == fails && !w.mustTell {
			w.mustTell, w.mustTellBy = true, now.mono+w.subject.Notice
		}
		return answer
	}
	w.races.hit("an abandoned read is answered late")
	if w.under(r.kind, r.item) != nil {
		w.races.hit("an abandoned read is answered during its successor")
	}
	return answer
}

// breakItem makes one item's JSON of the answer broken: the first that there is, if any.
func (w *world) breakItem(r *read) bool {
	for x, i := range w.items {
		if r.covers(x) && (r.item >= 0 || i.rows[r.pos[x]].state != absent) {
			r.pos[x] = -1
			r.maybe = r.item < 0
			return true
		}
	}
	return false
}

// readLimit is how long the cache waits for a read.
const readLimit = 3 * time.Second

// sweep notes the reads that have run past the limit by now.
func (w *world) sweep(now stamp) {
	for _, r := range w.flying {
		if !r.done && now.mono-r.begin.mono >= readLimit {
			r.abandoned, r.failed = true, true
			w.tracef("read %d is past its limit", r.id)
			w.races.hit("a read is abandoned")
			w.finish(r, now)
			w.suspect(true)
		}
	}
}

// suspect notes that the table seems not to answer, or that a check of it did.
func (w *world) suspect(unreachable bool) {
	w.suspected = w.suspected && unreachable
	w.unreachable = unreachable && !w.subject.NoStatus
	for _, c := range w.calls {
		for x := range c.excused {
			c.excused[x] = c.excused[x] || w.unreachable
		}
	}
}

// finish draws the conclusions from a read that ended or was given up, once for each: whether the table can be
// reached again for what it covers, whether another read overlapped it, and that calls which wait have one read less
// to wait for.
func (w *world) finish(r *read, now stamp) {
	r.done, r.end = true, now
	r.freezes[1], r.backs[1], r.wakes[1] = w.freezes, w.backs, w.wakes
	if r.failed || r.maybe {
		w.noteFailure(r, now)
	} else {
		w.sawWell, w.mustTell = true, false
	}
	if !r.failed && r.begin.n > w.paused {
		w.settled = r.begin.n
	}
	if r.item < 0 && !r.failed && r.after(w.failed[r.kind]) {
		w.failing[r.kind] = false
	}
	for x, i := range w.items {
		if !r.covers(x) || r.pos[x] < 0 {
			continue
		}
		for n := len(i.over) - 1; n >= 0; n-- {
			other := i.over[n]
			r.contested[x] = r.contested[x] || other != r && other.done && other.end.n > r.begin.n
		}
		if r.failed {
			continue
		}
		if i.failing && r.after(i.failed) && (r.item >= 0 || !w.overlapped(r, x)) {
			i.failing = false
			w.hitIf(w.subject.NoStatus, "the store recovers")
		}
	}
	w.noteEnd(r)
	w.readRaces(r)
}

// after says whether a read certainly began when the cache knew of a failure: of what happens in one step, such as
// several reads that are abandoned, it may learn in any order.
func (r *read) after(failure stamp) bool { return failure.step < r.begin.step }
