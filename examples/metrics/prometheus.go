package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/subscriber"
)

// Register has Prometheus collect the numbers to watch. Without a queue, remove the parameter and its counter.
func Register(registry prometheus.Registerer, flags *warmflags.Flags, queue *subscriber.QueueSubscriber) {
	count := func(name string, value func() float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name}, value))
	}
	count("warmflags_stale_serves_total", func() float64 { return float64(flags.Stats().Cache.StaleServes) })
	count("warmflags_failed_reads_total", func() float64 { return float64(flags.Stats().Cache.Errors) })
	count("warmflags_failed_polls_total", func() float64 { return float64(flags.Stats().Journal.Errors) })
	count("warmflags_lost_subscriptions_total", func() float64 { return float64(queue.Stats().Lost) })
	age := prometheus.GaugeOpts{Name: "warmflags_poll_age_seconds"}
	registry.MustRegister(prometheus.NewGaugeFunc(age, func() float64 {
		return time.Since(flags.Stats().Journal.LastPoll).Seconds()
	}))
}
