package flagsync

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/warmflags/warmflags/internal/table"
)

// Result is the result of a sync. Each item is in one list. Each list is sorted by kind and key.
type Result struct {
	// Token is the sync's fencing token; 0 in a dry run.
	Token int64
	// Added, Updated and Removed items were written (in a dry run: would be written).
	Added, Updated, Removed []table.Entry
	// Unchanged items were already equal.
	Unchanged []table.Entry
	// Refused items do not fit into DynamoDB, or lack a key or a version. Their rows, if any, are unchanged.
	Refused []table.Entry
	// Unparsable items were written (in a dry run: would be written), but LaunchDarkly's evaluator for Go cannot
	// parse them.
	Unparsable []table.Entry
	// HeldBack items have a lower version than the table's; see [Force].
	HeldBack []table.Entry
	// Kept items were not written, because another program wrote a version at least as high during the sync.
	Kept []table.Entry
	// Marker is true if LaunchDarkly's $inited marker was missing and was written (in a dry run: would be written).
	Marker bool
	// Ignored is the number of stream events that were about neither flags nor segments, or came before the put.
	Ignored int
	// Transactions is the number of transactions that wrote items. The fencing token is not included.
	Transactions int
	// Whole is true if the whole environment was compared, and not only patches.
	Whole bool
}

// Changed reports whether the sync wrote any item or the marker (in a dry run: would write).
func (r Result) Changed() bool { return r.Marker || len(r.Added)+len(r.Updated)+len(r.Removed) > 0 }

// resultBuilder builds the Result of a sync that compares and writes several times: first the payload, then late
// patches. It keeps one outcome per item, so that each item is in one list of the Result. Only the sync's goroutine
// uses it.
type resultBuilder struct {
	start        time.Time
	took         time.Duration // from start until the first payload was written; 0 if it was not
	token        int64
	transactions int
	marker       bool
	whole        bool // a whole environment was compared
	outcomes     map[name]outcome
	unparsable   map[name]table.Entry
	ignored      int
}

// name identifies an item in the table, without the prefix.
type name struct{ kind, key string }

// outcome is an item's list so far, with the item's entry.
type outcome struct {
	list list
	item table.Entry
}

// list is a list of the Result.
type list int

const (
	unchanged list = iota
	added          // added, updated and removed: written, or in a dry run would be written
	updated
	removed
	refused // refused, heldBack and kept: not written
	heldBack
	kept
)

func newResultBuilder() *resultBuilder {
	return &resultBuilder{start: time.Now(), outcomes: map[name]outcome{}, unparsable: map[name]table.Entry{}}
}

// set puts items into a list. The last call for an item counts, except that an item that the sync wrote earlier, and
// that is now unchanged, stays in its list.
func (b *resultBuilder) set(to list, items []table.Entry) {
	for _, i := range items {
		n := name{i.Kind, i.Key}
		was, seen := b.outcomes[n]
		if seen && to == unchanged && was.list != refused && was.list != heldBack {
			continue // unchanged since this sync wrote it
		}
		now := to
		if seen && to == updated && was.list == added {
			now = added // the row did not exist before the sync
		}
		b.outcomes[n] = outcome{now, i}
	}
}

// compared records a difference, as if all of it were written. If Write fails, the Result thus has the differences
// that were found.
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
		delete(b.unparsable, name{e.Kind, e.Key}) // the item's earlier JSON no longer counts
	}
	for _, e := range unparsable(written) {
		b.unparsable[name{e.Kind, e.Key}] = e
	}
}

// written records the result of a Write, also of one that failed half-way. It must be called after compared, because
// it moves kept items to their list.
func (b *resultBuilder) written(w table.Written) {
	if b.took == 0 {
		b.took = time.Since(b.start)
	}
	b.transactions += w.Transactions
	b.set(kept, w.Kept)
}

// result returns the Result so far.
func (b *resultBuilder) result() Result {
	r := Result{
		Token: b.token, Marker: b.marker, Whole: b.whole, Transactions: b.transactions, Ignored: b.ignored,
		Unparsable: slices.Collect(maps.Values(b.unparsable)),
	}
	lists := map[list]*[]table.Entry{
		unchanged: &r.Unchanged, added: &r.Added, updated: &r.Updated, removed: &r.Removed,
		refused: &r.Refused, heldBack: &r.HeldBack, kept: &r.Kept,
	}
	sorted := slices.Concat(slices.Collect(maps.Values(lists)), []*[]table.Entry{&r.Unparsable})
	for _, o := range b.outcomes {
		l := lists[o.list]
		*l = append(*l, o.item)
	}
	for _, l := range sorted {
		slices.SortFunc(*l, func(a, b table.Entry) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
		})
	}
	return r
}
