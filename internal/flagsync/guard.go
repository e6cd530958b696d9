package flagsync

import (
	"errors"
	"fmt"

	"github.com/warmflags/warmflags/internal/table"
)

// ErrGuard is the cause of [Syncer.Sync]'s error if a payload looks wrong. None of the payload was written. Check the
// environment in LaunchDarkly; if the payload is right, sync once with [Force].
var ErrGuard = errors.New("the payload looks wrong; if it is right, sync once with force")

// The guards. Each has an error of its own, for its metric.
var (
	errEmpty    = fmt.Errorf("LaunchDarkly's payload has no flags: %w", ErrGuard)
	errRemovals = fmt.Errorf("that is too many: %w", ErrGuard)
)

// A payload may always remove removalsAllowed items of a kind. It may remove more only up to a share of the items, by
// default defaultRemovals.
const (
	removalsAllowed = 10
	defaultRemovals = 1.0 / 3
)

// MaxRemovals sets the share of a kind's items that a payload may remove without [Force]. It applies to payloads that
// remove more than 10 items of the kind. Default, and 0: a third. 1: all items, which leaves only the guard against
// an empty payload. Negative, or above 1: an error.
func MaxRemovals(share float64) Option {
	return func(o *options) {
		if !(share >= 0 && share <= 1) { // also true for NaN
			o.problems = append(o.problems, fmt.Errorf("option MaxRemovals is %v: it must be from 0 to 1", share))
		} else if share > 0 {
			o.removals = share
		}
	}
}

// guard returns an error if a payload is more likely an accident (a wrong key, a wrong project, a broken proxy) than
// a change. It refuses the whole payload, because the items in such a payload cannot be trusted either. Deletions
// that the stream sends one by one are not counted: a person made each of them.
func guard(data []table.Collection, d *table.Difference, share float64) error {
	flags := 0
	for _, c := range data {
		if c.Kind == features {
			flags += len(c.Items)
		}
	}
	removed, rows := map[string]int{}, map[string]int{}
	for _, i := range d.Removed {
		if !i.Deleted { // removing a tombstone changes nothing for readers
			removed[i.Kind]++
			rows[i.Kind]++
		}
	}
	// The share is relative to the items that have a row now. Refused items are not counted, although they may have
	// rows.
	for _, list := range [][]table.Entry{d.Updated, d.Unchanged, d.Lower} {
		for _, i := range list {
			rows[i.Kind]++
		}
	}
	// An empty payload is written if the table has no flags either.
	if flags == 0 && rows[features]+removed[segments] > 0 {
		return errEmpty
	}
	for _, c := range data {
		kind := c.Kind
		if n := removed[kind]; n > removalsAllowed && float64(n)/float64(rows[kind]) > share {
			return fmt.Errorf("LaunchDarkly's payload lacks %d of the %d items of kind %q in the table: %w", n,
				rows[kind], kind, errRemovals)
		}
	}
	return nil
}
