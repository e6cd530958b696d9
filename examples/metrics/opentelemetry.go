package metrics

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/subscriber"
)

// Observe exports the numbers to watch to OpenTelemetry, whenever the meter's provider collects. Without a queue,
// remove the parameter and its counter.
func Observe(meter metric.Meter, flags *warmflags.Flags, queue *subscriber.QueueSubscriber) error {
	stale, err1 := meter.Int64ObservableCounter("warmflags.stale_serves")
	reads, err2 := meter.Int64ObservableCounter("warmflags.failed_reads")
	polls, err3 := meter.Int64ObservableCounter("warmflags.failed_polls")
	age, err4 := meter.Float64ObservableGauge("warmflags.poll_age", metric.WithUnit("s"))
	lost, err5 := meter.Int64ObservableCounter("warmflags.lost_subscriptions")
	_, err6 := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := flags.Stats()
		o.ObserveInt64(stale, int64(s.Cache.StaleServes))
		o.ObserveInt64(reads, int64(s.Cache.Errors))
		o.ObserveInt64(polls, int64(s.Journal.Errors))
		o.ObserveFloat64(age, time.Since(s.Journal.LastPoll).Seconds())
		o.ObserveInt64(lost, queue.Stats().Lost)
		return nil
	}, stale, reads, polls, age, lost)
	return errors.Join(err1, err2, err3, err4, err5, err6)
}
