package flagsync

import (
	"errors"
	"fmt"

	"github.com/warmflags/warmflags/internal/table"
)

// ErrGuard is the cause of [Syncer.Sync]'s error when a payload looks wrong. Nothing of it was written. Look at
// the environment in LaunchDarkly; if the payload is right, sync once with [Force].
var ErrGuard = errors.New("the payload looks wrong; if it is right, sync once with force")

// The guards, told apart for their metrics.
var (
	errEmpty    = fmt.Errorf("LaunchDarkly's payload has no flags: %w", ErrGuard)
	errRemovals = fmt.Errorf("that is too many: %w", ErrGuard)
)

// A payload may always remove this many items of a kind; of more, no more than a share.
const (
	removalsAllowed = 10
	defaultRemovals = 1.0 / 3
)

// MaxRemovals is the share of a kind's items that a payload may remove without [Force], where it removes more than
// 10. Default, and 0: a third. 1: all of them, so that only the guard for an empty payload is left. Negative, or
// above 1: an error.
func MaxRemovals(share float64) Option {
	return func(o *options) {
		if !(share >= 0 && share <= 1) { // nor NaN
			o.problems = append(o.problems, fmt.Errorf("option MaxRemovals is %v: it must be from 0 to 1", share))
		} else if share > 0 {
			o.removals = share
		}
	}
}

// guard refuses payloads that are more likely an accident (a wrong key, a wrong project, a broken proxy) than a
// change. It refuses a payload as a whole, because the items that it has are no more trustworthy than those that it
// lacks. Deletions that the stream sends one by one are not counted: a person made each of them.
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
	// The share is of what the table has now: of all items that have a row. Refused items are not counted, though they
	// may have rows.
	for _, list := range [][]table.Entry{d.Updated, d.Unchanged, d.Lower} {
		for _, i := range list {
			rows[i.Kind]++
		}
	}
	// an environment without flags over a table without flags is written
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
