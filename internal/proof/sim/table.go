package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// outcome is how a held read ends.
type outcome int

const (
	well outcome = iota
	fails
	breaks // an item's JSON is broken
	panics
)

var errTable = errors.New("the table cannot be reached")

// read is one read of the table by the cache, of an item or of a whole kind. It is kept after it has ended, because the
// model needs to know which read a result can have come from.
type read struct {
	id, kind   int
	item       int // -1: the whole kind
	begin, end stamp
	gate       chan outcome // nil: it ends at once
	pos        [items]int   // per item, the row that it saw: an index of item.rows, or -1

	done      bool // ended, or abandoned
	abandoned bool // the cache's time limit passed before it ended
	failed    bool // it returned no values
	maybe     bool // one item was broken: a cache may use or ignore the other items

	freezes   [2]int      // number of freezes when it started and when it ended
	backs     [2]int      // the same for steps back of the wall clock
	wakes     [2]int      // the same for calls of Wake
	contested [items]bool // another read that covers the item ended while this one was in progress
	discarded [items]bool // an invalidation came while it was in progress
	vanished  [items]bool // a known live item was absent, and so was the marker
}

func (r *read) covers(x int) bool { return r.item == x || r.item < 0 && kindOf[x] == r.kind }

// table is the inner store of the cache. Its methods run in the cache's goroutines. A held read blocks in them until a
// step ends it.
type table struct{ w *world }

// Build is called by the cache.
func (t table) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) { return t, nil }

func (t table) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.SerializedItemDescriptor, error) {
	return t.get(kind, key, false)
}

// GetContext is Get with the errors of dynamostore, and so are the following two methods.
func (t table) GetContext(
	_ context.Context, kind ldstoretypes.DataKind, key string,
) (ldstoretypes.SerializedItemDescriptor, error) {
	return t.get(kind, key, true)
}

func (t table) GetAllContext(
	_ context.Context, kind ldstoretypes.DataKind,
) ([]ldstoretypes.KeyedSerializedItemDescriptor, error) {
	found, _, err := t.getAll(kind, true)
	return found, err
}

func (t table) GetAllAndBroken(
	_ context.Context, kind ldstoretypes.DataKind,
) ([]ldstoretypes.KeyedSerializedItemDescriptor, map[string]error, error) {
	return t.getAll(kind, true)
}

func (t table) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, error) {
	found, _, err := t.getAll(kind, false)
	return found, err
}

// brokenRow is the error of a row without LaunchDarkly's schema.
type brokenRow struct{}

func (brokenRow) Error() string { return "the row is broken" }
func (brokenRow) BrokenRow()    {}

// lacksSchema reports whether the read found a broken row of item x that has no JSON at all. Every other read finds
// broken JSON instead.
func (r *read) lacksSchema(x int) bool { return r.pos[x] < 0 && r.id%2 == 0 }

// get reads an item. If reports is true, a row without the schema is an error.
func (t table) get(
	kind ldstoretypes.DataKind, key string, reports bool,
) (ldstoretypes.SerializedItemDescriptor, error) {
	notFound := ldstoretypes.SerializedItemDescriptor{}.NotFound()
	for x, i := range t.w.items {
		if i.key == key && kinds[i.kind] == kind {
			r, err := t.w.read(i.kind, x)
			if err == nil && reports && r.lacksSchema(x) {
				err = brokenRow{}
			}
			if err != nil {
				return notFound, err
			}
			return t.w.serialized(x, r.pos[x]), nil
		}
	}
	return notFound, nil
}

// getAll reads a kind. If reports is true, it skips the rows without the schema, and returns their errors.
func (t table) getAll(
	kind ldstoretypes.DataKind, reports bool,
) (found []ldstoretypes.KeyedSerializedItemDescriptor, broken map[string]error, err error) {
	k := slices.Index(kinds[:], kind)
	if k < 0 {
		return nil, nil, nil
	}
	r, err := t.w.read(k, -1)
	if err != nil {
		return nil, nil, err
	}
	for x, i := range t.w.items {
		switch {
		case i.kind != k:
		case reports && r.lacksSchema(x):
			broken = map[string]error{i.key: brokenRow{}}
		default:
			if item := t.w.serialized(x, r.pos[x]); item.SerializedItem != nil {
				found = append(found, ldstoretypes.KeyedSerializedItemDescriptor{Key: i.key, Item: item})
			}
		}
	}
	return found, broken, nil
}

