package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/extension"
)

const (
	// initLimit is how long the agent delays the end of Lambda's INIT phase while it loads the flags.
	initLimit = 2 * time.Second

	// deadlineMargin is how long before the deadline of an invocation or a shutdown a flush must have ended.
	deadlineMargin = 100 * time.Millisecond
)

// Extension runs an agent as an external Lambda extension. Lambda ends the function when an extension exits, so an
// Extension never returns before Lambda shuts the environment down: it logs what fails, and goes on serving.
type Extension struct {
	Agent *Agent // nil means an extension that serves nothing, because it cannot listen
	// Address is that of Lambda's extensions API (AWS_LAMBDA_RUNTIME_API), and Name that of the extension's executable
	// file.
	Address, Name string
	// Freezes says that Lambda freezes the environment between invocations. Without it (Lambda Managed Instances) an
	// extension may not ask for invocations, and needs none: the client's own timer sends the events.
	Freezes bool
	// FlushBudget is how long a flush of events may take during an invocation, and FlushInterval is the time from the
	// beginning of one flush to the next, at least. 0 means the defaults of the package extension.
	FlushBudget, FlushInterval time.Duration
	Logger                     *slog.Logger         // nil means slog.Default()
	Clock                      func() clock.Instant // nil means clock.Now
}

// Run registers the extension and serves until Lambda shuts the environment down or ctx ends. Then it sends the
// recorded events within the time that Lambda gives.
//
// It ends the INIT phase when the flags are loaded, or failed to load, or after 2 seconds.
func (e Extension) Run(ctx context.Context) {
	e = e.withDefaults()
	events := []string{extension.Shutdown}
	if e.Freezes {
		events = append(events, extension.Invoke)
	}
	var shutdown time.Time
	if api, err := extension.Register(ctx, e.Address, e.Name, events); err != nil {
		e.Logger.Error("the extension is not registered; flags are served all the same", "name", e.Name, "error", err)
		<-ctx.Done()
	} else {
		if e.Agent != nil {
			e.Agent.loader.await(ctx, initLimit)
		}
		shutdown = e.serve(ctx, api)
	}
	if shutdown.IsZero() {
		shutdown = time.Now().Add(initLimit) // SIGTERM without an event: Lambda kills the process after about as long
	}
	end, cancel := context.WithDeadline(context.WithoutCancel(ctx), shutdown.Add(-deadlineMargin))
	defer cancel()
	if e.Agent == nil {
		return
	}
	if err := e.Agent.Close(end); err != nil {
		e.Logger.Warn("the extension did not end in time; events may be lost", "error", err)
	}
}

func (e Extension) withDefaults() Extension {
	if e.FlushBudget <= 0 {
		e.FlushBudget = extension.DefaultFlushBudget
	}
	if e.FlushInterval <= 0 {
		e.FlushInterval = extension.DefaultInterval
	}
	if e.Logger == nil {
		e.Logger = slog.Default()
	}
	if e.Clock == nil {
		e.Clock = clock.Now
	}
	return e
}

// serve takes one event after the other, and returns the deadline of the shutdown, or the zero time when ctx ends.
//
// When an invocation begins, the events of the invocations before it are sent beside the function. The extension asks
// for its next event when that has ended, so that Lambda does not freeze the environment in the middle.
func (e Extension) serve(ctx context.Context, api *extension.API) (shutdown time.Time) {
	var flushed clock.Instant
	for {
		event, err := api.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return time.Time{}
		case err != nil:
			e.Logger.Error("the extension gets no more events from Lambda; flags are served all the same", "error", err)
			<-ctx.Done()
			return time.Time{}
		case event.Type == extension.Shutdown:
			return time.UnixMilli(event.DeadlineMs)
		case flushed != clock.Instant{} && flushed.Age(e.Clock()) < e.FlushInterval:
			continue
		}
		flushed = e.Clock()
		deadline := time.UnixMilli(event.DeadlineMs).Add(-deadlineMargin)
		if limit := time.Now().Add(e.FlushBudget); limit.Before(deadline) {
			deadline = limit
		}
		e.flush(ctx, deadline)
	}
}

// flush sends the recorded events, if there are any.
func (e Extension) flush(ctx context.Context, deadline time.Time) {
	defer func() {
		if cause := recover(); cause != nil {
			e.Logger.Error("events were not sent", "error", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	if e.Agent == nil {
		return
	}
	if opened, _ := e.Agent.loader.current(); opened != nil {
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		opened.Flush(ctx)
	}
}
