package operate

import (
	"context"
	"fmt"

	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/journal"
)

// Item is what is known of one flag or segment of an environment.
type Item struct {
	Table  string `json:"table"`
	Prefix string `json:"prefix"`
	Kind   string `json:"kind"` // features or segments
	Key    string `json:"key"`
	// LaunchDarkly is the item there; nil means that LaunchDarkly was not asked.
	LaunchDarkly *Side `json:"launchdarkly"`
	Row          Side  `json:"row"`
	// Equal is nil if LaunchDarkly was not asked.
	Equal *bool `json:"equal"`
	// Difference says what differs; it is empty if nothing does.
	Difference string       `json:"difference,omitempty"`
	Journal    Announcement `json:"journal"`
}

// Side is an item in one of the two places.
type Side struct {
	Exists  bool `json:"exists"`
	Deleted bool `json:"deleted"` // it is a tombstone, which clients take for a missing item
	Version int  `json:"version"` // 0 if it is not known
	// State describes the item in words: "on; variation 0 (true) if nothing matches; 2 rules".
	State string `json:"state"`
	JSON  string `json:"-"`
}

// live reports whether clients see the item.
func (s Side) live() bool { return s.Exists && !s.Deleted }

// Announcement says whether the journal announced a row's version.
type Announcement struct {
	// Announced is nil if it is not known: there is no journal, the change is older than those that it lists, or the
	// latest change has no version, as after an invalidation by hand.
	Announced *bool  `json:"announced"`
	Seq       int64  `json:"seq,omitempty"` // the number of the item's latest change in the journal
	Words     string `json:"words"`
}

// FindItem reads an item's row and its journal's row in a region: two reads. LaunchDarkly's items, if they were
// fetched, are compared with the row; nil means that they were not.
func FindItem(
	ctx context.Context, e *table.Environment, region, kind, key string, launchDarkly []table.Collection,
) (*Item, error) {
	found := &Item{Table: e.Table, Prefix: e.Prefix, Kind: kind, Key: key}
	row, err := e.ReadRow(ctx, kind, key)
	if err != nil {
		return nil, err
	}
	if row != nil {
		item, err := table.ParseRow(row)
		if found.Row = newSide(kind, item); err != nil {
			found.Row.State = "unreadable: " + err.Error()
		}
	} else {
		found.Row.State = missing
	}
	if launchDarkly != nil {
		found.LaunchDarkly = &Side{State: missing}
		for _, c := range launchDarkly {
			for _, i := range c.Items {
				if c.Kind == kind && i.Key == key {
					*found.LaunchDarkly = newSide(kind, i)
				}
			}
		}
		found.Difference = difference(*found.LaunchDarkly, found.Row)
		equal := found.Difference == ""
		found.Equal = &equal
	}
	c, err := journal.Read(ctx, e.Client, e.Table, e.Prefix, region)
	if err != nil {
		return nil, err
	}
	found.Journal = announcement(c, kind, key, found.Row)
	return found, nil
}

const missing = "missing"

func newSide(kind string, i table.Item) Side {
	s := Side{Exists: true, Deleted: i.IsTombstone(), Version: max(i.Version, 0), JSON: i.JSON}
	if s.State = describe(kind, i.JSON); s.Deleted {
		s.State = "deleted: a tombstone, which clients take for a missing item"
	}
	return s
}

// difference says how an item's row differs from LaunchDarkly; empty if clients of both see the same.
func difference(there, row Side) string {
	switch {
	case !there.live() && !row.live():
		return ""
	case !row.live():
		return "the table lacks it"
	case !there.live():
		return "LaunchDarkly does not have it; the next sync removes it from the table"
	case row.Version < there.Version:
		return "the table is older"
	case row.Version > there.Version:
		return "the table is newer: LaunchDarkly's stream lags, or its environment was re-created, " +
			"and a sync holds it back without --force"
	case !table.SameJSON(there.JSON, row.JSON):
		return "the versions are equal and the content differs"
	}
	return ""
}

// announcement describes what a journal (nil: none) has of an item's row. The latest of its changes counts.
func announcement(c *journal.Content, kind, key string, row Side) Announcement {
	if c == nil {
		return Announcement{Words: "there is no journal: no change was announced yet, or it is switched off"}
	}
	for i := len(c.Changes) - 1; i >= 0; i-- {
		change := c.Changes[i]
		if change.Kind != kind || change.Key != key {
			continue
		}
		a := Announcement{Seq: c.Seq - int64(len(c.Changes)-1-i)}
		what := fmt.Sprintf("change %d of %d", a.Seq, c.Seq)
		if change.Version == 0 && !change.Deleted {
			a.Words = "a change of unknown version is announced: " + what
			return a
		}
		yes := change.Deleted == !row.live() && (change.Version == row.Version || change.Version == 0)
		switch a.Announced = &yes; {
		case yes && change.Deleted:
			a.Words = "its deletion is announced: " + what
		case yes:
			a.Words = fmt.Sprintf("version %d is announced: %s", row.Version, what)
		case change.Deleted:
			a.Words = "the row is not announced yet: the latest is its deletion, " + what
		default:
			a.Words = fmt.Sprintf("the row is not announced yet: the latest is version %d, %s", change.Version, what)
		}
		return a
	}
	return Announcement{Words: fmt.Sprintf("not among the latest %d of %d changes", len(c.Changes), c.Seq)}
}
