package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/streamhandler"
)

// ErrUnknownItem is the cause of [Invalidation.Check]'s error when the table does not have what is to be invalidated.
var ErrUnknownItem = errors.New("not in the table")

// Invalidation makes every consumer of an environment read items again: those that have a subscription and those that
// follow the journal. All fields but Prefix, Changes and Copies are required. It is not changed by its methods.
type Invalidation struct {
	Environment *table.Environment
	Journal     journal.WriteAPI
	Topic       streamhandler.Publisher
	TopicARN    string
	Region      string // of the table
	// Copies is the number of the journal's copies. Zero: the journal is switched off, and what is left of one is
	// removed.
	Copies int
	// Changes are the items. Empty: everything in the environment.
	Changes []change.Change
}

// Invalidated is what an [Invalidation] did.
type Invalidated struct {
	// Messages are what the topic has.
	Messages []change.Message
	// Journal is true if the journal was written, or removed where it is switched off.
	Journal bool
}

// ParseItems reads texts of the form "KEY" or "KIND/KEY" as changes of unknown version, each item once. A KEY is a
// segment's if segments is true, and else a flag's. The error names everything that is wrong.
func ParseItems(texts []string, segments bool) ([]change.Change, error) {
	var changes []change.Change
	var problems []error
	seen := map[change.Change]bool{}
	for _, text := range texts {
		kind, key, found := strings.Cut(text, "/")
		if !found {
			kind, key = change.KindFeatures, text
			if segments {
				kind = change.KindSegments
			}
		}
		c := change.Change{Kind: kind, Key: key}
		switch {
		case kind != change.KindFeatures && kind != change.KindSegments:
			problems = append(problems, fmt.Errorf("%q: the kind is %q: use %s or %s", text, kind, change.KindFeatures,
				change.KindSegments))
		case key == "":
			problems = append(problems, fmt.Errorf("%q: the key is empty", text))
		case !seen[c]:
			seen[c] = true
			changes = append(changes, c)
		}
	}
	return changes, errors.Join(problems...)
}

// Check reads the table, and returns an error that wraps [ErrUnknownItem] if it has no row of an item, or, for
// everything, no environment of that prefix.
func (i Invalidation) Check(ctx context.Context) error {
	e := i.Environment
	if len(i.Changes) == 0 {
		for _, marker := range []string{layout.MarkerInited, layout.MarkerSync} {
			if row, err := e.ReadMarker(ctx, marker); err != nil || row != nil {
				return err
			}
		}
		return fmt.Errorf("environment with prefix %q of table %q: %w", e.Prefix, e.Table, ErrUnknownItem)
	}
	var missing []string
	for _, c := range i.Changes {
		row, err := e.ReadRow(ctx, c.Kind, c.Key)
		if err != nil {
			return err
		}
		if row == nil {
			missing = append(missing, fmt.Sprintf("%q", c.Kind+"/"+c.Key))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf(
			"%s of prefix %q and table %q: %w",
			strings.Join(missing, ", "),
			e.Prefix,
			e.Table,
			ErrUnknownItem,
		)
	}
	return nil
}

// Do publishes and then appends to the journal, in the order in which the stream's function does. With an error, the
// first result still says what was done. It can be done again: consumers read what is announced twice, twice.
func (i Invalidation) Do(ctx context.Context) (Invalidated, error) {
	done := Invalidated{}
	writer := &journal.Writer{Client: i.Journal, Table: i.Environment.Table, Region: i.Region, Copies: i.Copies}
	appendOrRemove := writer.AppendOrRemove(i.Copies > 0)
	var err error
	done.Messages, err = streamhandler.Announce(ctx, i.Topic, i.Environment.Prefix, i.Changes,
		streamhandler.TopicARN(i.TopicARN),
		streamhandler.OnPublished(func(ctx context.Context, published []change.Message) error {
			err := appendOrRemove(ctx, published)
			done.Journal = err == nil
			return err
		}))
	if err != nil {
		return done, fmt.Errorf("invalidate prefix %q of table %q: %w", i.Environment.Prefix, i.Environment.Table, err)
	}
	return done, nil
}
