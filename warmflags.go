// Package warmflags evaluates LaunchDarkly flags from a DynamoDB table that other processes keep up to date, with every
// flag that was used in memory, and fresh a moment after it changed.
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
// [Open] connects the packages dynamostore, cachedstore and journal with LaunchDarkly's client. Each of them can be
// used alone.
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
	"github.com/warmflags/warmflags/internal/lambdaenv"
	"github.com/warmflags/warmflags/journal"
)

// startLimit is how long Open waits for the table.
const startLimit = 3 * time.Second

// Flags evaluates the flags of one LaunchDarkly environment. Make it with [Open]. It is safe for concurrent use.
//
// It is a [change.Sink], so that a source of changes that is faster than the journal can feed it too, for example
// subscriber.Queue(topicARN, flags).
type Flags struct {
	// Client is LaunchDarkly's client, in daemon mode: it reads flags only from the table, and writes nothing to it.
	Client *ld.LDClient

	store    *cachedstore.Store
	follower *journal.Follower
	logger   *slog.Logger
	onChange func(...change.Change)
	polling  sync.WaitGroup     // the goroutine of Follower.Run
	stop     context.CancelFunc // ends it
	close    func() error       // closes Client, once

	wrapped atomic.Bool // an invocation ran in Handler, or it was logged that one did not
}

var _ change.Sink = (*Flags)(nil)

// Open starts LaunchDarkly's client over the flag table, and keeps what it caches up to date.
//
// The environment variable TABLE_NAME names the table, PREFIX the LaunchDarkly environment in it (default: no
// prefix), and LD_SDK_KEY is LaunchDarkly's SDK key, which is needed only to send events (default: none are sent).
// Options override them. In Lambda the AWS region and credentials are those of the function; elsewhere pass
// [AWSConfig].
//
// A Lambda function must wrap its handler with [Flags.Handler]: then each invocation begins with a poll of the
// journal, at most one in each interval ([journal.Interval], by default 1 second). On Lambda Managed Instances and
// in a service, a timer polls once in each interval.
//
// Open waits for the table, 3 seconds at most. It returns an error if the configuration is wrong, with all problems at
// once, and one that wraps [cachedstore.ErrNoData] if the table holds no flags for the prefix. If the table cannot be
// reached, it logs that and returns without an error: evaluations return their default until the table can be read.
func Open(ctx context.Context, options ...Option) (*Flags, error) {
	s := newSettings(options)
	if problems := s.problems(); len(problems) > 0 {
		return nil, fmt.Errorf("open warmflags: %w", errors.Join(problems...))
	}
	f := &Flags{logger: s.logger, onChange: s.onChange, store: s.newStore()}
	f.follower = journal.Follow(s.table, f.sink(), s.journalOptions()...)
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var pollErr error
	polled := make(chan struct{})
	go func() { // opens the connection while the client starts
		pollErr = f.follower.Refresh(ctx)
		close(polled)
	}()
	client, err := ld.MakeCustomClient(s.sdkKey, s.clientConfig(f, polled), 0)
	<-polled
	if err != nil {
		return nil, fmt.Errorf("open warmflags: start LaunchDarkly's client: %w", err)
	}
	f.Client, f.close = client, sync.OnceValue(client.Close)
	if err := f.check(ctx, s, pollErr); err != nil {
		return nil, errors.Join(err, f.follower.Close(ctx), f.close())
	}
	f.start(ctx, s)
	return f, nil
}

// check returns an error if the table holds no flags for the prefix, or cannot be read as it is configured. A
// journal is proof enough that there are flags, and spares each cold start a read.
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

// sink returns what the follower delivers to. Only the cache of a process that is frozen between invocations must
// be woken.
func (f *Flags) sink() change.Sink {
	if lambdaenv.Freezes() {
		return waker{f}
	}
	return f
}

// waker is a [change.Waker] too.
type waker struct{ *Flags }

// Wake implements [change.Waker].
func (w waker) Wake() { w.store.Wake() }

// start starts what runs beside the client.
func (f *Flags) start(ctx context.Context, s settings) {
	if s.sendsEvents() {
		if err := f.follower.FlushEvents(ctx, f.Client); err != nil {
			f.logger.Warn("events may be lost: they are sent only while the process is not frozen", "error", err)
		}
	}
	life, stop := context.WithCancel(context.Background())
	f.stop = stop
	if !lambdaenv.Freezes() {
		f.polling.Go(func() { _ = f.follower.Run(life) })
	}
}

// Handler wraps a Lambda handler. It takes what lambda.Start takes, and lambda.Start takes what it returns. Before
// each invocation it polls the journal if the last poll began more than an interval ago, and waits for it no longer
// than [journal.Budget]. The handler's context, answers, errors and panics pass through unchanged, except that an
// answer that is an io.Reader is read completely before it is sent.
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

// checkWrapped logs, once, that an invocation evaluates flags and is not wrapped by Handler: in a process that is
// frozen between invocations, nothing else keeps flags fresh. aws-lambda-go sets the variable before each
// invocation.
func (f *Flags) checkWrapped() {
	if f.wrapped.Load() {
		return
	}
	if _, invoked := os.LookupEnv("_X_AMZN_TRACE_ID"); invoked && f.wrapped.CompareAndSwap(false, true) {
		f.logger.Error("this function's handler is not wrapped, so flags stay as old as the cache's TTL: " +
			"use lambda.Start(flags.Handler(handle))")
	}
}

// Refresh polls the journal, or joins a poll, if the last poll began more than an interval ago
// ([journal.Interval]). When it returns nil, evaluations are at most that old. It waits no longer than
// [journal.Budget]. [Flags.Handler] calls it; call it too in an invocation that takes long. It returns why the
// journal was not read in time; the log has the cause.
func (f *Flags) Refresh(ctx context.Context) error { return f.follower.RefreshWithinBudget(ctx) }

// Ready reads the table, and reports why flags cannot be evaluated: it cannot be read, or it holds no flags for the
// prefix ([cachedstore.ErrNoData]). It returns ctx's error if ctx ends first.
func (f *Flags) Ready(ctx context.Context) error { return f.store.Ready(ctx) }

// Invalidate implements [change.Sink]: evaluations that start after it returned see these items as the table holds them
// then or later.
func (f *Flags) Invalidate(changes ...change.Change) {
	if len(changes) > 0 {
		f.store.Invalidate(changes...)
		f.onChange(changes...)
	}
}

// InvalidateAll implements [change.Sink]: it invalidates all items.
func (f *Flags) InvalidateAll() {
	f.store.InvalidateAll()
	f.onChange()
}

// Stats are the counts of the parts since Open.
type Stats struct {
	Cache   cachedstore.Stats
	Journal journal.Stats
}

// Stats returns the counts so far.
func (f *Flags) Stats() Stats {
	return Stats{Cache: f.store.Stats(), Journal: f.follower.Stats()}
}

// Close ends the polling, sends the events that were recorded, and closes the client. It returns ctx's error if ctx
// ends first; closing goes on then. Calling it again is allowed.
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
