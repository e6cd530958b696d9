package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/change"
)

// There is one look at a time, and it is in one of three states. Under way: calls join it, each counts as a waiter. Ended:
// its outcome is good until good has passed since began, and calls return at once. Given up, because its last waiter left
// or it is too old to be joined: its goroutine may still live, but Follower.look is another's or nil, and so end drops what
// it brings. So answers are applied in the order in which their looks began, each at most once.

// Follower looks at a table's journal and tells its sink what changed. Make one with [Follow]. Its methods are safe for
// concurrent use. It has no goroutines but for a look that is under way.
type Follower struct {
	settings
	name string // of the journal's copy, for life

	mu      sync.Mutex // guards the fields below; held while the sink is told, which is soon done
	look    *look      // under way; nil: none
	looked  bool       // there was a look, which began at began and is good for good
	began   instant
	good    time.Duration
	outcome error  // of the latest look that ended
	known   *state // what the journal said when it was last read; only epoch and seq; nil: never
	missed  bool   // it was logged that there is no journal
	failing bool   // it was logged that the journal cannot be read
	stats   Stats

	badOptions sync.Once // logs them
	flushing   flushing  // see lambda.go; has a lock of its own
}

// look is one read of the journal. Its fields but for done are guarded by Follower.mu until done is closed.
type look struct {
	done    chan struct{} // closed when the look ended
	waiters int           // calls that want it; without any it is given up
	cancel  context.CancelFunc
	err     error // as outcome
}

// errAbandoned is the outcome of a look that nobody waited for to the end.
var errAbandoned = errors.New("the look took too long and was given up")

// Follow makes a follower of a table's journal, which tells sink what changed. It calls nothing.
func Follow(table string, sink change.Sink, options ...Option) *Follower {
	f := &Follower{settings: newSettings(table, sink, options)}
	if f.err == nil {
		f.name = name(f.prefix, f.region, rand.IntN(f.copies))
	}
	return f
}

// Refresh brings the sink up to date with the journal: when it returns nil, the sink knows of all that stood in the
// journal at a moment that is at most the interval ago (or an old replica's word of it: the read is eventually
// consistent). So it reads only when the look before is older than that, and calls at the same time share one read.
//
// It returns wrong options, ctx's error (the look goes on as long as others wait for it, and is given up otherwise), or
// why the journal could not be read, which it does not try again before the interval is over. A table without a
// journal is no error.
//
// [Follower.Handler] and [Wrap] call it at each invocation. Call it once more while the client starts, so that a
// cold start's first invocation need not wait for it, and in invocations that take minutes.
func (f *Follower) Refresh(ctx context.Context) error {
	l, err := f.join()
	if l == nil {
		return err
	}
	defer f.leave(l)
	return f.wait(ctx, l)
}

// wait waits for a look that was joined. One that has ended counts, though ctx may have ended too: what it found is in the
// sink.
func (f *Follower) wait(ctx context.Context, l *look) error {
	select {
	case <-l.done:
		return l.err
	default:
	}
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return fmt.Errorf("follow journal %q of table %q: %w", f.name, f.table, ctx.Err())
	}
}

// join returns the look to wait for, or nil and the outcome of the latest one when that is still good. Each look that
// is returned must be left.
//
// A look counts from its beginning, by both hands of the clock, and so does one under way. After a freeze it is too
// old to be joined: its answer may have waited since before. So it is given up, and those who waited for it are told so.
//
// A look that failed, or was given up, is good for the interval like any other: a journal that cannot be read costs a
// read an interval, not one an invocation.
func (f *Follower) join() (*look, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	if f.looked && f.began.age(now) < f.good {
		if f.look != nil {
			f.look.waiters++
		}
		return f.look, f.outcome
	}
	if f.look != nil {
		f.abandonLocked(f.look)
	}
	f.looked, f.began = true, now
	f.good = f.interval - rand.N(f.interval/10+1)
	// Not the caller's context: others may join, and the look outlives an invocation's budget.
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	l := &look{done: make(chan struct{}), waiters: 1, cancel: cancel}
	f.look = l
	f.stats.Looks++
	go func() {
		defer cancel()
		found, err := f.read(ctx)
		f.end(l, found, err)
	}()
	return l, nil
}

