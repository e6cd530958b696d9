package journal

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/extension"
)

// Flusher is what the follower needs of LaunchDarkly's client. [github.com/launchdarkly/go-server-sdk/v7.LDClient] is
// one.
type Flusher = extension.Flusher

// FlushEvents sends client's events after an invocation has answered, and when Lambda shuts the environment down. It
// registers an internal Lambda extension, so call it before lambda.Start; an error means that Lambda refused it. An
// environment stays awake for a flush for at most [FlushBudget] and until 100 ms before the invocation's deadline, and
// not more often than each [FlushInterval]. Events that were not sent wait for a later flush. A panic, a timeout of the
// function and a SIGKILL lose them.
//
// Outside of Lambda it does nothing, and on Lambda Managed Instances it sends events only at shutdown: there the
// process is never frozen, and the client's own timer sends them.
func (f *Follower) FlushEvents(ctx context.Context, client Flusher) error {
	if f.err != nil {
		return f.err
	}
	events, err := extension.Start(ctx, extension.Config{
		Client: client, FlushBudget: f.flushBudget, Interval: f.flushInterval, Logger: f.logger, Clock: f.clock,
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extension = events
	return nil
}

// Handler wraps a Lambda handler. Before an invocation it wakes the sink, if the sink is a [change.Waker] and no
// other invocation is running, and refreshes it with [Follower.RefreshWithinBudget]. The handler's answers, errors,
// panics and context pass through unchanged. A refresh that fails is logged, and the handler runs with the flags of
// the cache.
//
// lambda.Start takes what it returns. For functions that lambda.Start takes otherwise there is [Wrap].
func (f *Follower) Handler(h lambda.Handler) lambda.Handler { return handler{f, h} }

type handler struct {
	follower *Follower
	inner    lambda.Handler
}

// Invoke implements [lambda.Handler]. The end is deferred, so that it also comes after a panic.
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer h.follower.begin(ctx)()
	return h.inner.Invoke(ctx, payload)
}

// Wrap is [Follower.Handler] for a handler that takes and returns values, as lambda.Start takes it.
func Wrap[In, Out any](
	f *Follower, handle func(context.Context, In) (Out, error),
) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		defer f.begin(ctx)()
		return handle(ctx, in)
	}
}

// begin is called before an invocation, and returns what is called after it. The sink is woken whatever becomes of the
// poll, since its own entries may have expired while the environment was frozen. While another invocation is running
// the environment cannot have been frozen, and another Wake would only discard the reads of that invocation.
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
		f.logger.Error("the journal is not followed", "error", f.err)
	}
	_ = f.RefreshWithinBudget(ctx) // finish logs what fails
	return func() {
		f.mu.Lock()
		f.invoking--
		f.mu.Unlock()
		events.Ended(ctx)
	}
}
