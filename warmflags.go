// Package warmflags evaluates LaunchDarkly flags from a DynamoDB table that other processes keep up to date. A flag
// stays in memory once it was used, and is read again soon after it changed.
//
// In a Lambda function:
//
//	flags, err := warmflags.Open(ctx)
//	if err != nil {
//		log.Fatal(err)
//	}
//	lambda.Start(flags.Handler(handle)) // in handle: flags.Client.BoolVariation(...)
//
// In a service, flags.Client can be used right away:
//
//	flags, err := warmflags.Open(ctx, warmflags.AWSConfig(cfg))
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer flags.Close(ctx)
//
// [Open] combines LaunchDarkly's client with packages dynamostore, cachedstore and journal. Each of these packages
// can also be used without it.
package warmflags

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	ld "github.com/launchdarkly/go-server-sdk/v7"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

// startLimit is the longest time that Open waits for the table.
const startLimit = 3 * time.Second

// Flags evaluates the flags of one LaunchDarkly environment. Make it with [Open]. It is safe for concurrent use.
//
// It is a [change.Sink]: a source that is faster than the journal can also deliver changes to it, for example
// subscriber.Queue(topicARN, flags).
type Flags struct {
	// Client is LaunchDarkly's client in daemon mode: it reads flags only from the table and writes nothing to it.
	Client *ld.LDClient

	store    *cachedstore.Store
	follower *journal.Follower
	logger   *slog.Logger
	onChange func(...change.Change)
	inLambda bool               // the process is frozen between invocations
	polling  sync.WaitGroup     // the goroutine that runs Follower.Run
	stop     context.CancelFunc // ends that goroutine
	close    func() error       // closes Client once

	wrapped atomic.Bool // true after an invocation ran in Handler, or after checkWrapped logged its error
}

var _ change.Sink = (*Flags)(nil)

// Open starts LaunchDarkly's client on the flag table and keeps the client's cache up to date.
//
// Three environment variables configure it, and options override them. TABLE_NAME is the table's name. PREFIX
// identifies the LaunchDarkly environment in the table (default: no prefix). LD_SDK_KEY is LaunchDarkly's SDK key,
// which is needed only to send events (default: no events are sent). In Lambda, Open uses the function's AWS region
// and credentials; elsewhere pass [AWSConfig].
//
// A Lambda function must wrap its handler with [Flags.Handler]. An invocation then polls the journal before it
// starts, but not more than once per interval ([journal.Interval], 1 second by default). On Lambda Managed Instances
// and in a service, a timer polls once per interval.
//
// Open waits for the table for at most 3 seconds. If the configuration is wrong, Open returns one error with all
// problems. If the table holds no flags for the prefix, the error wraps [cachedstore.ErrNoData]. If the table cannot
// be reached, Open logs a warning and returns no error: evaluations return their defaults until the table can be
// read.
func Open(ctx context.Context, options ...Option) (*Flags, error) {
	s := newSettings(options)
	if problems := s.problems(); len(problems) > 0 {
		return nil, fmt.Errorf("open warmflags: %w", errors.Join(problems...))
	}
	f := &Flags{logger: s.logger, onChange: s.onChange, inLambda: s.inLambda, store: s.newStore()}
	f.follower = journal.Follow(s.table, f.sink(), s.journalOptions()...)
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var pollErr error
	polled := make(chan struct{})
	go func() { // opens the connection while the client starts
		pollErr = f.follower.Refresh(limited)
		close(polled)
	}()
	client, err := ld.MakeCustomClient(s.sdkKey, s.clientConfig(f, polled), 0)
	<-polled
	if err != nil {
		return nil, fmt.Errorf("open warmflags: start LaunchDarkly's client: %w", err)
	}
	f.Client, f.close = client, sync.OnceValue(client.Close)
	if err := f.check(limited, s, pollErr); err != nil {
		return nil, errors.Join(err, f.follower.Close(ctx), f.close())
	}
	f.start(ctx, s)
	return f, nil
}

// check returns an error if the table holds no flags for the prefix, or if the configuration prevents reading it. A
// journal exists only where there are flags, so a cold start that found one does not read the marker.
func (f *Flags) check(ctx context.Context, s settings, pollErr error) error {
	if f.follower.Stats().InvalidateAll > 0 { // the first poll found a journal
		return nil
	}
	err := s.checkTable(ctx)
	if err == nil || isConfiguration(err) {
		return err
	}
	if pollErr == nil { // otherwise the follower has logged it
		f.logger.Warn("the flag table cannot be read: evaluations return their defaults until it can",
			"table", s.table, "prefix", s.prefix, "error", err)
	}
	return nil
}

