package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/extension"
)

// Follower polls a table's journal and tells its sink what changed. Make one with [Follow]. Its methods are safe for
// concurrent use. Its only goroutines are polls that are under way, and what [Follower.FlushEvents] starts;
// [Follower.Close] ends them.
type Follower struct {
	settings
	name    string // of the copy of the journal that this follower polls
	life    context.Context
	cancel  context.CancelFunc
	polling sync.WaitGroup // grows under mu while not closed

	applying sync.Mutex // serializes what polls tell the sink; mu is not held meanwhile

	mu        sync.Mutex // guards the fields below
	polls     []*poll    // under way, in the order in which they began
	latest    *poll      // the poll that began last; nil if there was none
	known     *state     // the journal as it was last applied: epoch, seq and marks; nil if never
	invoking  int        // invocations that are running
	missing   bool       // it was logged that there is no journal
	failing   bool       // it was logged that the journal cannot be read
	logged    bool       // it was logged that the options are wrong
	extension *extension.Extension
	closed    bool
	stats     Stats
}

// errClosed is the outcome of calls after [Follower.Close].
var errClosed = errors.New("the follower is closed")

// Follow returns a follower of a table's journal, which tells sink what changed. It makes no call.
//
// A Lambda function wraps its handler with [Follower.Handler] or [Wrap], a service calls [Follower.Run].
func Follow(table string, sink change.Sink, options ...Option) *Follower {
	f := &Follower{settings: newSettings(table, sink, options)}
	if f.err == nil {
		f.name = name(f.prefix, f.region, rand.IntN(f.copies))
	}
	f.life, f.cancel = context.WithCancel(context.Background())
	return f
}

// Refresh brings the sink up to date with the journal. When it returns nil, the sink knows everything that was in the
// journal at a moment that is at most the interval ago. (Polls are eventually consistent, so a replica may lag.) It
// polls only if the latest poll began more than the interval ago, and concurrent calls share one poll.
//
// It waits until the poll or ctx ends. A poll goes on when no call waits for it. Refresh returns wrong options, ctx's
// error, or why the journal could not be read; then it does not poll again before the interval is over. A table without
// a journal is no error.
//
// Call it while the client starts, so that the first invocation need not wait for the first poll, and in invocations
// that take minutes. [Follower.Handler], [Wrap] and [Follower.Run] call it for you.
func (f *Follower) Refresh(ctx context.Context) error {
	p, err := f.join()
	if err != nil {
		return err
	}
	return f.wait(ctx, p)
}

// RefreshWithinBudget is [Follower.Refresh], but it waits for at most [Budget], or [ReconnectBudget] if the poll may
// need a new connection, and at most half of the time until ctx's deadline. Call it before evaluations that must not
// wait for a slow table.
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

// wait waits for a poll until ctx ends. A poll that has ended counts even if ctx has ended too.
func (f *Follower) wait(ctx context.Context, p *poll) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return f.wrap(ctx.Err())
	}
}

// wrap says what err is about.
func (f *Follower) wrap(err error) error {
	return fmt.Errorf("follow journal %q of table %q: %w", f.name, f.table, err)
}

// within returns the budget, or half of the time until ctx's deadline if that is less. The other half is for the
// handler and its answer.
func within(ctx context.Context, budget time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)/2)
	}
	return budget
}

// Close ends the follower: polls under way are canceled, and calls return an error from now on. It returns nil when all
// of the follower's goroutines have ended, or ctx's error. It sends no events.
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

// Stats are counts since the follower was made.
type Stats struct {
	Polls         int // polls that began
	Errors        int // polls that failed
	Canceled      int // of these, polls that were canceled because too many were under way, or by Close
	Changes       int // changes that the sink was told of
	InvalidateAll int // times that the sink was told that anything may have changed

	LastPoll   time.Time // when the latest poll began; zero if none did
	LastChange time.Time // when the sink was last told anything; zero if it never was
}

// Stats returns the counts so far.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}
