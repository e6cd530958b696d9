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

// resultBuilder gathers the Result of a sync that compares and writes more than once: the payload first, then late
// patches. Each item has one outcome, so that it is in one list of the Result. It belongs to the sync's goroutine.
type resultBuilder struct {
	start        time.Time
	took         time.Duration // from start until the first payload was written; 0: it was not
	token        int64
	transactions int
	marker       bool
	outcomes     map[name]outcome
	unparsable   map[name]table.Entry
	ignored      int
}

// name is an item's place in the table, without the prefix.
type name struct{ kind, key string }

// outcome is what became of an item so far, with the item as it was then.
type outcome struct {
	list list
	item table.Entry
}

// list is a list of the Result.
type list int

const (
	unchanged list = iota
	added          // from here on: written, or in a dry run to be written
	updated
	removed
	refused // from here on: not written
	heldBack
	kept
)

func newResultBuilder() *resultBuilder {
	return &resultBuilder{start: time.Now(), outcomes: map[name]outcome{}, unparsable: map[name]table.Entry{}}
}

// set puts items into a list. Of several lists the last counts, except that an item that was written earlier in the
// sync, and is now unchanged, stays written.
func (b *resultBuilder) set(to list, items []table.Entry) {
	for _, i := range items {
		n := name{i.Kind, i.Key}
		was, seen := b.outcomes[n]
		if seen && to == unchanged && was.list != refused && was.list != heldBack {
			continue // it is unchanged since our own write
		}
		now := to
		if seen && to == updated && was.list == added {
			now = added // new to the table as a whole
		}
		b.outcomes[n] = outcome{now, i}
	}
}

// compared notes how the table differs. The writes are taken for made: when Write fails, the Result says what was
// found.
func (b *resultBuilder) compared(d *table.Difference, force bool) {
	b.marker = b.marker || d.Marker
	b.set(unchanged, d.Unchanged)
	b.set(added, d.Added)
	b.set(updated, d.Updated)
	b.set(removed, d.Removed)
	b.set(refused, d.Refused)
	written := slices.Concat(d.Added, d.Updated)
	if force {
		b.set(updated, d.Lower)
		written = append(written, d.Lower...)
	} else {
		b.set(heldBack, d.Lower)
	}
	for _, e := range written {
		delete(b.unparsable, name{e.Kind, e.Key}) // an earlier form of it
	}
	for _, e := range unparsable(written) {
		b.unparsable[name{e.Kind, e.Key}] = e
	}
}

// written notes what a Write did, also one that failed part way. It comes after compared: what was kept was not
// written.
func (b *resultBuilder) written(w table.Written) {
	if b.took == 0 {
		b.took = time.Since(b.start)
	}
	b.transactions += w.Transactions
	b.set(kept, w.Kept)
}

// result sorts the fates into lists. The resultBuilder can go on after it.
func (b *resultBuilder) result() Result {
	r := Result{
		Token: b.token, Marker: b.marker, Transactions: b.transactions, Ignored: b.ignored,
		Unparsable: slices.Collect(maps.Values(b.unparsable)),
	}
	lists := map[list]*[]table.Entry{
		unchanged: &r.Unchanged, added: &r.Added, updated: &r.Updated, removed: &r.Removed,
		refused: &r.Refused, heldBack: &r.HeldBack, kept: &r.Kept,
	}
	sorted := slices.Concat(slices.Collect(maps.Values(lists)), []*[]table.Entry{&r.Unparsable})
	for _, f := range b.outcomes {
		l := lists[f.list]
		*l = append(*l, f.item)
	}
	for _, l := range sorted {
		slices.SortFunc(*l, func(a, b table.Entry) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
		})
	}
	return r
}