// leave gives a look up if nobody else waits for it. The goroutine ends when the AWS client heeds its context; what it
// finds is not looked at.
func (f *Follower) leave(l *look) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.waiters--; l.waiters == 0 && f.look == l {
		f.abandonLocked(l)
	}
}

// abandonLocked ends a look that is under way without an answer. What the journal said before stays known.
func (f *Follower) abandonLocked(l *look) {
	f.stats.Abandoned++
	err := fmt.Errorf("follow journal %q of table %q: %w", f.name, f.table, errAbandoned)
	f.logLocked(nil, err)
	f.endLocked(l, err)
}

// endLocked frees those who wait, and makes room for the next look. It is called once a look: f.look is l before.
func (f *Follower) endLocked(l *look, err error) {
	l.cancel()
	l.err, f.outcome, f.look = err, err, nil
	close(l.done)
}

// read reads the journal, eventually consistent, without the lock. It returns nil where there is none.
func (f *Follower) read(ctx context.Context) (*state, error) {
	out, err := f.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &f.table, Key: rowKey(f.name)})
	if err != nil {
		return nil, err
	}
	return parseRow(out.Item)
}

// end takes in what a look found, unless it was given up. The sink is told before those who wait are freed, in the same hold
// of the lock: when Refresh returns nil, the sink knows.
func (f *Follower) end(l *look, found *state, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.look != l {
		return
	}
	if err == nil && found != nil {
		err = f.applyLocked(found)
	}
	if err != nil {
		f.stats.Errors++
		err = fmt.Errorf("follow journal %q of table %q: %w", f.name, f.table, err)
	}
	f.logLocked(found, err)
	f.endLocked(l, err)
}

// applyLocked tells the sink what the journal says that it did not say before:
//
//   - at the first look, and in another epoch: anything may have changed;
//   - as much as before, or less: nothing. Less is an old replica's answer;
//   - more than the entries reach back: anything may have changed;
//   - more: the entries that are new.
//
// Entries are decoded only where they are needed, and known is set only when that went well: entries that cannot be
// understood are an error at each look, until somebody writes others. An answer from before a renewal may come after one
// from after it: that is another epoch twice, and only costs an InvalidateAll.
func (f *Follower) applyLocked(found *state) error {
	known := f.known
	if known == nil || known.epoch != found.epoch {
		f.known = found
		f.stats.InvalidateAll++
		f.sink.InvalidateAll()
		return nil
	}
	if found.seq <= known.seq {
		return nil
	}
	if err := found.decode(); err != nil {
		return err
	}
	f.known = found
	changes, complete := found.since(known.seq)
	if !complete {
		f.stats.InvalidateAll++
		f.sink.InvalidateAll()
		return nil
	}
	f.stats.Changes += len(changes)
	f.sink.Invalidate(changes...)
	return nil
}

// logLocked writes a line when something begins or ends to be wrong with the journal.
func (f *Follower) logLocked(found *state, err error) {
	journal := []any{slog.String("table", f.table), slog.String("journal", f.name)}
	switch {
	case err != nil && !f.failing:
		f.failing = true
		f.logger.Warn("the journal cannot be read: flags can be as old as the cache's TTL until it can", append(journal, slog.Any("error", err))...)
	case err == nil && f.failing:
		f.failing = false
		f.logger.Info("the journal can be read again", journal...)
	}
	if err == nil && found == nil && !f.missed {
		f.missed = true
		f.logger.Warn("there is no journal: flags can be as old as the cache's TTL until somebody writes one", journal...)
	}
}

// Stats are counts since the follower was made.
type Stats struct {
	Looks         int // reads of the journal that began
	Errors        int // reads that failed
	Abandoned     int // reads that were given up: an invocation ended, or a freeze came
	Changes       int // changes that the sink was told of
	InvalidateAll int // times that the sink was told that anything may have changed
}

// Stats returns the counts so far.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}
