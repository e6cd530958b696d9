package streamhandler

import (
	"context"
	"log/slog"
	"time"

	"github.com/warmflags/warmflags/internal/emf"
)

// outcome is the result of a batch, for its log line.
type outcome struct {
	messages     []*message
	began, ended time.Time // of publishing and passing on
	failure      error
	from         string // the sequence number to continue from after a failure
}

// log writes one line for the batch. The line has counts, some of which CloudWatch turns into metrics, and the sequence
// numbers of malformed records. It never has keys or flag data.
func (h *Handler) log(ctx context.Context, b *batch, o outcome) {
	level := slog.LevelInfo
	attrs := append(b.fields(o), emf.Attrs(o.ended, emf.Function(), b.metrics())...)
	if len(b.malformed) > 0 {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("malformed_sequence_numbers", b.malformed))
	}
	if problems := o.problems(); len(problems) > 0 {
		level = slog.LevelError
		attrs = append(attrs, problems...)
	}
	if o.failure != nil {
		attrs = append(attrs, slog.String("retry_from", o.from))
	}
	emf.Log(ctx, h.logger, level, "stream batch", attrs...)
}

// metrics returns the counts that the dashboard or a page in docs/ reads, because CloudWatch charges for each metric.
// It includes zeros, so that a graph always has a value.
func (b *batch) metrics() []emf.Metric {
	s := b.stats
	return []emf.Metric{
		emf.Count("Changes", s.Changes), emf.Count("Messages", s.Messages), emf.Count("Failures", s.Failures),
		emf.Count("Refused", s.Refused), emf.Count("NotPassedOn", s.NotPassedOn),
		emf.Count("SkippedOwn", s.Skipped[SkippedOwn]), emf.Count("SkippedNoItem", s.Skipped[SkippedNoItem]),
		emf.Count("SkippedForeign", s.Skipped[SkippedForeign]),
		emf.Count("SkippedMalformed", s.Skipped[SkippedMalformed]),
	}
}

// fields returns the numbers that are only in the log line.
func (b *batch) fields(o outcome) []slog.Attr {
	s := b.stats
	attrs := []slog.Attr{
		slog.Int("Records", s.Records), slog.Int("Coalesced", s.Coalesced), slog.Int("UnknownVersion", s.Unknown),
		slog.Int("MessageBytes", s.Bytes),
	}
	if len(o.messages) > 0 {
		attrs = append(attrs, o.latency())
	}
	if !b.oldest.IsZero() { // in seconds; exact to the second, by DynamoDB's clock
		attrs = append(attrs, slog.Float64("OldestRecordAge", max(o.ended.Sub(b.oldest), 0).Seconds()))
	}
	return attrs
}

// latency returns the duration of publishing and passing on, in milliseconds.
func (o outcome) latency() slog.Attr {
	return slog.Int64("PublishLatency", o.ended.Sub(o.began).Milliseconds())
}

// problems returns the failure, the first refusal of a message by SNS, and the first refusal by OnPublished.
func (o outcome) problems() (attrs []slog.Attr) {
	var bySNS, byOnPublished error
	for _, m := range o.messages {
		if bySNS == nil {
			bySNS = m.refusal
		}
		if byOnPublished == nil {
			byOnPublished = m.notPassedOn
		}
	}
	add := func(name string, err error) {
		if err != nil {
			attrs = append(attrs, slog.String(name, err.Error()))
		}
	}
	add("refusal", bySNS)
	add("not_passed_on", byOnPublished)
	add("error", o.failure)
	return attrs
}
