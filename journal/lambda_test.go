package journal_test

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
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

// inside is a handler that runs f.
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
		for _, told := range [][]string{{"wake", "*", "handler"}, {"wake", "handler"}} {
			answer, err := h.Invoke(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, "answer", string(answer))
			assert.Equal(t, told, s.take())
		}
		a.append("b")
		time.Sleep(time.Second)
		_, _ = h.Invoke(t.Context(), nil)
		assert.Equal(t, []string{"wake", "b", "handler"}, s.take())
	})
}

func TestASinkNeedNotBeAWaker(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		f := a.follow(&exact{})
		_, err := f.Handler(lambda.NewHandler(func() error { return nil })).Invoke(t.Context(), nil)
		assert.NoError(t, err)
	})
}

func TestASlowLookGoesOnBesideTheInvocation(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.append("a")
		s := &sink{}
		f := a.follow(s)
		release := slow(a)
		start := time.Now()
		h := wrap(f, func(context.Context, []byte) ([]byte, error) {
			assert.Equal(t, 20*time.Millisecond, time.Since(start), "the budget")
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

func TestASlowLookIsGivenUpWithTheInvocation(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.append("a")
		s := &sink{}
		f := a.follow(s, journal.Budget(0))
		release := slow(a)
		start := time.Now()
		_, err := wrap(f, func(context.Context, []byte) ([]byte, error) { return nil, nil }).Invoke(t.Context(), nil)
		require.NoError(t, err)
		assert.Zero(t, time.Since(start))
		release()
		synctest.Wait()
		assert.Equal(t, []string{"wake"}, s.take())
		assert.Equal(t, 1, f.Stats().Abandoned)
	})
}

func TestALookLeavesHalfOfTheTimeToTheInvocation(t *testing.T) {
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

// A first look that begins before the client starts is for the first invocation too, however that ends.
func TestTheFirstLookOverlapsTheStart(t *testing.T) {
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
		require.NoError(t, <-done, "the one who began it still waits")
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, 1, a.Calls("GetItem")-before)
	})
}

func TestErrorsPanicsAndTheContextPassThrough(t *testing.T) {
	eachForm(t, func(t *testing.T, a *account, wrap func(*journal.Follower, inside) lambda.Handler) {
		a.Intercept(func(context.Context, string, any) error { return errDown })
		client := &eventful{}
		f := a.follow(&sink{})
		f.FlushEvents(client)
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
		assert.Contains(t, stack, "journal_test.panics", "the place of the panic is still to be seen")
		assert.Len(t, client.timeouts(), 2, "events are sent all the same")
	})
}

func panics(with error) ([]byte, error) { panic(with) }

// eventful is a client with events.
type eventful struct {
	takes time.Duration

	mu      sync.Mutex // guards flushed
	flushed []time.Duration
}

func (e *eventful) FlushAndWait(timeout time.Duration) bool {
	e.mu.Lock()
	e.flushed = append(e.flushed, timeout)
	e.mu.Unlock()
	time.Sleep(e.takes) // virtual
	return e.takes < timeout
}

// timeouts are those of the calls so far.
func (e *eventful) timeouts() []time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.flushed)
}

func TestEventsAreSentWithinTheBudget(t *testing.T) {
	const ms, never = time.Millisecond, 24 * time.Hour
	for _, c := range []struct {
		name        string
		takes, left time.Duration // left: of the invocation's time; 0: no deadline
		options     []journal.Option
		timeouts    []time.Duration // of two invocations
		took        time.Duration   // the first one
	}{
		{"soon", 30 * ms, 0, nil, []time.Duration{100 * ms, 100 * ms}, 30 * ms},
		{"never: the second does not wait for it", never, 0, nil, []time.Duration{100 * ms}, 100 * ms},
		{"another budget", never, 0, []journal.Option{journal.FlushBudget(time.Second)}, []time.Duration{time.Second}, time.Second},
		{"little time left: half of it is for the answer", never, 10 * ms, nil, []time.Duration{5 * ms}, 5 * ms},
		{"no time left", never, -ms, nil, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, a *account) {
				client := &eventful{takes: c.takes}
				f := a.follow(&sink{}, c.options...)
				f.FlushEvents(client)
				for range 2 {
					ctx, start, cancel := t.Context(), time.Now(), func() {}
					if c.left != 0 {
						ctx, cancel = context.WithTimeout(ctx, c.left)
					}
					_, err := f.Handler(lambda.NewHandler(func() {})).Invoke(ctx, nil)
					cancel()
					require.NoError(t, err)
					assert.Contains(t, []time.Duration{0, c.took}, time.Since(start))
				}
				assert.Equal(t, c.timeouts, client.timeouts())
				time.Sleep(never)
			})
		})
	}
}

func TestWrongOptionsAreLoggedOnceByInvocations(t *testing.T) {
	bubble(t, func(t *testing.T, a *account) {
		f := a.follow(&sink{}, journal.Interval(-1))
		for range 3 {
			_, err := f.Handler(lambda.NewHandler(func() {})).Invoke(t.Context(), nil)
			require.NoError(t, err)
		}
		assert.Contains(t, a.log.String(), "Interval(-1ns)")
		assert.Equal(t, 1, strings.Count(a.log.String(), "\n"))
	})
}

var _ change.Waker = (*sink)(nil)
