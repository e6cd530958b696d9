package extension

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/clock"
)

// client is a client whose flushes take some time.
type client struct {
	takes time.Duration

	mu       sync.Mutex // guards timeouts
	timeouts []time.Duration
}

func (c *client) FlushAndWait(timeout time.Duration) bool {
	c.mu.Lock()
	c.timeouts = append(c.timeouts, timeout)
	c.mu.Unlock()
	time.Sleep(c.takes) // virtual
	return true
}

// flushes returns the timeouts of the flushes since the last call.
func (c *client) flushes() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeouts := c.timeouts
	c.timeouts = nil
	return timeouts
}

// fakeLambda is Lambda's side of the extensions API.
type fakeLambda struct {
	*Extension
	client *client
	asked  chan struct{} // has an element for each request for an event
	events chan Event
	log    bytes.Buffer
}

// bubble runs a test in virtual time, with an extension that has asked for its first event.
func bubble(t *testing.T, config Config, takes time.Duration, test func(t *testing.T, l *fakeLambda)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLambda{client: &client{takes: takes}, asked: make(chan struct{}, 100), events: make(chan Event)}
		start := time.Now()
		config.Client, config.Logger = l.client, slog.New(slog.NewTextHandler(&l.log, nil))
		config.Clock = func() clock.Instant {
			return clock.Instant{Mono: time.Since(start) + 1, Wall: time.Since(start) + 1}
		}
		ctx, cancel := context.WithCancel(t.Context())
		l.Extension = &Extension{
			config: config.withDefaults(), cancel: cancel, change: make(chan struct{}), next: l.serve,
		}
		l.running.Go(func() { l.run(ctx) })
		synctest.Wait()
		require.Len(t, l.asked, 1, "it asks at once, because Lambda's start waits for this")
		test(t, l)
		require.NoError(t, l.Close(t.Context()))
		time.Sleep(24 * time.Hour) // until every flush has ended
	})
}

func (l *fakeLambda) serve(ctx context.Context) (Event, error) {
	l.asked <- struct{}{}
	select {
	case e := <-l.events:
		if e.RequestID == "" {
			return e, errors.New("Lambda's API failed")
		}
		return e, nil
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

// invoke runs one invocation, whose handler takes one second and whose timeout is ten seconds. It returns the time by
// which the extension delayed the end of the invocation.
func (l *fakeLambda) invoke(t *testing.T, id string) time.Duration {
	t.Helper()
	<-l.asked
	l.events <- Event{RequestID: id, DeadlineMs: time.Now().Add(10 * time.Second).UnixMilli()}
	time.Sleep(time.Second)
	answered := time.Now()
	l.Ended(lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: id}))
	for synctest.Wait(); len(l.asked) == 0; synctest.Wait() {
		time.Sleep(time.Millisecond)
	}
	return time.Since(answered)
}

func TestAFlushDelaysTheEndOfTheInvocation(t *testing.T) {
	for name, c := range map[string]struct {
		takes, budget, want, timeout time.Duration
	}{
		"sent soon":        {30 * time.Millisecond, 0, 30 * time.Millisecond, time.Second},
		"the budget":       {time.Hour, 0, time.Second, time.Second},
		"another budget":   {time.Hour, 2 * time.Second, 2 * time.Second, 2 * time.Second},
		"the deadline":     {time.Hour, time.Hour, 8900 * time.Millisecond, 8900 * time.Millisecond},
		"nothing recorded": {0, 0, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{FlushBudget: c.budget}, c.takes, func(t *testing.T, l *fakeLambda) {
				assert.Equal(t, c.want, l.invoke(t, "1"))
				assert.Equal(t, []time.Duration{c.timeout}, l.client.flushes())
			})
		})
	}
}

func TestFlushesHaveAnInterval(t *testing.T) {
	bubble(t, Config{Interval: 10 * time.Second}, 30*time.Millisecond, func(t *testing.T, l *fakeLambda) {
		for _, c := range []struct{ pause, delay time.Duration }{
			{0, 30 * time.Millisecond}, {0, 0}, {5 * time.Second, 0}, {4 * time.Second, 30 * time.Millisecond},
			{time.Second, 0},
		} {
			time.Sleep(c.pause)
			assert.Equal(t, c.delay, l.invoke(t, "id "+c.pause.String()+c.delay.String()), "after %v", c.pause)
		}
		assert.Len(t, l.client.flushes(), 2)
	})
}

