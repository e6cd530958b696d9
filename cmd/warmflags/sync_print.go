package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
)

// syncReport is what one sync prints, also one that failed.
type syncReport struct {
	table, prefix string
	dryRun        bool
	flagsync.Result
	err error
}

// allWritten reports whether every change was written. After a failure, which of them were is not known.
func (r *syncReport) allWritten() bool { return r.err == nil && !r.dryRun }

// nothingWritten reports whether the changes are only what would have been written.
func (r *syncReport) nothingWritten() bool { return r.dryRun || r.err != nil && r.Transactions == 0 }

// line is one change as it is printed.
type line struct {
	Time   *time.Time `json:"time,omitempty"` // of a watch
	Change string     `json:"change"`         // add, update, remove; not written: held_back, refused, kept; unparsable
	Kind   string     `json:"kind"`
	Key    string     `json:"key"`
	From   *int       `json:"from"` // the table's version; null: no row
	To     *int       `json:"to"`   // LaunchDarkly's; null: it is not there
	Reason string     `json:"reason,omitempty"`
	Diff   []edit     `json:"diff,omitempty"` // of a dry run: what would change in the item's JSON
}

// lines returns a result's changes and what was not written, each list in the order of kind and key, without unchanged
// items.
func lines(r flagsync.Result, withDiff bool) []line {
	all := []line{}
	for _, list := range []struct {
		change string
		items  []table.Entry
		reason string
	}{
		{"add", r.Added, ""}, {"update", r.Updated, ""}, {"remove", r.Removed, ""},
		{"held_back", r.HeldBack, "its version is lower than the table's; --force writes it"},
		{"refused", r.Refused, ""}, {"kept", r.Kept, "another program wrote a newer one meanwhile"},
		{"unparsable", r.Unparsable, "it was written, but Go clients serve its last known value or the default: "},
	} {
		for _, i := range list.items {
			l := line{
				Change: list.change, Kind: i.Kind, Key: i.Key, From: known(i.Was), To: known(i.Version),
				Reason: list.reason + i.Reason,
			}
			if i.Deleted && l.To != nil && l.Reason == "" {
				l.Reason = "as deleted"
			}
			if withDiff && i.Old != "" && i.New != "" {
				l.Diff = diffJSON(i.Old, i.New)
			}
			all = append(all, l)
		}
	}
	if r.Marker && changed(r) == 0 { // a changed environment gets its marker too
		all = append(all, line{
			Change: "add", Kind: "$inited", Key: "$inited", Reason: "the marker without which clients wait",
		})
	}
	return all
}

func changed(r flagsync.Result) int { return len(r.Added) + len(r.Updated) + len(r.Removed) }

// known is nil for the version of what is not there.
func known(version int) *int {
	if version < 0 {
		return nil
	}
	return &version
}

func orDash(v *int) string {
	if v == nil {
		return "-"
	}
	return strconv.Itoa(*v)
}

// words are the changes as people read them: what was done, what would be done, or what was to be done, of which a
// part was done.
var (
	words = map[string]string{
		"add": "added", "update": "updated", "remove": "removed",
		"held_back": "held back", "refused": "refused", "kept": "kept", "unparsable": "unparsable",
	}
	unsaved = map[string]string{
		"add": "would add", "update": "would update", "remove": "would remove",
		"held_back": "held back", "refused": "refused", "kept": "kept", "unparsable": "unparsable",
	}
	unfinished = map[string]string{
		"add": "to add", "update": "to update", "remove": "to remove",
		"held_back": "held back", "refused": "refused", "kept": "kept",
	}
)

// print prints the report. Rows that were not written are never printed as if they were.
func (r *syncReport) print(out io.Writer, json bool) error {
	changes := lines(r.Result, r.dryRun)
	if json {
		report := map[string]any{
			"table":         r.table,
			"prefix":        r.prefix,
			"dry_run":       r.dryRun,
			"written":       r.allWritten(),
			"fencing_token": r.Token,
			"transactions":  r.Transactions,
			"changes":       changes,
			"unchanged":     len(r.Unchanged),
			"held_back":     len(r.HeldBack),
			"refused":       len(r.Refused),
			"kept":          len(r.Kept),
		}
		if r.err != nil {
			report["error"] = r.err.Error()
		}
		return printJSON(out, report)
	}
	if len(changes) > 0 {
		done := unfinished
		switch {
		case r.allWritten():
			done = words
		case r.nothingWritten():
			done = unsaved
		}
		columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(columns, "CHANGE\tKIND\tKEY\tFROM\tTO\t")
		for _, l := range changes {
			_, _ = fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\t%s\n",
				done[l.Change], l.Kind, l.Key, orDash(l.From), orDash(l.To), l.Reason)
		}
		if err := columns.Flush(); err != nil {
			return err
		}
		for _, l := range changes {
			if len(l.Diff) > 0 {
				_, _ = fmt.Fprintf(out, "\n%s/%s\n", l.Kind, l.Key)
				printDiff(out, l.Diff)
			}
		}
	}
	if len(changes) == 0 && r.err != nil { // it failed before it knew what differs
		return nil
	}
	_, err := fmt.Fprintln(out, r.summary())
	return err
}

// summary counts what was written, or would be, and what was not.
func (r *syncReport) summary() string {
	written := changed(r.Result)
	if r.Marker && written == 0 {
		written = 1
	}
	text := ""
	switch {
	case r.nothingWritten():
		text = fmt.Sprintf("nothing was written: %d would change, %d unchanged", written, len(r.Unchanged))
	case r.err != nil:
		text = fmt.Sprintf("only a part was written, in %s: %d to change, %d unchanged",
			operate.Count(r.Transactions, "transaction"), written, len(r.Unchanged))
	default:
		text = fmt.Sprintf("%d changed, %d unchanged", written, len(r.Unchanged))
	}
	for _, list := range []struct {
		n    int
		name string
	}{{len(r.HeldBack), "held back (--force writes them)"}, {len(r.Refused), "refused"}, {len(r.Kept), "kept"}} {
		if list.n > 0 {
			text += fmt.Sprintf(", %d %s", list.n, list.name)
		}
	}
	return text
}
