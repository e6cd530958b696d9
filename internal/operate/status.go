package operate

import (
	"context"
	"sync"
	"time"
)

// defaultLimit limits the reading of each part of a report.
const defaultLimit = 20 * time.Second

// Report is what [Status] found. Each part has the field NotKnown: empty, or why the part could not be read.
type Report struct {
	OK       bool      `json:"ok"`
	Outcome  string    `json:"outcome"`   // one line
	Problems []Problem `json:"problems"`  // the worst first
	NotKnown []string  `json:"not_known"` // the parts that could not be read, and why
	Time     time.Time `json:"time"`
	Stack    *Stack    `json:"stack"`

	Environments Environments `json:"environments"`
	Requests     Queue        `json:"requests"`
	Expired      Queue        `json:"expired_changes"`
	Stream       Stream       `json:"stream"`
	Lag          Lag          `json:"lag"`
	Consumers    Consumers    `json:"consumers"`
	Alarms       Alarms       `json:"alarms"`
	Webhooks     Webhooks     `json:"webhooks"`
}

// Problem is something that is wrong, and what to do about it.
type Problem struct {
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

// reading is one call of [Status]. Each part of the report is written by one goroutine.
type reading struct {
	Account
	stack  *Stack
	now    time.Time
	report *Report
	group  sync.WaitGroup
}

// Status reads the state of a deployment: all parts at the same time, each for the account's Limit at most. It returns
// no error: a part that cannot be read says why. It writes nothing. The stack is one that [Describe] returned.
func Status(ctx context.Context, account Account, stack *Stack, now time.Time) *Report {
	if account.Limit <= 0 {
		account.Limit = defaultLimit
	}
	report := &Report{ // JSON has empty lists, not null
		Time: now.UTC(), Stack: stack,
		Environments: Environments{List: []Environment{}},
		Consumers:    Consumers{List: []Consumer{}},
		Alarms:       Alarms{Names: []string{}, Firing: []Alarm{}},
		Webhooks:     Webhooks{UnknownEnvironments: []UnknownEnvironment{}},
	}
	r := &reading{Account: account, stack: stack, now: now, report: report}
	r.part(ctx, &report.Environments.NotKnown, r.environments)
	r.part(ctx, &report.Stream.NotKnown, r.stream)
	r.part(ctx, &report.Lag.NotKnown, r.lag)
	r.part(ctx, &report.Consumers.NotKnown, r.consumers)
	r.part(ctx, &report.Alarms.NotKnown, r.alarms)
	r.part(ctx, &report.Expired.NotKnown, func(ctx context.Context) error {
		return r.queue(ctx, r.stack.StreamFailureQueueURL, "StreamFailureFunction", &report.Expired)
	})
	if r.syncs() {
		r.part(ctx, &report.Webhooks.NotKnown, r.webhooks)
		r.part(ctx, &report.Requests.NotKnown, func(ctx context.Context) error {
			return r.queue(ctx, r.stack.RequestQueueURL, "FlagsyncFunction", &report.Requests)
		})
	}
	r.group.Wait()
	report.judge()
	return report
}

// syncs reports whether the stack itself keeps the table equal to LaunchDarkly.
func (r *reading) syncs() bool { return r.stack.Parameters["Sync"] != "false" }

// part reads one part in a goroutine of its own, and notes why that failed.
func (r *reading) part(ctx context.Context, notKnown *string, read func(context.Context) error) {
	r.group.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, r.Limit)
		defer cancel()
		if err := read(ctx); err != nil {
			*notKnown = r.why(err)
		}
	})
}

// ago returns how long before the report a moment was, in seconds.
func (r *reading) ago(t time.Time) float64 { return max(r.now.Sub(t), 0).Round(time.Second).Seconds() }

// at returns a moment, and nil for the zero time.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
