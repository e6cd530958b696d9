package flagsync

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/warmflags/warmflags/internal/table"
)

// Result is what a sync did. Each item is in one list; each list is in the order of kind and key.
type Result struct {
	// Token is the sync's fencing token; 0 in a dry run.
	Token int64
	// Added, Updated and Removed were written (in a dry run: would be).
	Added, Updated, Removed []table.Entry
	// Unchanged items were equal already.
	Unchanged []table.Entry
	// Refused items do not fit into DynamoDB, or lack a key or a version. Their rows, if any, are as they were.
	Refused []table.Entry
	// Unparsable items were written (in a dry run: would be), but LaunchDarkly's evaluator for Go cannot parse them.
	Unparsable []table.Entry
	// HeldBack items have a lower version than the table's; see [Force].
	HeldBack []table.Entry
	// Kept items were changed by another program during the sync, to a version at least as high.
	Kept []table.Entry
	// Marker is true when LaunchDarkly's $inited marker was missing and was written (in a dry run: would be).
	Marker bool
	// Ignored is the number of the stream's events that were not for flags and segments, or came before its put.
	Ignored int
	// Transactions is the number of writes besides the fencing token.
	Transactions int
}

// Changed says whether the table differed in anything that was written (in a dry run: would be).
func (r Result) Changed() bool { return r.Marker || len(r.Added)+len(r.Updated)+len(r.Removed) > 0 }

// tally gathers the Result of a sync that compares and writes more than once: the payload first, then late patches. An item
// has one fate in it, so that each is in one list of the Result. It belongs to the sync's goroutine.
type tally struct {
	start        time.Time
	took         time.Duration // from start until the first payload was written; 0: it was not
	token        int64
	transactions int
	marker       bool
	fates        map[name]fate
	unparsable   map[name]table.Entry
	ignored      int
}

// name is an item's place in the table, without the prefix.
type name struct{ kind, key string }

// fate is what became of an item so far, as it was when that was found.
type fate struct {
	verdict verdict
	item    table.Entry
}

// verdict is the list of the Result that an item ends up in.
type verdict int

const (
	unchanged verdict = iota
	added             // from here on: written, or in a dry run to be written
	updated
	removed
	refused // from here on: not written
	heldBack
	kept
)

func newTally() *tally {
	return &tally{start: time.Now(), fates: map[name]fate{}, unparsable: map[name]table.Entry{}}
}

// set gives items a verdict. Of several, the last counts; but what we wrote earlier in the sync, and now find
// unchanged, is still ours.
func (t *tally) set(v verdict, items []table.Entry) {
	for _, i := range items {
		n := name{i.Kind, i.Key}
		was, seen := t.fates[n]
		if seen && v == unchanged && was.verdict != refused && was.verdict != heldBack {
			continue // it is unchanged since our own write
		}
		now := v
		if seen && v == updated && was.verdict == added {
			now = added // new to the table as a whole
		}
		t.fates[n] = fate{now, i}
	}
}

// compared notes how the table differs. The writes are taken for made: when Write fails, the Result says what was found.
func (t *tally) compared(d *table.Difference, force bool) {
	t.marker = t.marker || d.Marker
	t.set(unchanged, d.Unchanged)
	t.set(added, d.Added)
	t.set(updated, d.Updated)
	t.set(removed, d.Removed)
	t.set(refused, d.Refused)
	written := slices.Concat(d.Added, d.Updated)
	if force {
		t.set(updated, d.Lower)
		written = append(written, d.Lower...)
	} else {
		t.set(heldBack, d.Lower)
	}
	for _, e := range written {
		delete(t.unparsable, name{e.Kind, e.Key}) // an earlier form of it
	}
	for _, e := range unparsable(written) {
		t.unparsable[name{e.Kind, e.Key}] = e
	}
}

// written notes what a Write did, also one that failed part way. It comes after compared: what was kept was not written.
func (t *tally) written(w table.Written) {
	if t.took == 0 {
		t.took = time.Since(t.start)
	}
	t.transactions += w.Transactions
	t.set(kept, w.Kept)
}

// result sorts the fates into lists. The tally can go on after it.
func (t *tally) result() Result {
	r := Result{
		Token: t.token, Marker: t.marker, Transactions: t.transactions, Ignored: t.ignored,
		Unparsable: slices.Collect(maps.Values(t.unparsable)),
	}
	lists := map[verdict]*[]table.Entry{
		unchanged: &r.Unchanged, added: &r.Added, updated: &r.Updated, removed: &r.Removed,
		refused: &r.Refused, heldBack: &r.HeldBack, kept: &r.Kept,
	}
	sorted := slices.Concat(slices.Collect(maps.Values(lists)), []*[]table.Entry{&r.Unparsable})
	for _, f := range t.fates {
		list := lists[f.verdict]
		*list = append(*list, f.item)
	}
	for _, list := range sorted {
		slices.SortFunc(*list, func(a, b table.Entry) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
		})
	}
	return r
}
