package journal_test

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

// inside is a [lambda.Handler] made from a function.
type inside func(ctx context.Context, payload []byte) ([]byte, error)

func (f inside) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return f(ctx, payload) }

// forms are the two ways to wrap a handler.
var forms = map[string]func(*journal.Follower, inside) lambda.Handler{
	"Handler": func(f *journal.Follower, h inside) lambda.Handler { return f.Handler(h) },
	"Wrap":    func(f *journal.Follower, h inside) lambda.Handler { return inside(journal.Wrap(f, h)) },
}

func eachForm(t *testing.T, test func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler)) {
	t.Helper()
	for name, wrap := range forms {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, a *account) { test(t, a, wrap) })
		})
	}
}

func TestEachInvocationStartsFresh(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		h := wrap(f, func(context.Context, []byte) ([]byte, error) {
			s.note("handler")
			return []byte("answer"), nil
		})
		for _, calls := range [][]string{{"wake", "*", "handler"}, {"wake", "handler"}} {
			answer, err := h.Invoke(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, "answer", string(answer))
			assert.Equal(t, calls, s.take())
		}
		a.append("b")
		time.Sleep(time.Second)
		_, _ = h.Invoke(t.Context(), nil)
		assert.Equal(t, []string{"wake", "b", "handler"}, s.take())
	})
}

func TestASinkWithoutWake(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		f := a.follow(&exact{})
		_, err := f.Handler(lambda.NewHandler(func() error { return nil })).Invoke(t.Context(), nil)
		assert.NoError(t, err)
	})
}

func TestASlowPollGoesOnBesideTheInvocation(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		release := slow(a)
		start := time.Now()
		h := wrap(f, func(context.Context, []byte) ([]byte, error) {
			assert.Equal(t, journal.DefaultReconnectBudget, time.Since(start))
			assert.Equal(t, []string{"wake"}, s.take())
			release()
			synctest.Wait()
			assert.Equal(t, []string{"*"}, s.take())
			return nil, nil
		})
		_, err := h.Invoke(t.Context(), nil)
		require.NoError(t, err)
	})
}

// Each invocation is shorter than a read, so each poll ends during a later invocation.
func TestASlowPollGoesOnAfterTheInvocation(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.append("a")
		s := &sink{}
		f := a.follow(s, journal.Budget(0), journal.ReconnectBudget(0))
		release := slow(a)
		start := time.Now()
		h := wrap(f, func(context.Context, []byte) ([]byte, error) { return nil, nil })
		_, err := h.Invoke(t.Context(), nil)
		require.NoError(t, err)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, []string{"wake"}, s.take())
		release()
		synctest.Wait()
		assert.Equal(t, []string{"*"}, s.take())
		assert.Zero(t, f.Stats().Errors)
	})
}

// The first poll, and the first one after a pause, may need a new connection.
func TestAPollAfterAPauseHasTheReconnectBudget(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		f := a.follow(&sink{}, journal.Budget(10*time.Millisecond), journal.ReconnectBudget(90*time.Millisecond))
		for _, c := range []struct{ pause, waits time.Duration }{
			{0, 90 * time.Millisecond},
			{time.Second, 10 * time.Millisecond},
			{4 * time.Second, 10 * time.Millisecond},
			{time.Minute, 90 * time.Millisecond},
			{2 * time.Second, 10 * time.Millisecond},
		} {
			time.Sleep(c.pause)
			release := slow(a)
			start := time.Now()
			_, err := wrap(f, func(context.Context, []byte) ([]byte, error) {
				assert.Equal(t, c.waits, time.Since(start), "after %v", c.pause)
				return nil, nil
			}).Invoke(t.Context(), nil)
			require.NoError(t, err)
			release()
			synctest.Wait()
		}
	})
}

func TestAPollLeavesHalfOfTheTimeToTheInvocation(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		f := a.follow(&sink{}, journal.Budget(time.Second))
		defer slow(a)()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := wrap(f, func(context.Context, []byte) ([]byte, error) {
			assert.Equal(t, 50*time.Millisecond, time.Since(start))
			return nil, nil
		}).Invoke(ctx, nil)
		require.NoError(t, err)
	})
}

func TestTheFirstPollOverlapsTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		before := a.Calls("GetItem")
		release := slow(a)
		done := make(chan error)
		go func() { done <- f.Refresh(t.Context()) }()
		synctest.Wait()
		_, err := f.Handler(lambda.NewHandler(func() {})).Invoke(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, []string{"wake"}, s.take())
		release()
		require.NoError(t, <-done)
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, 1, a.Calls("GetItem")-before)
	})
}

// While an invocation is running the environment is not frozen. Another Wake would discard its reads.
func TestOverlappingInvocationsWakeOnce(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		before := a.Calls("GetItem")
		gate := make(chan struct{})
		h := wrap(f, func(context.Context, []byte) ([]byte, error) { <-gate; return nil, nil })
		for round := range 2 {
			var running sync.WaitGroup
			for range 32 {
				running.Go(func() { _, _ = h.Invoke(t.Context(), nil) })
				synctest.Wait()
			}
			gate <- struct{}{} // one invocation ends and another begins
			running.Go(func() { _, _ = h.Invoke(t.Context(), nil) })
			synctest.Wait()
			for range 32 {
				gate <- struct{}{}
			}
			running.Wait()
			assert.Equal(t, map[int][]string{0: {"wake", "*"}, 1: {"wake"}}[round], s.take())
		}
		assert.Equal(t, 1, a.Calls("GetItem")-before, "within an interval")
	})
}

func TestErrorsPanicsAndTheContextPassThrough(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.Intercept(func(context.Context, string, any) error { return errDown })
		f := a.follow(&sink{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		failure := errors.New("the handler's own")
		_, err := wrap(f, func(c context.Context, payload []byte) ([]byte, error) {
			assert.Same(t, ctx, c)
			assert.Equal(t, "payload", string(payload))
			return nil, failure
		}).Invoke(ctx, []byte("payload"))
		assert.Same(t, failure, err)

		var stack string
		func() {
			defer func() {
				stack = string(debug.Stack())
				assert.Same(t, failure, recover())
			}()
			_, _ = wrap(f, func(context.Context, []byte) ([]byte, error) { return panics(failure) }).Invoke(ctx, nil)
		}()
		assert.Contains(t, stack, "journal_test.panics", "the stack still shows where the panic happened")
	})
}

func panics(with error) ([]byte, error) { panic(with) }

func TestWrongOptionsAreLoggedOnceByInvocations(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		f := a.follow(&sink{}, journal.Interval(-1))
		for range 3 {
			_, err := f.Handler(lambda.NewHandler(func() {})).Invoke(t.Context(), nil)
			require.NoError(t, err)
		}
		assert.Contains(t, a.logged(), "Interval(-1ns)")
		assert.Equal(t, 1, strings.Count(a.logged(), "\n"))
	})
}

var _ change.Waker = (*sink)(nil)
