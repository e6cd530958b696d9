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
	emf.Log(ctx, h.logger, level, "stream batch", attrs...)
}

// metrics are the batch's counts, the zeros included, so that an alarm has something to judge.
func (b *batch) metrics(o outcome) []emf.Metric {
	s := b.stats
	metrics := []emf.Metric{
		emf.Count("Records", s.Records), emf.Count("Changes", s.Changes), emf.Count("Coalesced", s.Coalesced),
		emf.Count("UnknownVersion", s.Unknown), emf.Count("SkippedOwn", s.Skipped[SkippedOwn]),
		emf.Count("SkippedNoItem", s.Skipped[SkippedNoItem]), emf.Count("SkippedForeign", s.Skipped[SkippedForeign]),
		emf.Count("SkippedMalformed", s.Skipped[SkippedMalformed]), emf.Count("Messages", s.Messages),
		emf.Count("Refused", s.Refused), emf.Count("Failures", s.Failures), emf.Bytes("MessageBytes", s.Bytes),
	}
	if len(o.messages) > 0 {
		metrics = append(metrics, emf.Milliseconds("PublishLatency", o.ended.Sub(o.began)))
	}
	if !b.oldest.IsZero() { // to the second, and by another clock than this one's
		metrics = append(metrics, emf.Seconds("OldestRecordAge", max(o.ended.Sub(b.oldest), 0)))
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
