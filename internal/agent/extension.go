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
	// defaultInitLimit is the default of Extension.InitLimit.
	defaultInitLimit = 2 * time.Second

	// terminateLimit is the time until Lambda kills the process after SIGTERM without an event.
	terminateLimit = 2 * time.Second

	// deadlineMargin is the time between the end of a flush and the deadline of the invocation or the shutdown.
	deadlineMargin = 100 * time.Millisecond
)

// Extension runs an agent as an external Lambda extension. Lambda ends the function if an extension exits. Run
// therefore logs failures and continues to serve until Lambda shuts the environment down.
type Extension struct {
	Agent *Agent // nil: the agent could not listen, and the extension serves nothing
	// Address is the address of Lambda's extensions API (AWS_LAMBDA_RUNTIME_API). Name is the name of the extension's
	// executable file.
	Address, Name string
	// Freezes means that Lambda freezes the environment between invocations. Otherwise (Lambda Managed Instances), an
	// extension must not register for invocations. It needs none: the client's own timer sends the events.
	Freezes bool
	// FlushBudget is the longest time of a flush of events during an invocation. FlushInterval is the shortest time
	// between the beginnings of two flushes. 0 means the defaults of package extension.
	FlushBudget, FlushInterval time.Duration
	// InitLimit is the longest time by which the extension delays the end of Lambda's INIT phase while the agent loads
	// the flags. 0 means 2 seconds.
	InitLimit time.Duration
	Logger    *slog.Logger         // nil: slog.Default()
	Clock     func() clock.Instant // nil: clock.Now
}

// Run registers the extension and serves until Lambda shuts the environment down or ctx ends. Then it sends the
// recorded events before Lambda's deadline.
//
// It ends the INIT phase after the first attempt to load the flags, or after InitLimit.
func (e Extension) Run(ctx context.Context) {
	e = e.withDefaults()
	events := []string{extension.Shutdown}
	if e.Freezes {
		events = append(events, extension.Invoke)
	}
	var shutdown time.Time
	if api, err := extension.Register(ctx, e.Address, e.Name, events); err != nil {
		e.Logger.Error("the extension is not registered; flags are still served", "name", e.Name, "error", err)
		<-ctx.Done()
	} else {
		if e.Agent != nil {
			e.Agent.loader.await(ctx, e.InitLimit)
		}
		shutdown = e.serve(ctx, api)
	}
	if shutdown.IsZero() {
		shutdown = time.Now().Add(terminateLimit)
	}
	end, cancel := context.WithDeadline(context.WithoutCancel(ctx), shutdown.Add(-deadlineMargin))
	defer cancel()
	if e.Agent == nil {
		return
	}
	if err := e.Agent.Close(end); err != nil {
		e.Logger.Warn("the extension did not stop before the deadline; events may be lost", "error", err)
	}
}

func (e Extension) withDefaults() Extension {
	if e.FlushBudget <= 0 {
		e.FlushBudget = extension.DefaultFlushBudget
	}
	if e.FlushInterval <= 0 {
		e.FlushInterval = extension.DefaultInterval
	}
	if e.InitLimit <= 0 {
		e.InitLimit = defaultInitLimit
	}
	if e.Logger == nil {
		e.Logger = slog.Default()
	}
	if e.Clock == nil {
		e.Clock = clock.Now
	}
	return e
}

// serve handles Lambda's events one after the other. It returns the deadline of the shutdown, or the zero time if ctx
// ends.
//
// When an invocation begins, serve sends the recorded events of earlier invocations, while the function runs. It asks
// for the next event only after that, so that Lambda does not freeze the environment during the flush.
func (e Extension) serve(ctx context.Context, api *extension.API) (shutdown time.Time) {
	var flushed clock.Instant
	for {
		event, err := api.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return time.Time{}
		case err != nil:
			e.Logger.Error("the extension gets no more events from Lambda; flags are still served", "error", err)
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
