package journal

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
)

// The rules of polls:
//
//   - The age of a poll is measured from its beginning, by the monotonic and the wall clock. While a poll is younger
//     than one interval, calls wait for it and reuse its result. After that, a new poll begins, even if the previous
//     one is still running.
//   - A poll is never canceled because it is slow, because its invocation ended or because the process was frozen. So
//     at least one of several polls always completes, however slow the table is and however invocations overlap.
//   - Answers can arrive in any order. An answer that is older than the known state is ignored. If its epoch or history
//     differs, it invalidates everything, and so does the next answer.
//   - At most maxPolls run at once. Before one more begins, the one that began last is canceled: the oldest one is
//     closest to its end, and only the new one is recent enough for the caller. Calls that waited for the canceled poll
//     wait for the latest one, which began later.

// maxPolls is the largest number of running polls. A process that is not frozen does not reach it with the default
// interval and budgets, because a poll ends after pollLimit.
const maxPolls = 4

// pollLimit is the timeout of a poll, by the monotonic clock, unless a budget is longer. It is shorter than the time
// that warmflags.Open waits, so that a table that does not answer during Open is logged once.
const pollLimit = 2500 * time.Millisecond

// longPause is the time without a poll after which the connection may have been closed: AWS's client closes it after 90
// seconds at the latest, and DynamoDB or a gateway may close it sooner.
const longPause = 5 * time.Second

// poll is one read of the journal. Its fields do not change after it began, except err and canceled, which are set
// before done is closed.
type poll struct {
	began      clock.Instant
	good       time.Duration // how long its result is reused, from began
	reconnects bool          // it may need a new connection
	cancel     context.CancelFunc
	done       chan struct{} // closed when it ended
	err        error
	canceled   bool // it failed because it was canceled
}

// join returns the latest poll if it began less than an interval ago, and a new one otherwise. The result of a failed
// poll is reused too, so a journal that cannot be read costs one read in each interval, not one in each invocation.
func (f *Follower) join() (*poll, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, f.wrap(errClosed)
	}
	now := f.clock()
	if f.latest != nil && f.latest.began.Age(now) < f.latest.good {
		return f.latest, nil
	}
	if len(f.polls) == maxPolls {
		f.polls[maxPolls-1].cancel()
		f.polls = f.polls[:maxPolls-1]
	}
	ctx, cancel := context.WithTimeout(f.life, max(pollLimit, f.budget, f.reconnectBudget))
	p := &poll{
		began: now, good: f.interval - rand.N(f.interval/10+1),
		reconnects: f.latest == nil || f.latest.began.Age(now) >= longPause,
		cancel:     cancel, done: make(chan struct{}),
	}
	f.latest, f.polls = p, append(f.polls, p)
	f.stats.Polls++
	f.stats.LastPoll = time.Unix(0, int64(now.Wall))
	known := f.known
	f.polling.Go(func() {
		defer cancel()
		found, err := f.read(ctx, known)
		f.finish(p, found, err, ctx.Err() == context.Canceled)
	})
	return p, nil
}

// read reads the journal, or returns nil if it does not exist. The read is eventually consistent. If its sequence
// number is lower than the known one, read repeats it strongly consistent, because either an outdated replica answered
// or the journal went back in time.
func (f *Follower) read(ctx context.Context, known *state) (*state, error) {
	found, err := f.get(ctx, false)
	if err == nil && found != nil && known != nil && found.epoch == known.epoch && found.seq < known.seq {
		found, err = f.get(ctx, true)
	}
	return found, err
}

func (f *Follower) get(ctx context.Context, consistent bool) (*state, error) {
	in := &dynamodb.GetItemInput{TableName: &f.table, Key: rowKey(f.name)}
	if consistent {
		in.ConsistentRead = aws.Bool(true)
	}
	out, err := f.client.GetItem(ctx, in)
	if err != nil {
		return nil, err
	}
	found, err := parseRow(out.Item)
	if found != nil {
		found.consistent = consistent
	}
	return found, err
}

// finish applies the result of a poll. It calls the sink before it closes done, so that the sink has the changes when
// Refresh returns.
func (f *Follower) finish(p *poll, found *state, err error, canceled bool) {
	f.applying.Lock()
	defer f.applying.Unlock()
	notify := func() {}
	if err == nil && found != nil {
		notify, err = f.apply(found)
	}
	notify()
	f.mu.Lock()
	f.polls = slices.DeleteFunc(f.polls, func(other *poll) bool { return other == p })
	line := func() {}
	if err != nil {
		f.stats.Errors++
		err = f.wrap(err)
	}
	canceled = canceled && err != nil
	if canceled {
		f.stats.Canceled++
	} else if p == f.latest { // an earlier poll may fail only because a freeze broke its connection
		line = f.lineLocked(found, err)
	}
	f.mu.Unlock()
	p.err, p.canceled = err, canceled
	close(p.done)
	line()
}

// apply stores the state that a poll found, and returns the call of the sink:
//
//   - InvalidateAll at the first poll, and in a new epoch;
//   - InvalidateAll if the history diverges from the known one or went back, because the table was restored;
//   - nothing if the sequence number is the known one, or is lower and the read was eventually consistent;
//   - InvalidateAll if the entries do not reach back to the known sequence number;
//   - otherwise Invalidate with the new entries.
//
// Entries are decoded only if they are needed. A state whose entries cannot be decoded is not stored, so that no change
// is missed once a writer has repaired it.
func (f *Follower) apply(found *state) (notify func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.known
	var changes []change.Change
	all := known == nil || known.epoch != found.epoch || known.diverges(found) ||
		found.seq < known.seq && found.consistent
	switch {
	case all:
	case found.seq <= known.seq:
		return func() {}, nil
	default:
		if err := found.decode(); err != nil {
			return func() {}, err
		}
		var complete bool
		changes, complete = found.since(known.seq)
		all = !complete
	}
	f.known = found
	f.stats.LastChange = time.Unix(0, int64(f.clock().Wall))
	if all {
		f.stats.InvalidateAll++
		return f.sink.InvalidateAll, nil
	}
	f.stats.Changes += len(changes)
	return func() { f.sink.Invalidate(changes...) }, nil
}

// lineLocked returns the function that logs that a problem with the journal began or ended.
func (f *Follower) lineLocked(found *state, err error) func() {
	journal := []any{slog.String("table", f.table), slog.String("journal", f.name)}
	switch {
	case err != nil && !f.failing:
		f.failing = true
		return func() {
			f.logger.Warn("cannot read the journal; flags may be stale up to the cache TTL",
				append(journal, slog.Any("error", err))...)
		}
	case err == nil && f.failing:
		f.failing = false
		return func() { f.logger.Info("the journal can be read again", journal...) }
	case err == nil && found != nil:
		f.missing = false
	case err == nil && !f.missing:
		f.missing = true
		return func() { f.logger.Warn("journal not found; flags may be stale up to the cache TTL", journal...) }
	}
	return func() {}
}
