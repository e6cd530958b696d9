package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/agent"
	"github.com/warmflags/warmflags/internal/clock"
)

// lambdaAPI is Lambda's extensions API for one extension. Each channel blocks the step that it is named after.
type lambdaAPI struct {
	*httptest.Server
	registered chan []string // the events that the extension registered for
	next       chan struct{} // the extension asked for its next event
	events     chan string   // the event that the extension gets: JSON, or "" for an error
}

func newLambdaAPI(t *testing.T) *lambdaAPI {
	l := &lambdaAPI{registered: make(chan []string), next: make(chan struct{}), events: make(chan string)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Events []string }
		if json.NewDecoder(r.Body).Decode(&body) != nil || r.Header.Get("Lambda-Extension-Name") != "warmflags-agent" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		l.registered <- body.Events
		w.Header().Set("Lambda-Extension-Identifier", "id")
		_, _ = fmt.Fprint(w, "{}")
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Lambda-Extension-Identifier") != "id" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		select {
		case l.next <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		select {
		case event := <-l.events:
			if event == "" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = fmt.Fprint(w, event)
		case <-r.Context().Done():
		}
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

func (l *lambdaAPI) address() string { return strings.TrimPrefix(l.URL, "http://") }

func event(kind string, deadline time.Time) string {
	return fmt.Sprintf(`{"eventType":%q,"requestId":"1","deadlineMs":%d}`, kind, deadline.UnixMilli())
}

// run runs an extension with a new agent. The channel ended is closed when Run returns.
func run(t *testing.T, s *system, api *lambdaAPI, e agent.Extension, open func(context.Context) (agent.Opened, error)) (
	a *agent.Agent, cancel context.CancelFunc, ended chan struct{},
) {
	t.Helper()
	a, err := agent.Listen(t.Context(), agent.Config{Address: "127.0.0.1:0", Logger: s.logger(), Open: open})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	e.Agent, e.Address, e.Name, e.Logger = a, api.address(), "warmflags-agent", s.logger()
	ended = make(chan struct{})
	go func() { defer close(ended); e.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return a, cancel, ended
}

func (s *system) opening(context.Context) (agent.Opened, error) { return s.opened, nil }

func TestAnExtensionsLife(t *testing.T) {
	s, api := newSystem(t), newLambdaAPI(t)
	loaded := make(chan struct{})
	now := clock.Instant{Mono: time.Hour}
	a, _, ended := run(t, s, api,
		agent.Extension{Freezes: true, FlushInterval: time.Second, FlushBudget: time.Hour, InitLimit: time.Hour,
			Clock: func() clock.Instant { return now }},
		func(context.Context) (agent.Opened, error) { <-loaded; return s.opened, nil })
	assert.Equal(t, 503, get(t, "http://"+a.Addr().String()+"/status"), "it listens before it registers")
	assert.ElementsMatch(t, []string{"INVOKE", "SHUTDOWN"}, <-api.registered)
	select {
	case <-api.next:
		t.Fatal("INIT must not end before the flags are loaded")
	default:
	}
	close(loaded)
	<-api.next

	soon := func() time.Time { return time.Now().Add(time.Hour) }
	api.events <- event("INVOKE", soon())
	<-api.next
	assert.EqualValues(t, 0, s.events.flushes.Load(), "no events, no flush")
	s.evaluate("on", ada)
	api.events <- event("INVOKE", soon())
	<-api.next
	assert.EqualValues(t, 0, s.events.flushes.Load(), "the interval has not ended")
	now.Mono += time.Second
	api.events <- event("INVOKE", soon())
	<-api.next
	assert.EqualValues(t, 1, s.events.flushes.Load())
	now.Mono += time.Second
	s.evaluate("on", ada)
	api.events <- event("INVOKE", time.Now())
	<-api.next
	assert.EqualValues(t, 1, s.events.flushes.Load(), "no flush: the invocation's deadline is too close")

	api.events <- event("SHUTDOWN", soon())
	<-ended
	assert.EqualValues(t, 1, s.events.closes.Load(), "closing the client sends the rest")
	assert.NotContains(t, s.log.String(), "level=ERROR")
}

// calledBy reports whether a function is among the callers. The function that started the goroutine does not count.
func calledBy(function string) bool {
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// A flush ends before the extension asks for its next event, so that Lambda does not freeze the environment during
// it.
func TestTheNextEventWaitsForTheFlush(t *testing.T) {
	s, api := newSystem(t), newLambdaAPI(t)
	flushing := make(chan struct{})
	s.events.flush = func() bool {
		assert.True(t, calledBy("agent.Extension.serve"), "the goroutine that asks for events")
		flushing <- struct{}{}
		<-flushing
		return true
	}
	run(t, s, api, agent.Extension{Freezes: true, FlushBudget: time.Hour}, s.opening)
	<-api.registered
	<-api.next
	s.evaluate("on", ada)
	api.events <- event("INVOKE", time.Now().Add(time.Hour))
	<-flushing
	select {
	case <-api.next:
		t.Error("the extension asked for the next event during the flush")
	default:
	}
	assert.Equal(t, 200, s.evaluate("off", ada).status, "flags are served meanwhile")
	flushing <- struct{}{}
	<-api.next
}

func TestManagedInstancesGetNoInvocations(t *testing.T) {
	s, api := newSystem(t), newLambdaAPI(t)
	run(t, s, api, agent.Extension{}, s.opening)
	assert.Equal(t, []string{"SHUTDOWN"}, <-api.registered)
	<-api.next
}

func TestAnExtensionThatFailsGoesOnServing(t *testing.T) {
	for name, fail := range map[string]func(api *lambdaAPI){
		"no next event":  func(api *lambdaAPI) { <-api.registered; <-api.next; api.events <- "" },
		"an odd event":   func(api *lambdaAPI) { <-api.registered; <-api.next; api.events <- "{" },
		"not registered": func(api *lambdaAPI) { api.CloseClientConnections(); api.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s, api := newSystem(t), newLambdaAPI(t)
			if name == "not registered" {
				fail(api)
			}
			a, cancel, ended := run(t, s, api, agent.Extension{Freezes: true}, s.opening)
			if name != "not registered" {
				fail(api)
			}
			require.Eventually(t,
				func() bool {
					return strings.Contains(s.log.String(),
						"flags are still served")
				}, time.Minute, time.Millisecond)
			status := "http://" + a.Addr().String() + "/status" // 503 until the loader has run
			require.Eventually(t, func() bool { return get(t, status) == 200 }, time.Minute, time.Millisecond)
			select {
			case <-ended:
				t.Fatal("Lambda ends the function when an extension exits")
			default:
			}
			cancel()
			<-ended
			assert.EqualValues(t, 1, s.events.closes.Load())
		})
	}
}

func TestAPanicInAFlushIsRecovered(t *testing.T) {
	s, api := newSystem(t), newLambdaAPI(t)
	s.events.flush = func() bool { panic("planted") }
	run(t, s, api, agent.Extension{Freezes: true, FlushBudget: time.Hour}, s.opening)
	<-api.registered
	<-api.next
	s.evaluate("on", ada)
	api.events <- event("INVOKE", time.Now().Add(time.Hour))
	<-api.next
	assert.Contains(t, s.log.String(), "planted")
}

// If the first load fails, the extension neither exits nor delays Lambda.
func TestAnExtensionWithoutFlags(t *testing.T) {
	s, api := newSystem(t), newLambdaAPI(t)
	a, _, ended := run(t, s, api, agent.Extension{Freezes: true},
		func(context.Context) (agent.Opened, error) { return nil, errors.New("planted") })
	<-api.registered
	<-api.next
	assert.Equal(t, 503, get(t, "http://"+a.Addr().String()+"/status"))
	api.events <- event("SHUTDOWN", time.Now().Add(time.Hour))
	<-ended
}
