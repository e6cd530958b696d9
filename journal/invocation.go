package journal

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/extension"
)

// Flusher is the part of LaunchDarkly's client that the follower uses.
// [github.com/launchdarkly/go-server-sdk/v7.LDClient] implements it.
type Flusher = extension.Flusher

// FlushEvents arranges that the client's events are sent after an invocation has answered, and when Lambda shuts the
// environment down. It registers an internal Lambda extension, so call it before lambda.Start. It returns wrong options
// of the follower, or the error with which Lambda refused the registration. A flush extends an invocation by at most
// [FlushBudget], ends 100 ms before the invocation's deadline, and happens at most once in each [FlushInterval]. Events
// that were not sent are kept for a later flush. They are lost at a panic, a timeout of the function or a SIGKILL.
// Without [Follower.Handler] or [Wrap], the end of an invocation is not known, so its events are sent when a later
// invocation begins.
//
// Outside of Lambda it does nothing. On Lambda Managed Instances it sends events only at shutdown, because the process
// is never frozen there, and the client sends its events on its own timer.
func (f *Follower) FlushEvents(ctx context.Context, client Flusher) error {
	if f.err != nil {
		return f.err
	}
	events, err := extension.Start(ctx, extension.Config{
		Client: client, FlushBudget: f.flushBudget, Interval: f.flushInterval, Wrapped: f.wrapped.Load,
		Logger: f.logger, Clock: f.clock,
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extension = events
	return nil
}

// Handler wraps a Lambda handler. Before each invocation it calls [Follower.RefreshWithinBudget]. Before that, it calls
// the sink's Wake if the sink is a [change.Waker] and no other invocation is running. The handler's answers, errors,
// panics and context pass through unchanged. If the refresh fails, the failure is logged and the handler runs with the
// cached flags.
//
// Pass the returned handler to lambda.Start. If your handler is a function with its own types, use [Wrap].
func (f *Follower) Handler(h lambda.Handler) lambda.Handler {
	f.wrapped.Store(true)
	return handler{f, h}
}

type handler struct {
	follower *Follower
	inner    lambda.Handler
}

// Invoke implements [lambda.Handler]. The function that begin returns is deferred, so that it runs after a panic too.
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer h.follower.begin(ctx)()
	return h.inner.Invoke(ctx, payload)
}

// Wrap is [Follower.Handler] for a function with its own input and output types, which lambda.Start accepts as well.
func Wrap[In, Out any](
	f *Follower, handle func(context.Context, In) (Out, error),
) func(context.Context, In) (Out, error) {
	f.wrapped.Store(true)
	return func(ctx context.Context, in In) (Out, error) {
		defer f.begin(ctx)()
		return handle(ctx, in)
	}
}

// begin is called before an invocation; the function that it returns is called after it. begin calls the sink's Wake
// even if the poll fails, because cache entries may have expired while the environment was frozen. While another
// invocation is running, the environment cannot have been frozen, and Wake would only discard the reads of that
// invocation.
func (f *Follower) begin(ctx context.Context) (end func()) {
	f.mu.Lock()
	f.invoking++
	first, events := f.invoking == 1, f.extension
	wrong := f.err != nil && !f.logged
	f.logged = f.logged || wrong
	f.mu.Unlock()
	if waker, ok := f.sink.(change.Waker); ok && first {
		waker.Wake()
	}
	if wrong {
		f.logger.Error("the journal is not polled: the options are wrong", "error", f.err)
	}
	_ = f.RefreshWithinBudget(ctx) // finish logs failures
	return func() {
		f.mu.Lock()
		f.invoking--
		f.mu.Unlock()
		events.Ended(ctx)
	}
}
