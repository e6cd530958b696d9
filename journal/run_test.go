package journal_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/journal"
)

// A service needs no invocations: the sink gets each change within one and a half intervals.
func TestRunPollsEachInterval(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		const interval = 10 * time.Second
		s := &sink{}
		f := a.follow(s, journal.Interval(interval))
		a.append("before")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		require.Equal(t, []string{"*"}, s.take(), "at once")
		for i := range 20 {
			// Append later in the interval in each round, from its beginning to its end.
			<-time.After(interval*time.Duration(i)/20 + time.Millisecond)
			a.append("flag")
			<-time.After(interval * 3 / 2)
			synctest.Wait()
			require.Equal(t, []string{"flag"}, s.take(), "round %d", i)
		}
		began := f.Stats().Polls
		<-time.After(10 * interval)
		synctest.Wait()
		assert.Equal(t, 10, f.Stats().Polls-began, "one read an interval")
		stop()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
}

// A poll that is late does not make the next one later than an interval after it.
func TestRunPollsAnIntervalAfterASlowPoll(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		const interval = time.Second
		f := a.follow(&sink{}, journal.Interval(interval))
		a.append("flag")
		release := slow(a)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- f.Run(ctx) }()
		<-time.After(interval * 6 / 5)
		release()
		for i := range 3 {
			synctest.Wait()
			assert.Equal(t, interval*6/5+interval*time.Duration(i), f.Stats().LastPoll.Sub(start))
			<-time.After(interval)
		}
		stop()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
}

// With an interval of 0 each Refresh polls, and Run uses the default interval.
func TestIntervalZero(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		s := &sink{}
		f := a.follow(s, journal.Interval(0))
		a.append("before")
		for i := range 3 {
			require.NoError(t, f.Refresh(t.Context()))
			assert.Equal(t, i+1, f.Stats().Polls)
		}
		s.take()
		a.append("flag")
		require.NoError(t, f.Refresh(t.Context()))
		require.Equal(t, []string{"flag"}, s.take())
		assert.WithinDuration(t, time.Now(), f.Stats().LastPoll, 0)
		changed := f.Stats().LastChange

		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = f.Run(ctx) }()
		<-time.After(10*journal.DefaultInterval + time.Millisecond)
		assert.Equal(t, 4+11, f.Stats().Polls)
		assert.True(t, f.Stats().LastPoll.After(changed))
		assert.Equal(t, changed, f.Stats().LastChange, "no poll since found a change")
		stop()
	})
}

func TestRunReturnsWrongOptions(t *testing.T) {
	f := newAccount(t).follow(&sink{}, journal.Interval(-1))
	err := f.Run(t.Context())
	require.ErrorContains(t, err, "Interval(-1ns)")
	assert.Equal(t, err, f.Err())
	assert.NoError(t, newAccount(t).follow(&sink{}).Err())
}
