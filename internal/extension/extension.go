package extension

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/warmflags/warmflags/internal/clock"
)

// Defaults of a [Config].
const (
	DefaultFlushBudget = time.Second
	DefaultInterval    = 5 * time.Second
)

// deadlineMargin is the time between the end of a flush and the invocation's deadline.
const deadlineMargin = 100 * time.Millisecond

// shutdownBudget is the time for a flush at SIGTERM. Lambda allows 300 ms if the function has external extensions too,
// and 500 ms otherwise.
const shutdownBudget = 250 * time.Millisecond

// Flusher is the part of LaunchDarkly's client that an extension uses.
type Flusher interface {
	// FlushAndWait sends the events that were recorded so far, and reports whether they were sent within timeout.
	// Without events it returns at once.
	FlushAndWait(timeout time.Duration) bool
}

// Config configures an extension.
type Config struct {
	Client      Flusher
	FlushBudget time.Duration // timeout of a flush after an answer; 0 means DefaultFlushBudget
	Interval    time.Duration // shortest time between the beginnings of two flushes; 0 means DefaultInterval
	// Wrapped reports whether [Extension.Ended] is called for invocations. If it is not, a flush begins with the
	// invocation and sends the events of earlier invocations. nil means that it is called.
	Wrapped func() bool
	Logger  *slog.Logger        // nil means slog.Default()
	Getenv  func(string) string // nil means os.Getenv
	Clock   func() clock.Instant
}

// Extension is a registered extension. Create one with [Start]. Its methods are safe for concurrent use. The methods of
// a nil Extension do nothing.
type Extension struct {
	config  Config
	next    func(context.Context) (Event, error) // asks Lambda for the next event
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex    // guards the fields below
	ended    string        // request ID of the latest invocation whose handler returned
	change   chan struct{} // closed and replaced when ended changes
	flushed  clock.Instant // when the latest flush began; zero if none did
	flushing bool          // a call of FlushAndWait has not returned
}

// extensions counts the extensions of this process, because Lambda refuses a second extension with the same name.
var extensions atomic.Int64

// Start registers an extension that sends the client's events. Call it before lambda.Start, because Lambda refuses it
// later. Outside of Lambda it returns a nil Extension, which does nothing; the client sends its events on its own
// timer. [Extension.Close] ends the extension.
func Start(ctx context.Context, config Config) (*Extension, error) {
	config = config.withDefaults()
	address := config.Getenv("AWS_LAMBDA_RUNTIME_API")
	if address == "" {
		return nil, nil //nolint:nilnil // a nil Extension is valid
	}
	if config.Client == nil || config.FlushBudget < 0 || config.Interval < 0 {
		return nil, fmt.Errorf("start extension: client %v, flush budget %v, interval %v: none may be nil or negative",
			config.Client, config.FlushBudget, config.Interval)
	}
	events := []string{Invoke}
	if config.Getenv("AWS_LAMBDA_MAX_CONCURRENCY") != "" {
		events = []string{} // no events are allowed; with a registered extension, Lambda still sends SIGTERM
	}
	name := "warmflags"
	if n := extensions.Add(1); n > 1 {
		name += "-" + strconv.FormatInt(n, 10)
	}
	api, err := Register(ctx, address, name, events)
	if err != nil {
		return nil, fmt.Errorf("start extension %q: %w", name, err)
	}
	life, cancel := context.WithCancel(context.Background())
	e := &Extension{config: config, next: api.Next, cancel: cancel, change: make(chan struct{})}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM) // Lambda sends SIGTERM only if an extension is registered
	e.running.Go(func() {
		defer signal.Stop(terminated)
		select {
		case <-terminated:
			e.flush(life, shutdownBudget)
		case <-life.Done():
		}
	})
	e.running.Go(func() { e.run(life) })
	return e, nil
}

func (c Config) withDefaults() Config {
	if c.FlushBudget == 0 {
		c.FlushBudget = DefaultFlushBudget
	}
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Wrapped == nil {
		c.Wrapped = func() bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Clock == nil {
		c.Clock = clock.Now
	}
	return c
}

// run asks for one event after the other. Each request except the first allows Lambda to end the previous invocation,
// so run delays it until the flush has ended.
func (e *Extension) run(ctx context.Context) {
	for {
		invocation, err := e.next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.config.Logger.Error("the extension failed; events are no longer sent after answers", "error", err)
			return
		}
		if !e.due() {
			continue
		}
		limit, cancel := context.WithDeadline(ctx, time.UnixMilli(invocation.DeadlineMs).Add(-deadlineMargin))
		if !e.config.Wrapped() || e.await(limit, invocation.RequestID) {
			e.flush(limit, e.config.FlushBudget)
		}
		cancel()
	}
}

// due reports whether the latest flush began at least an interval ago.
func (e *Extension) due() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.flushed == clock.Instant{} || e.flushed.Age(e.config.Clock()) >= e.config.Interval
}

// await waits until the handler of an invocation has returned, and reports whether it has before ctx ended.
func (e *Extension) await(ctx context.Context, requestID string) bool {
	for {
		e.mu.Lock()
		ended, change := e.ended == requestID, e.change
		e.mu.Unlock()
		if ended {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
			return false
		}
	}
}

// flush sends the client's events. It returns when they are sent, when the budget is used up, or when ctx ends. Because
// FlushAndWait can take longer than its timeout while the client's queue is full, flush does nothing while an earlier
// call of FlushAndWait is running.
func (e *Extension) flush(ctx context.Context, budget time.Duration) {
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline))
	}
	e.mu.Lock()
	if budget <= 0 || e.flushing {
		e.mu.Unlock()
		return
	}
	e.flushing, e.flushed = true, e.config.Clock()
	e.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends when FlushAndWait returns
		defer close(done)
		e.config.Client.FlushAndWait(budget)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.flushing = false
	}()
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Ended must be called when the handler of ctx's invocation has returned.
func (e *Extension) Ended(ctx context.Context) {
	invocation, ok := lambdacontext.FromContext(ctx)
	if e == nil || !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = invocation.AwsRequestID
	close(e.change)
	e.change = make(chan struct{})
}

// Handler wraps a Lambda handler with calls of [Extension.Ended].
func (e *Extension) Handler(h lambda.Handler) lambda.Handler {
	if e == nil {
		return h
	}
	return handler{e, h}
}

type handler struct {
	extension *Extension
	inner     lambda.Handler
}

// Invoke implements [lambda.Handler].
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer h.extension.Ended(ctx)
	return h.inner.Invoke(ctx, payload)
}

// Close ends the extension. It returns nil when the extension's goroutines have ended, or ctx's error. It does not
// flush.
func (e *Extension) Close(ctx context.Context) error {
	if e == nil {
		return nil
	}
	e.cancel()
	done := make(chan struct{})
	go func() {
		e.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("close extension"), ctx.Err())
	}
}
