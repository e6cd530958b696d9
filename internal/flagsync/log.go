package flagsync

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/warmflags/warmflags/internal/emf"
	"github.com/warmflags/warmflags/internal/table"
)

// A sync logs one line with everything about it. The line is in CloudWatch's embedded metric format, so that alarms
// can use it. There is no line per item or per attempt: an environment with thousands of flags that is synced every
// few minutes must not flood the log.

// keysLogged bounds the number of keys that a list adds to the log line. Lambda truncates a line at 256 KB, and a
// line must stay readable.
const keysLogged = 20

// log writes the line of a sync. CloudWatch reads metrics from it, with the function's name and the prefix as
// dimensions.
func (s *Syncer) log(ctx context.Context, b *resultBuilder, err error) {
	r := b.result()
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
	if !s.dryRun { // a dry run must not count as a sync
		attrs = append(attrs, counts(r, err)...)
	}
	if !s.dryRun && err == nil {
		took := b.took // without the time that the sync lingered: the metric is the time until the payload was written
		if took == 0 {
			took = time.Since(b.start)
		}
		attrs = append(attrs,
			emf.Attrs(time.Now(), s.dimensions(), []emf.Metric{emf.Milliseconds("SyncDuration", took)})...)
	}
	emf.Log(ctx, s.logger, level, message, attrs...)
}

// keyAttrs returns attributes with the first keys of a list, each with its reason if there is one, and the number of
// further keys.
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

// dimensions returns the dimensions that identify an environment of one stack.
func (s *Syncer) dimensions() []emf.Dimension {
	return append(emf.Function(), emf.Dimension{Name: "Prefix", Value: s.environment.Prefix})
}

// counts returns the counts of a sync as attributes of its line, including zeros, so that a query finds each count in
// every line. For a sync that failed, the items are counted as the comparison found them, so that the line says how
// much a guard holds. docs/syncing.md explains the names.
func counts(r Result, err error) []slog.Attr {
	is := func(name string, target error) slog.Attr { return slog.Int(name, boolToInt(errors.Is(err, target))) }
	return []slog.Attr{
		slog.Int("ItemsAdded", len(r.Added)), slog.Int("ItemsUpdated", len(r.Updated)),
		slog.Int("ItemsRemoved", len(r.Removed)),
		slog.Int("ItemsUnchanged", len(r.Unchanged)), slog.Int("ItemsRefused", len(r.Refused)),
		slog.Int("ItemsHeldBack", len(r.HeldBack)), slog.Int("ItemsKept", len(r.Kept)),
		slog.Int("ItemsUnparsable", len(r.Unparsable)),
		is("GuardEmpty", errEmpty), is("GuardRemovals", errRemovals),
		is("TokensLost", table.ErrTokenLost), is("KeysRefused", ErrUnauthorized),
		slog.Int("SyncFailures", boolToInt(err != nil)), slog.Int("SyncTransactions", r.Transactions),
	}
}

// boolToInt returns 1 for true and 0 for false: in CloudWatch, the sum is a count.
func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
