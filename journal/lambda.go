package journal

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/warmflags/warmflags/change"
)

// Flusher is what the follower needs of LaunchDarkly's client. [github.com/launchdarkly/go-server-sdk/v7.LDClient] is
// one.
type Flusher interface {
	// FlushAndWait sends the events that were recorded so far, and says whether it was done within timeout.
	FlushAndWait(timeout time.Duration) bool
}

// flushing is what is needed to flush events.
type flushing struct {
	mu     sync.Mutex // guards the fields below
	client Flusher    // nil: nothing is flushed
	busy   bool       // a flush has not returned
}

// FlushEvents has each invocation send client's events before it ends, within [FlushBudget] and half of the time that
// the invocation has left: the other half is for its answer. What is not sent by then waits in a frozen container
// for its next invocation, and is lost when there is none. It is no option, because a follower is best made, and looks
// at the journal, before the client starts. Nil, the default, sends nothing.
func (f *Follower) FlushEvents(client Flusher) {
	f.flushing.mu.Lock()
	defer f.flushing.mu.Unlock()
	f.flushing.client = client
}

// Handler wraps a Lambda handler. Before each invocation it wakes the sink, if that is a [change.Waker], and
// refreshes it, for which it waits no longer than [Budget]; after it, it sends events, if [Follower.FlushEvents] is
// used. The handler's answers, errors and panics, and its context, pass through unchanged, and a failing refresh is not
// its affair: it is logged, and the flags are those of the cache.
//
// lambda.Start takes what it returns. For the functions that lambda.Start takes otherwise there is [Wrap].
func (f *Follower) Handler(h lambda.Handler) lambda.Handler { return handler{f, h} }

// handler is what Handler returns; it has no state of its own.
type handler struct {
	follower *Follower
	inner    lambda.Handler
}

// Invoke implements [lambda.Handler]. The end is deferred, so that it also comes after a panic.
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer h.follower.begin(ctx)()
	return h.inner.Invoke(ctx, payload)
}

// Wrap is [Follower.Handler] for a handler that takes and returns values, as lambda.Start takes it. An answer that is
// an io.Reader is read after the invocation's end, as far as the follower knows it.
func Wrap[In, Out any](f *Follower, handle func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		defer f.begin(ctx)()
		return handle(ctx, in)
	}
}

// begin is what comes before an invocation, and returns what comes after. In this order:
//
//  1. the sink is woken, whatever becomes of the look: its own entries may have expired while the container was frozen;
//  2. a look is joined or begun, and waited for within the budget;
//  3. at the end, events are flushed first, in which time a late look may still come in;
//  4. the look is left, which gives it up if it is still under way: a frozen one would bring an old answer.
//
// Without options that are right, only the sink is woken and events are flushed.
func (f *Follower) begin(ctx context.Context) (end func()) {
	if waker, ok := f.sink.(change.Waker); ok {
		waker.Wake()
	}
	l, err := f.join()
	if l == nil {
		if f.err != nil {
			f.badOptions.Do(func() { f.logger.Error("the journal is not followed", "error", err) })
		}
		return func() { f.flush(ctx) }
	}
	waiting, cancel := context.WithTimeout(ctx, within(ctx, f.budget))
	_ = f.wait(waiting, l) // end logs what goes wrong
	cancel()
	return func() {
		f.flush(ctx)
		f.leave(l)
	}
}

// within is the budget, or half of the time that the invocation has left if that is less; not positive if none is left.
// The other half is for what comes after: the handler, and the answer, which must be posted before the deadline.
func within(ctx context.Context, budget time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)/2)
	}
	return budget
}

// flush sends events within the budget. There is one flush at a time: one that did not return in time goes on in a
// later invocation, and until it returns no other begins. So no more than one goroutine is ever left behind.
func (f *Follower) flush(ctx context.Context) {
	budget := within(ctx, f.flushBudget)
	f.flushing.mu.Lock()
	client := f.flushing.client
	if client == nil || f.flushing.busy || budget <= 0 {
		f.flushing.mu.Unlock()
		return
	}
	f.flushing.busy = true
	f.flushing.mu.Unlock()
	done := make(chan struct{})
	go func() { // FlushAndWait can wait longer than it says when the client has too many events to take in the call
		defer close(done)
		client.FlushAndWait(budget)
		f.flushing.mu.Lock()
		defer f.flushing.mu.Unlock()
		f.flushing.busy = false
	}()
	timer := time.NewTimer(budget)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