// sink returns the follower's sink. Only in a process that is frozen between invocations it is a [change.Waker]:
// elsewhere the cache need not be woken.
func (f *Flags) sink() change.Sink {
	if f.inLambda {
		return waker{f}
	}
	return f
}

// waker adds [change.Waker] to Flags.
type waker struct{ *Flags }

// Wake implements [change.Waker].
func (w waker) Wake() { w.store.Wake() }

// start begins to flush events after invocations, if the client sends any, and to poll on a timer, unless the process
// is frozen between invocations.
func (f *Flags) start(ctx context.Context, s settings) {
	if s.sendsEvents() {
		if err := f.follower.FlushEvents(ctx, f.Client); err != nil {
			f.logger.Warn("events may be lost: they are sent only while the process is not frozen", "error", err)
		}
	}
	life, stop := context.WithCancel(context.Background())
	f.stop = stop
	if !f.inLambda {
		f.polling.Go(func() { _ = f.follower.Run(life) })
	}
}

// Handler wraps a Lambda handler: it accepts every handler that lambda.Start accepts, and returns one for
// lambda.Start. Before each invocation it polls the journal if the last poll began more than an interval ago, and
// waits for the poll at most [journal.Budget]. The handler's context, responses, errors and panics pass through
// unchanged, except that a response that is an io.Reader is read completely before it is sent.
func (f *Flags) Handler(h any) lambda.Handler {
	return handler{f, f.follower.Handler(lambda.NewHandler(h))}
}

type handler struct {
	flags *Flags
	inner lambda.Handler
}

// Invoke implements [lambda.Handler].
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	h.flags.wrapped.Store(true)
	return h.inner.Invoke(ctx, payload)
}

// checkWrapped logs one error if an invocation evaluates flags without being wrapped by Handler. In a process that is
// frozen between invocations, only Handler keeps flags fresh. aws-lambda-go sets _X_AMZN_TRACE_ID before each
// invocation.
func (f *Flags) checkWrapped() {
	if f.wrapped.Load() {
		return
	}
	if _, invoked := os.LookupEnv("_X_AMZN_TRACE_ID"); invoked && f.wrapped.CompareAndSwap(false, true) {
		f.logger.Error("the function's handler is not wrapped; flags may be stale up to the cache TTL: " +
			"use lambda.Start(flags.Handler(handle))")
	}
}

// Refresh polls the journal, or joins a running poll, if the last poll began more than an interval ago
// ([journal.Interval]). It waits at most [journal.Budget]. If it returns nil, evaluations are at most one interval
// old. Otherwise the journal was not read in time, and the log has the cause. [Flags.Handler] calls Refresh; call it
// also during a long invocation.
func (f *Flags) Refresh(ctx context.Context) error { return f.follower.RefreshWithinBudget(ctx) }

// Ready reads the table and returns an error if flags cannot be evaluated: the table cannot be read, or it holds no
// flags for the prefix ([cachedstore.ErrNoData]). It returns ctx's error if ctx ends first.
func (f *Flags) Ready(ctx context.Context) error { return f.store.Ready(ctx) }

// Invalidate implements [change.Sink]. An evaluation that starts after Invalidate returned sees these items as the
// table holds them then or later.
func (f *Flags) Invalidate(changes ...change.Change) {
	if len(changes) > 0 {
		f.store.Invalidate(changes...)
		f.onChange(changes...)
	}
}

// InvalidateAll implements [change.Sink]. It invalidates all items.
func (f *Flags) InvalidateAll() {
	f.store.InvalidateAll()
	f.onChange()
}

// Stats holds the counts of the cache and of the journal's follower since Open.
type Stats struct {
	Cache   cachedstore.Stats
	Journal journal.Stats
}

// Stats returns the current counts.
func (f *Flags) Stats() Stats {
	return Stats{Cache: f.store.Stats(), Journal: f.follower.Stats()}
}

// Close stops polling, sends the recorded events and closes the client. If ctx ends first, Close returns ctx's error,
// and closing continues in the background. Close may be called more than once.
func (f *Flags) Close(ctx context.Context) error {
	f.stop()
	closed := make(chan error, 1)
	go func() {
		f.polling.Wait()
		closed <- errors.Join(f.follower.Close(ctx), f.close())
	}()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("close warmflags: %w", ctx.Err())
	}
}