// serialized returns the row at pos of item x. A broken row has the latest version and incomplete JSON. Stores return
// tombstones in two ways, and this table uses both: marked as deleted, or only recognizable by their JSON.
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

// IsInitialized is how a cache reads the marker. It counts as a successful read.
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

// read executes one read, in the cache's goroutine.
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

// beginRead records a read, and checks that it may start. A held read sees the rows now, or later by See steps. A read
// that is not held sees them in endRead.
func (w *world) beginRead(kind, x int) *read {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &read{id: len(w.reads), kind: kind, item: x, begin: w.event()}
	r.freezes[0], r.backs[0], r.wakes[0] = w.freezes, w.backs, w.wakes
	for y := range r.pos {
		r.pos[y] = -1
	}
	w.tracef("read %d of %s starts", r.id, w.readName(r))
	w.checkBegin(r)
	w.reads = append(w.reads, r)
	w.inFlight = append(w.inFlight, r)
	for y, i := range w.items {
		if r.covers(y) {
			i.over = append(i.over, r)
		}
	}
	if !w.held {
		return r
	}
	r.gate = make(chan outcome, 1)
	if !w.late {
		w.seeRows(r, false)
	}
	return r
}

// seeRows lets a read see the table's rows, or only the next row that it has not seen. A read of a collection is a
// Query of several pages, not a snapshot.
func (w *world) seeRows(r *read, one bool) {
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

// endRead records the result of a read, and returns its actual outcome. During an outage, reads fail that are not held
// or see their rows late. The result of an abandoned read is ignored: finish has already recorded the read.
func (w *world) endRead(r *read, answer outcome) outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.event()
	if w.outage && answer == well && (r.gate == nil || w.late) {
		answer = fails
	}
	w.seeRows(r, false)
	if answer == breaks && !w.breakItem(r) {
		answer = well
	}
	w.inFlight = slices.DeleteFunc(w.inFlight, func(other *read) bool { return other == r })
	w.tracef("read %d ends, %v", r.id, [...]string{"well", "with an error", "broken", "in a panic"}[answer])
	if !r.abandoned {
		for x, i := range w.items {
			if p := r.pos[x]; w.wiped && w.sawMarker && r.covers(x) && p >= 0 && i.rows[p].state == absent {
				r.maybe, r.vanished[x] = true, w.knewLive(r, x)
			}
		}
		r.failed = answer == fails || answer == panics || answer == breaks && !r.maybe
		w.finish(r, now)
		if w.outage && answer == fails && !w.mustNotify {
			w.mustNotify, w.mustNotifyBy = true, now.mono+w.subject.NotifyWithin
		}
		return answer
	}
	w.races.hit("an abandoned read ends late")
	if w.inProgress(r.kind, r.item) != nil {
		w.races.hit("an abandoned read ends during the next read")
	}
	return answer
}

// breakItem breaks the JSON of the first item of the result. It returns false if there is none.
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

// sweep ends the reads that have reached the time limit by now.
func (w *world) sweep(now stamp) {
	for _, r := range w.inFlight {
		if !r.done && now.mono-r.begin.mono >= readLimit {
			r.abandoned, r.failed = true, true
			w.tracef("read %d is past its limit", r.id)
			w.races.hit("a read is abandoned")
			w.finish(r, now)
			w.suspect(true)
		}
	}
}

// suspect records whether the table seems to be unreachable, by a slow read or by a check.
func (w *world) suspect(unreachable bool) {
	w.suspected = w.suspected && unreachable
	w.unreachable = unreachable && !w.subject.NoStatus
	for _, c := range w.calls {
		for x := range c.excused {
			c.excused[x] = c.excused[x] || w.unreachable
		}
	}
}

// finish records the effects of a read that ended or was abandoned, once per read: whether its items can be reached
// again, whether another read overlapped it, and that the waiting calls have one read less to wait for.
func (w *world) finish(r *read, now stamp) {
	r.done, r.end = true, now
	r.freezes[1], r.backs[1], r.wakes[1] = w.freezes, w.backs, w.wakes
	if r.failed || r.maybe {
		w.noteFailure(r, now)
	} else {
		w.sawWell, w.mustNotify = true, false
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

// after reports whether a read certainly started after the cache had detected a failure. The order in which the cache
// detects events of one step, such as several abandoned reads, is not defined.
func (r *read) after(failure stamp) bool { return failure.step < r.begin.step }
