package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/extension"
)

// Follower polls a table's journal and delivers the changes to its sink. Create one with [Follow]. Its methods are
// safe for concurrent use. Its only goroutines are running polls and those that [Follower.FlushEvents] starts;
// [Follower.Close] ends them.
type Follower struct {
	settings
	name    string // key of the copy of the journal that this follower polls
	life    context.Context
	cancel  context.CancelFunc
	polling sync.WaitGroup // running polls; Add is called under mu, and only while closed is false
	wrapped atomic.Bool    // Handler or Wrap was called

	applying sync.Mutex // serializes the calls of the sink; mu is not held during these calls

	mu        sync.Mutex // guards the fields below
	polls     []*poll    // running polls, in the order in which they began
	latest    *poll      // the poll that began last; nil if there was none
	known     *state     // the journal's state that was last applied: epoch, seq and marks; nil if none was
	invoking  int        // number of running invocations
	missing   bool       // "journal not found" was logged
	failing   bool       // "cannot read the journal" was logged
	logged    bool       // the wrong options were logged
	extension *extension.Extension
	closed    bool
	stats     Stats
}

// errClosed is returned by calls after [Follower.Close].
var errClosed = errors.New("the follower is closed")

// Follow returns a follower that polls the table's journal and delivers the changes to sink. Follow does not call AWS.
//
// A Lambda function wraps its handler with [Follower.Handler] or [Wrap]. A service calls [Follower.Run].
func Follow(table string, sink change.Sink, options ...Option) *Follower {
	f := &Follower{settings: newSettings(table, sink, options)}
	if f.err == nil {
		f.name = name(f.prefix, f.region, rand.IntN(f.copies))
	}
	f.life, f.cancel = context.WithCancel(context.Background())
	return f
}

// Refresh brings the sink up to date with the journal. When it returns nil, the sink has received every change that was
// in the journal when the latest poll began, which is at most one interval ago. (Polls are eventually consistent, so a
// replica may lag.) Refresh polls only if the latest poll began more than one interval ago. Concurrent calls share one
// poll.
//
// Refresh waits until the poll or ctx ends. A poll continues even if no call waits for it. Refresh returns an error for
// wrong options, ctx's error, or the reason why the journal could not be read. After a failed read it does not poll
// again until the interval is over. A table without a journal is not an error.
//
// Call Refresh while the client starts, so that the first invocation does not wait for the first poll, and in
// invocations that take minutes. [Follower.Handler], [Wrap] and [Follower.Run] call it for you.
func (f *Follower) Refresh(ctx context.Context) error {
	p, err := f.join()
	if err != nil {
		return err
	}
	return f.wait(ctx, p)
}

// RefreshWithinBudget is [Follower.Refresh] with a limit on the wait: [Budget], or [ReconnectBudget] if the poll may
// need a new connection, and never more than half of the time until ctx's deadline. Call it before evaluations that
// must not wait for a slow table.
func (f *Follower) RefreshWithinBudget(ctx context.Context) error {
	p, err := f.join()
	if err != nil {
		return err
	}
	budget := f.budget
	if p.reconnects {
		budget = max(budget, f.reconnectBudget)
	}
	ctx, cancel := context.WithTimeout(ctx, within(ctx, budget))
	defer cancel()
	return f.wait(ctx, p)
}

// wait waits for a poll until ctx ends. If both have ended, it returns the poll's result. If the poll was canceled to
// make room for a later one, wait waits for the latest poll instead.
func (f *Follower) wait(ctx context.Context, p *poll) error {
	for {
		select {
		case <-p.done:
		default:
			select {
			case <-p.done:
			case <-ctx.Done():
				return f.wrap(ctx.Err())
			}
		}
		latest := p
		if p.canceled {
			f.mu.Lock()
			latest = f.latest
			f.mu.Unlock()
		}
		if latest == p {
			return p.err
		}
		p = latest
	}
}

// wrap adds the journal's name and the table to err.
func (f *Follower) wrap(err error) error {
	return fmt.Errorf("follow journal %q of table %q: %w", f.name, f.table, err)
}

// within returns the budget, or half of the time until ctx's deadline if that is less. The other half is left for the
// handler.
func within(ctx context.Context, budget time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)/2)
	}
	return budget
}

// Close ends the follower. It cancels running polls, and later calls return an error. Close returns nil when all of the
// follower's goroutines have ended, or ctx's error. It sends no events.
func (f *Follower) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	events := f.extension
	f.mu.Unlock()
	f.cancel()
	err := events.Close(ctx)
	ended := make(chan struct{})
	go func() {
		f.polling.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = errors.Join(err, f.wrap(ctx.Err()))
	}
	return err
}

// Stats are counts since the follower was created.
type Stats struct {
	Polls         int // polls that began
	Errors        int // polls that failed
	Canceled      int // failed polls that were canceled, because too many were running or by Close
	Changes       int // changes passed to the sink's Invalidate
	InvalidateAll int // calls of the sink's InvalidateAll

	LastPoll   time.Time // when the latest poll began; zero if none did
	LastChange time.Time // when the sink was last called; zero if it never was
}

// Stats returns the counts so far.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}
