package streamhandler

import (
	"context"
	"log/slog"
	"time"

	"github.com/warmflags/warmflags/internal/emf"
)

// outcome is what became of a batch, for its log line.
type outcome struct {
	messages     []*message
	began, ended time.Time // of announcing
	failure      error
	from         string // the sequence number to go on from after a failure
}

// log writes the batch's one line: counts that are CloudWatch metrics too, never keys or data. Unreadable records are
// named by sequence number.
func (h *Handler) log(ctx context.Context, b *batch, o outcome) {
	level := slog.LevelInfo
	attrs := emf.Attrs(o.ended, emf.Function(), b.metrics(o))
	if len(b.strays) > 0 {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("malformed_sequence_numbers", b.strays))
	}
	if err := refusalOf(o.messages); err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("refusal", err.Error()))
	}
	if o.failure != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", o.failure.Error()), slog.String("retry_from", o.from))
	}
	h.logger.LogAttrs(ctx, level, "stream batch", attrs...)
}

// metrics are the batch's counts, the zeros included, so that an alarm has something to judge.
func (b *batch) metrics(o outcome) []emf.Metric {
	s := b.stats
	count := func(name string, n int) emf.Metric { return emf.Metric{Name: name, Unit: emf.Count, Value: float64(n)} }
	metrics := []emf.Metric{
		count("Records", s.Records), count("Changes", s.Changes), count("Coalesced", s.Coalesced),
		count("UnknownVersion", s.Unknown), count("SkippedOwn", s.Skipped[SkippedOwn]),
		count("SkippedNoItem", s.Skipped[SkippedNoItem]), count("SkippedForeign", s.Skipped[SkippedForeign]),
		count("SkippedMalformed", s.Skipped[SkippedMalformed]), count("Messages", s.Messages),
		count("Refused", s.Refused), count("Failures", s.Failures), {Name: "MessageBytes", Unit: emf.Bytes, Value: float64(s.Bytes)},
	}
	if len(o.messages) > 0 {
		took := o.ended.Sub(o.began)
		metrics = append(metrics, emf.Metric{Name: "PublishLatency", Unit: emf.Milliseconds, Value: float64(took) / float64(time.Millisecond)})
	}
	if !b.oldest.IsZero() { // to the second, and by another clock than this one's
		age := max(o.ended.Sub(b.oldest), 0)
		metrics = append(metrics, emf.Metric{Name: "OldestRecordAge", Unit: emf.Seconds, Value: age.Seconds()})
	}
	return metrics
}

// refusalOf is why SNS refused the first message that it refused, or nil.
func refusalOf(messages []*message) error {
	for _, m := range messages {
		if m.refusal != nil {
			return m.refusal
		}
	}
	return nil
}
