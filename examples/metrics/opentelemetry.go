package metrics

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/subscriber"
)

// Observe exports the numbers to watch to OpenTelemetry, whenever the meter's provider collects. A service without a
// queue leaves out queue.
func Observe(meter metric.Meter, flags *warmflags.Flags, queue *subscriber.QueueSubscriber) error {
	stale, err1 := meter.Int64ObservableCounter("warmflags.stale_serves")
	failed, err2 := meter.Int64ObservableCounter("warmflags.failed_reads")
	age, err3 := meter.Float64ObservableGauge("warmflags.poll_age", metric.WithUnit("s"))
	lost, err4 := meter.Int64ObservableCounter("warmflags.lost_subscriptions")
	_, err5 := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := flags.Stats()
		o.ObserveInt64(stale, int64(s.Cache.StaleServes))
		o.ObserveInt64(failed, int64(s.Cache.Errors))
		o.ObserveFloat64(age, time.Since(s.Journal.LastPoll).Seconds())
		o.ObserveInt64(lost, queue.Stats().Lost)
		return nil
	}, stale, failed, age, lost)
	return errors.Join(err1, err2, err3, err4, err5)
}
