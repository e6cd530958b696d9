package journal_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/journal"
)

func TestAtMostOneReadAnInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		const interval = 10 * time.Second
		f := a.follow(&sink{}, journal.Interval(interval))
		before := a.Calls("GetItem")
		const seconds = 10_000
		for range seconds * 10 {
			require.NoError(t, f.Refresh(t.Context()))
			time.Sleep(time.Second / 10)
		}
		reads := a.Calls("GetItem") - before
		assert.InDelta(t, seconds/(0.95*interval.Seconds()+0.05), reads, 15, "90 to 100 % of the interval")
		assert.Equal(t, reads, f.Stats().Polls)
	})
}

func TestAFailedReadIsReportedForTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		poll(t, f, s)
		reads := a.Calls("GetItem")
		a.Intercept(func(context.Context, string, any) error { return errDown })
		time.Sleep(time.Second)
		for range 5 {
			require.ErrorIs(t, f.Refresh(t.Context()), errDown)
		}
		time.Sleep(time.Second)
		require.ErrorIs(t, f.Refresh(t.Context()), errDown)
		assert.Equal(t, 2, a.Calls("GetItem")-reads)
		a.Intercept(nil)
		a.append("b")
		assert.Equal(t, []string{"b"}, poll(t, f, s), "nothing was missed")
		assert.Equal(t, 2, strings.Count(a.logged(), "\n"), "one line at its start, one at its end: %s", a.logged())
		assert.Equal(t, 2, f.Stats().Errors)
	})
}

// slow makes reads of the journal wait until release is called.
func slow(a *account) (release func()) {
	gate := make(chan struct{})
	a.Intercept(func(ctx context.Context, operation string, _ any) error {
		if operation == "GetItem" {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return func() { close(gate); a.Intercept(nil) }
}

func TestConcurrentCallsShareARead(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		before := a.Calls("GetItem")
		release := slow(a)
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() { assert.NoError(t, f.Refresh(t.Context())) })
		}
		canceled, cancel := context.WithCancel(t.Context())
		calls.Go(func() { assert.ErrorIs(t, f.Refresh(canceled), context.Canceled) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		assert.Empty(t, s.take())
		release()
		calls.Wait()
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, 1, a.Calls("GetItem")-before)
	})
}

func TestAPollGoesOnWhenNoCallWaitsForIt(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		release := slow(a)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, f.Refresh(ctx), context.DeadlineExceeded)
		release()
		synctest.Wait()
		assert.Equal(t, []string{"*"}, s.take())
		require.NoError(t, f.Refresh(t.Context()))
		assert.Equal(t, journal.Stats{Polls: 1, InvalidateAll: 1}, counts(f))
	})
}

func TestAPollIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		defer slow(a)()
		for budget, want := range map[time.Duration]time.Duration{
			time.Second: 2500 * time.Millisecond, time.Minute: time.Minute,
		} {
			f := a.follow(&sink{}, journal.Budget(budget))
			start := time.Now()
			require.ErrorIs(t, f.Refresh(t.Context()), context.DeadlineExceeded)
			assert.Equal(t, want, time.Since(start))
		}
	})
}

// Reads take longer than the interval, and there is always a call that needs a newer poll.
func TestAPollLongerThanTheIntervalCompletes(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		a.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "GetItem" {
				time.Sleep(2300 * time.Millisecond)
			}
			return nil
		})
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			require.ErrorIs(t, f.Refresh(ctx), context.DeadlineExceeded)
			cancel()
			time.Sleep(100 * time.Millisecond)
		}
		assert.Equal(t, []string{"*"}, s.take())
		assert.GreaterOrEqual(t, f.Stats().Polls, 3)
		assert.Zero(t, f.Stats().Errors)
		time.Sleep(3 * time.Second)
	})
}

// gated is a client that ignores its context. Each read waits until the test sends its answer.
type gated struct {
	mu    sync.Mutex // guards reads
	reads []chan *dynamodb.GetItemOutput
}

func (c *gated) GetItem(
	context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	answer := make(chan *dynamodb.GetItemOutput)
	c.mu.Lock()
	c.reads = append(c.reads, answer)
	c.mu.Unlock()
	return <-answer, nil
}

// begin starts a new poll. The returned channel gets the poll's result.
func (c *gated) begin(t *testing.T, f *journal.Follower) (ended chan error) {
	ended = make(chan error, 1)
	time.Sleep(time.Second)
	go func() { ended <- f.Refresh(t.Context()) }()
	synctest.Wait()
	return ended
}

