package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces/flagstate"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/internal/lambdaenv"
	"github.com/warmflags/warmflags/journal"
)

// Flags are loaded flags. All methods are safe for concurrent use.
type Flags interface {
	// Refresh makes sure that the flags are at most one interval old: if needed, it polls the journal or joins a
	// poll. It logs its errors. After an error, the last known values are served.
	Refresh(ctx context.Context) error
	// Evaluate evaluates a flag and records an event.
	Evaluate(key string, evaluated ldcontext.Context) (ldvalue.Value, ldreason.EvaluationDetail)
	// EvaluateAll evaluates all flags and records no events.
	EvaluateAll(evaluated ldcontext.Context) flagstate.AllFlags
	// Flag returns a flag's configuration; nil if the flag does not exist or cannot be read.
	Flag(key string) *ldmodel.FeatureFlag
}

// Opened is the loaded flags with the methods that only the agent itself calls.
type Opened interface {
	Flags
	// Status returns the status of the flags. It waits for the table until ctx ends.
	Status(ctx context.Context) Status
	// Flush sends the recorded events. It stops when ctx ends.
	Flush(ctx context.Context)
	// Close ends the background work and sends the recorded events. It stops when ctx ends.
	Close(ctx context.Context) error
}

// tableFlags are the flags of a table.
type tableFlags struct {
	*warmflags.Flags
	store         subsystems.DataStore // the client's store
	table, prefix string
	interval      time.Duration
	polls         turns        // used if the interval is 0
	events        bool         // events are sent, because there is an SDK key
	evaluations   atomic.Int64 // number of evaluations of single flags
	flushed       atomic.Int64 // number of those evaluations before the latest call of Flush that ended in time
}

// OpenTable returns a function for [Config] that opens the flags of a table. Without an SDK key, no events are sent.
// An evaluation is at most one interval old; with an interval of 0, each evaluation waits for a poll that began after
// it.
func OpenTable(
	table, prefix, sdkKey string, interval time.Duration, options ...warmflags.Option,
) func(ctx context.Context) (Opened, error) {
	return func(ctx context.Context) (Opened, error) {
		f := &tableFlags{table: table, prefix: prefix, events: sdkKey != "", interval: interval}
		f.polls.run = func() { _ = f.Flags.Refresh(context.Background()) } // it logs its errors
		all := append([]warmflags.Option{
			warmflags.Table(table), warmflags.Prefix(prefix), warmflags.SDKKey(sdkKey),
			warmflags.Journal(journal.Interval(interval)),
			warmflags.WrapDataStore(func(store subsystems.DataStore) subsystems.DataStore {
				f.store = store
				return store
			}),
		}, options...)
		var err error
		if f.Flags, err = warmflags.Open(ctx, all...); err != nil {
			return nil, err
		}
		return f, nil
	}
}

// Refresh implements [Flags].
func (f *tableFlags) Refresh(ctx context.Context) error {
	if f.interval == 0 {
		return f.polls.wait(ctx)
	}
	return f.Flags.Refresh(ctx)
}

// Evaluate implements [Flags].
func (f *tableFlags) Evaluate(key string, evaluated ldcontext.Context) (ldvalue.Value, ldreason.EvaluationDetail) {
	f.evaluations.Add(1)
	value, detail, _ := f.Client.JSONVariationDetail(key, evaluated, ldvalue.Null()) // detail has the error too
	return value, detail
}

// EvaluateAll implements [Flags].
func (f *tableFlags) EvaluateAll(evaluated ldcontext.Context) flagstate.AllFlags {
	return f.Client.AllFlagsState(evaluated, flagstate.OptionWithReasons())
}

// Flag implements [Flags].
func (f *tableFlags) Flag(key string) *ldmodel.FeatureFlag {
	item, err := f.store.Get(ldstoreimpl.Features(), key)
	flag, ok := item.Item.(*ldmodel.FeatureFlag)
	if err != nil || !ok {
		return nil
	}
	return flag
}

// Flush implements [Opened].
func (f *tableFlags) Flush(ctx context.Context) {
	evaluations, limit := f.evaluations.Load(), time.Hour
	if deadline, found := ctx.Deadline(); found {
		limit = time.Until(deadline)
	}
	if evaluations == f.flushed.Load() || limit <= 0 {
		return
	}
	if f.Client.FlushAndWait(limit) {
		f.flushed.Store(evaluations)
	}
}

// Status implements [Opened].
func (f *tableFlags) Status(ctx context.Context) Status {
	status := Status{Ready: true, Table: f.table, Prefix: f.prefix, Evaluations: f.evaluations.Load(), Events: "off"}
	if f.events {
		status.Events = "sent"
	}
	if f.events && lambdaenv.Freezes() {
		queued := status.Evaluations - f.flushed.Load()
		status.Queued = &queued
	}
	if at := f.Stats().Journal.LastPoll; !at.IsZero() {
		status.LastPoll = &at
	}
	if at := f.Stats().Journal.LastChange; !at.IsZero() {
		status.LastChange = &at
	}
	if err := f.Ready(ctx); err != nil {
		status.Ready, status.Reason = false, err.Error()
	}
	return status
}