// FlushAndWait may return late, while the client's queue is full.
func TestOneFlushAtATime(t *testing.T) {
	config := Config{Interval: time.Millisecond, FlushBudget: time.Millisecond}
	bubble(t, config, time.Minute, func(t *testing.T, l *fakeLambda) {
		assert.Equal(t, time.Millisecond, l.invoke(t, "1"))
		for _, id := range []string{"2", "3"} {
			assert.Zero(t, l.invoke(t, id))
		}
		assert.Len(t, l.client.flushes(), 1)
		time.Sleep(time.Minute)
		assert.Equal(t, time.Millisecond, l.invoke(t, "4"))
		assert.Len(t, l.client.flushes(), 1)
	})
}

func TestAFlushWaitsForItsOwnInvocation(t *testing.T) {
	ended := func(l *fakeLambda, id string) {
		l.Ended(lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: id}))
	}
	bubble(t, Config{}, 0, func(t *testing.T, l *fakeLambda) {
		<-l.asked
		ended(l, "0")
		l.Ended(t.Context()) // without an invocation
		l.events <- Event{RequestID: "1", DeadlineMs: time.Now().Add(time.Minute).UnixMilli()}
		synctest.Wait()
		assert.Empty(t, l.client.flushes())
		ended(l, "1")
		synctest.Wait()
		assert.Len(t, l.client.flushes(), 1)

		<-l.asked
		time.Sleep(DefaultInterval)
		ended(l, "2") // before its event has arrived
		l.events <- Event{RequestID: "2", DeadlineMs: time.Now().Add(time.Minute).UnixMilli()}
		synctest.Wait()
		assert.Len(t, l.client.flushes(), 1)

		<-l.asked
		time.Sleep(DefaultInterval)
		l.events <- Event{RequestID: "3", DeadlineMs: time.Now().Add(time.Second).UnixMilli()}
		time.Sleep(900 * time.Millisecond) // the handler does not return: Lambda must not wait for the extension
		synctest.Wait()
		assert.Len(t, l.asked, 1)
		assert.Empty(t, l.client.flushes())
	})
}

// A function whose handler is not wrapped does not call Ended. Its invocations must not stay open until the deadline.
func TestAFlushDoesNotWaitForAHandlerThatIsNotWrapped(t *testing.T) {
	config := Config{Wrapped: func() bool { return false }}
	bubble(t, config, 30*time.Millisecond, func(t *testing.T, l *fakeLambda) {
		for _, flushes := range []int{1, 0} {
			<-l.asked
			began := time.Now()
			l.events <- Event{RequestID: "1", DeadlineMs: began.Add(time.Minute).UnixMilli()}
			time.Sleep(30 * time.Millisecond)
			synctest.Wait()
			assert.Len(t, l.asked, 1, "it asks for the next event after the flush")
			assert.Len(t, l.client.flushes(), flushes, "at most one in an interval")
		}
	})
}

func TestAFailureOfTheAPIIsLoggedOnce(t *testing.T) {
	bubble(t, Config{}, 0, func(t *testing.T, l *fakeLambda) {
		l.events <- Event{}
		synctest.Wait()
		assert.Equal(t, 1, strings.Count(l.log.String(), "Lambda's API failed"), l.log.String())
		assert.Len(t, l.asked, 1, "it does not retry")
	})
}

func TestOutsideOfLambdaThereIsNoExtension(t *testing.T) {
	e, err := Start(t.Context(), Config{Client: &client{}, Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	require.Nil(t, e)
	e.Ended(t.Context())
	assert.NoError(t, e.Close(t.Context()))
	assert.Nil(t, e.Handler(nil))
}

func TestWrongConfigurations(t *testing.T) {
	for _, c := range []Config{{}, {Client: &client{}, FlushBudget: -1}, {Client: &client{}, Interval: -1}} {
		c.Getenv = func(string) string { return "127.0.0.1:1" }
		_, err := Start(t.Context(), c)
		assert.ErrorContains(t, err, "start extension")
	}
}