func TestAnswersMayComeInAnyOrder(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		client, s := &gated{}, &sink{}
		f := a.follow(s, journal.Client(client))
		var items []*dynamodb.GetItemOutput
		for _, key := range []string{"a", "b", "c", "d"} {
			a.append(key)
			items = append(items, &dynamodb.GetItemOutput{Item: a.item(first)})
		}
		var ended []chan error
		for range 4 {
			ended = append(ended, client.begin(t, f))
		}
		for _, step := range []struct {
			read  int
			calls []string
		}{{0, []string{"*"}}, {2, []string{"b", "c"}}, {1, nil}, {3, []string{"d"}}} {
			client.reads[step.read] <- items[step.read]
			require.NoError(t, <-ended[step.read])
			assert.Equal(t, step.calls, s.take(), "read %d", step.read)
		}
	})
}

// The replica that answers the later of two polls is behind the one that answers the earlier.
func TestAnOlderAnswerToALaterPollChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		client, s := &gated{}, &sink{}
		f := a.follow(s, journal.Client(client))
		var items []*dynamodb.GetItemOutput
		for _, key := range []string{"a", "b", "c"} {
			a.append(key)
			items = append(items, &dynamodb.GetItemOutput{Item: a.item(first)})
		}
		known, earlier, later := client.begin(t, f), client.begin(t, f), client.begin(t, f)
		for _, step := range []struct {
			ended      chan error
			read, item int
			calls      []string
		}{{known, 0, 0, []string{"*"}}, {earlier, 1, 2, []string{"b", "c"}}, {later, 2, 1, nil}} {
			client.reads[step.read] <- items[step.item]
			require.NoError(t, <-step.ended)
			assert.Equal(t, step.calls, s.take(), "read %d", step.read)
		}
		next := client.begin(t, f)
		client.reads[3] <- items[2]
		require.NoError(t, <-next)
		assert.Empty(t, s.take(), "the known state is kept")
	})
}

func TestPollsUnderWayAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s, journal.Interval(time.Millisecond)) // polls end after 2.5 seconds
		release := slow(a)
		reads := a.Calls("GetItem")
		var waiting sync.WaitGroup
		outcomes := make(chan error, 10)
		for range cap(outcomes) {
			waiting.Go(func() { outcomes <- f.Refresh(t.Context()) })
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		assert.Equal(t, 10, a.Calls("GetItem")-reads)
		assert.Equal(t, 10-journal.MaxPolls, f.Stats().Canceled)
		assert.Empty(t, outcomes, "calls whose poll was canceled wait for the latest poll")
		release()
		waiting.Wait()
		close(outcomes)
		for err := range outcomes {
			require.NoError(t, err)
		}
		assert.Equal(t, 10-journal.MaxPolls, f.Stats().Errors)
		assert.Empty(t, a.logged())
	})
}

func TestAnAnswerFromBeforeAFreezeIsNotFresh(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		var frozen time.Duration
		start := time.Now()
		now := func() clock.Instant {
			passed := time.Since(start)
			return clock.Instant{Mono: passed, Wall: passed + frozen}
		}
		client, s := &gated{}, &sink{}
		f := a.follow(s, journal.Clock(now), journal.Client(client))
		a.append("a")
		before := &dynamodb.GetItemOutput{Item: a.item(first)}
		old := client.begin(t, f) // its answer arrives later
		frozen = time.Hour
		a.append("b")

		fresh := make(chan error, 1)
		go func() { fresh <- f.Refresh(t.Context()) }()
		synctest.Wait()
		require.Len(t, client.reads, 2, "Refresh does not join the read from before the freeze")
		client.reads[0] <- before
		require.NoError(t, <-old)
		synctest.Wait()
		assert.Empty(t, fresh, "Refresh still waits for the new read")
		client.reads[1] <- &dynamodb.GetItemOutput{Item: a.item(first)}
		require.NoError(t, <-fresh)
		assert.Equal(t, []string{"*", "b"}, s.take())
	})
}

func TestEitherClockEndsTheInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		var now clock.Instant
		f := a.follow(&sink{}, journal.Clock(func() clock.Instant { return now }))
		polls := func() int {
			require.NoError(t, f.Refresh(t.Context()))
			return f.Stats().Polls
		}
		assert.Equal(t, 1, polls())
		assert.Equal(t, 1, polls())
		now.Wall += time.Second // frozen
		assert.Equal(t, 2, polls())
		now.Wall -= time.Hour // set back
		assert.Equal(t, 2, polls())
		now.Mono += time.Second
		assert.Equal(t, 3, polls())
	})
}

func TestCloseEndsPolls(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		f := a.follow(&sink{})
		defer slow(a)()
		ended := make(chan error, 1)
		go func() { ended <- f.Refresh(t.Context()) }()
		synctest.Wait()
		require.NoError(t, f.Close(t.Context()))
		require.ErrorIs(t, <-ended, context.Canceled)
		require.ErrorContains(t, f.Refresh(t.Context()), "the follower is closed")
		require.NoError(t, f.Close(t.Context()))
		assert.Empty(t, a.logged())
	})
}
