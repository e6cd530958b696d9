package flagsync

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/warmflags/warmflags/internal/emf"
	"github.com/warmflags/warmflags/internal/table"
)

// One line a sync says all that is known about it, to people and, as it is in CloudWatch's embedded metric format, to
// alarms. There is no line for an item, and none for a try: an environment of thousands of flags that is synced every
// few minutes must not drown what somebody looks for.

// keysLogged bounds the keys that a list adds to the log line: Lambda cuts a line at 256 KB, and people sooner.
const keysLogged = 20

// log writes the one line of a sync, which CloudWatch also reads as metrics, told apart by the function's name and the
// dimension Prefix.
func (s *Syncer) log(ctx context.Context, b *resultBuilder, err error) {
	r := b.result()
	took := b.took // without the time that it lingered: that would say nothing about how soon a change was there
	if err != nil || took == 0 {
		took = time.Since(b.start)
	}
	level, message := slog.LevelInfo, "flags synced"
	switch {
	case err != nil:
		level, message = slog.LevelError, "flags not synced"
	case s.dryRun:
		message = "flags compared"
	case len(r.Refused)+len(r.HeldBack)+len(r.Unparsable) > 0:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("table", s.environment.Table), slog.String("prefix", s.environment.Prefix),
		slog.Int64("fencing_token", r.Token)}
	for _, list := range []struct {
		name  string
		items []table.Entry
	}{
		{"added", r.Added}, {"updated", r.Updated}, {"removed", r.Removed},
		{"refused", r.Refused}, {"held_back", r.HeldBack}, {"kept", r.Kept}, {"unparsable", r.Unparsable},
	} {
		attrs = append(attrs, keyAttrs(list.name, list.items)...)
	}
	if r.Ignored > 0 {
		attrs = append(attrs, slog.Int("ignored_events", r.Ignored))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	if !s.dryRun { // which is a question, and must not look like a sync that nothing came of
		attrs = append(attrs, counts(r, err)...)
		attrs = append(attrs,
			emf.Attrs(time.Now(), s.dimensions(), []emf.Metric{emf.Milliseconds("SyncDuration", took)})...)
	}
	emf.Log(ctx, s.logger, level, message, attrs...)
}

// keyAttrs are the first keys of a list, with the reason if there is one, and how many more there are.
func keyAttrs(list string, items []table.Entry) (attrs []slog.Attr) {
	if len(items) == 0 {
		return nil
	}
	var keys []string
	for _, i := range items[:min(len(items), keysLogged)] {
		key := i.Kind + "/" + i.Key
		if i.Reason != "" {
			key += ": " + i.Reason
		}
		keys = append(keys, key)
	}
	attrs = append(attrs, slog.Any(list, keys))
	if more := len(items) - len(keys); more > 0 {
		attrs = append(attrs, slog.Int(list+"_more", more))
	}
	return attrs
}

// dimensions tell the metrics of one stack's environment from all others'.
func (s *Syncer) dimensions() []emf.Dimension {
	return append(emf.Function(), emf.Dimension{Name: "Prefix", Value: s.environment.Prefix})
}

// counts returns the numbers of a sync as fields of its line. Those that are mostly 0 are there too, so that a query
// finds each in every line. Of a sync that failed, items are counted as they were found to differ: that says how much
// a guard holds. docs/syncing.md explains the names.
func counts(r Result, err error) []slog.Attr {
	is := func(name string, target error) slog.Attr { return slog.Int(name, boolToInt(errors.Is(err, target))) }
	return []slog.Attr{
		slog.Int("ItemsAdded", len(r.Added)), slog.Int("ItemsUpdated", len(r.Updated)),
		slog.Int("ItemsRemoved", len(r.Removed)),
		slog.Int("ItemsUnchanged", len(r.Unchanged)), slog.Int("ItemsRefused", len(r.Refused)),
		slog.Int("ItemsHeldBack", len(r.HeldBack)), slog.Int("ItemsKept", len(r.Kept)),
		is("GuardEmpty", errEmpty), is("GuardRemovals", errRemovals),
		is("TokensLost", table.ErrTokenLost), is("KeysRefused", ErrUnauthorized),
		slog.Int("SyncFailures", boolToInt(err != nil)), slog.Int("SyncTransactions", r.Transactions),
	}
}

// boolToInt returns 1 for true: in CloudWatch, the sum of them is a count.
func boolToInt(is bool) int {
	if is {
		return 1
	}
	return 0
}
