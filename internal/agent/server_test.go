package agent_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/agent"
)

func TestRequestsThatAreRefused(t *testing.T) {
	s := newSystem(t)
	for name, c := range map[string]struct {
		apiKey  string // the agent's
		method  string
		url     string
		headers []string
		status  int
	}{
		"bearer token": {apiKey, "POST", "http://agent:8016/ofrep/v1/evaluate/flags/on",
			[]string{"Authorization", "Bearer " + apiKey}, 200},
		"bearer in lower case": {apiKey, "POST", "http://agent:8016/ofrep/v1/evaluate/flags/on",
			[]string{"Authorization", "bearer " + apiKey}, 200},
		"X-API-Key": {apiKey, "POST", "http://agent:8016/ofrep/v1/evaluate/flags/on",
			[]string{"X-API-Key", apiKey}, 200},
		"status needs the key": {apiKey, "GET", "http://127.0.0.1/status", nil, 401},
		"no key":               {apiKey, "POST", "http://127.0.0.1/ofrep/v1/evaluate/flags/on", nil, 401},
		"wrong key": {apiKey, "POST", "http://127.0.0.1/ofrep/v1/evaluate/flags/on",
			[]string{"X-API-Key", "Secret"}, 401},
		"wrong scheme": {apiKey, "POST", "http://127.0.0.1/ofrep/v1/evaluate/flags/on",
			[]string{"Authorization", "Basic " + apiKey}, 401},
		"no key needed": {"", "POST", "http://127.0.0.1:8016/ofrep/v1/evaluate/flags/on", nil, 200},
		"a key that is not needed": {"", "POST", "http://localhost:8016/ofrep/v1/evaluate/flags/on",
			[]string{"X-API-Key", "x"}, 200},
		"IPv6":                  {"", "POST", "http://[::1]:8016/ofrep/v1/evaluate/flags/on", nil, 200},
		"another host's name":   {"", "POST", "http://evil.example/ofrep/v1/evaluate/flags/on", nil, 403},
		"a name like localhost": {"", "POST", "http://localhost.evil.example/ofrep/v1/evaluate/flags/on", nil, 403},
		"what a web form can send": {"", "POST", "http://127.0.0.1/ofrep/v1/evaluate/flags/on",
			[]string{"Content-Type", "text/plain"}, 415},
		"another method": {"", "GET", "http://127.0.0.1/ofrep/v1/evaluate/flags/on", nil, 405},
		"a preflight gets no CORS": {"", "OPTIONS", "http://127.0.0.1/ofrep/v1/evaluate/flags/on",
			[]string{"Origin", "http://evil.example"}, 405},
		"an unknown path":           {"", "GET", "http://127.0.0.1/", nil, 404},
		"another version of OFREP":  {"", "POST", "http://127.0.0.1/ofrep/v2/evaluate/flags/on", nil, 404},
		"status":                    {"", "GET", "http://127.0.0.1/status", nil, 200},
		"status under another name": {"", "GET", "http://evil.example/status", nil, 403},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(ada))
			request.Header.Set("Content-Type", "application/json")
			for i := 0; i < len(c.headers); i += 2 {
				request.Header.Set(c.headers[i], c.headers[i+1])
			}
			recorded := httptest.NewRecorder()
			agent.NewHandler(s, c.apiKey, "test", s.logger()).ServeHTTP(recorded, request)
			assert.Equal(t, c.status, recorded.Code, recorded.Body.String())
			for header := range recorded.Header() {
				assert.NotContains(t, header, "Access-Control")
			}
		})
	}
	assert.NotContains(t, s.log.String(), apiKey)
}

// held is an Opened whose evaluations block.
type held struct {
	agent.Opened
	entered, release chan struct{}
}

func (h held) Evaluate(key string, c ldcontext.Context) (ldvalue.Value, ldreason.EvaluationDetail) {
	h.entered <- struct{}{}
	<-h.release
	if key == "panic" {
		panic("planted")
	}
	return h.Opened.Evaluate(key, c)
}

func TestTooManyConcurrentRequests(t *testing.T) {
	s := newSystem(t)
	h := held{s.opened, make(chan struct{}), make(chan struct{})}
	s.opened = h
	const limit = 256
	answers := make(chan answer, limit)
	for range limit {
		go func() { answers <- s.evaluate("on", ada) }()
		<-h.entered
	}
	refused := s.evaluate("on", ada)
	assert.Equal(t, 429, refused.status)
	assert.Equal(t, "1", refused.header.Get("Retry-After"))
	close(h.release)
	for range limit {
		require.Equal(t, 200, (<-answers).status)
	}
	go func() { <-h.entered }()
	assert.Equal(t, 200, s.evaluate("on", ada).status, "no request is being handled any more")
}

func TestAPanicIsAnswered(t *testing.T) {
	s := newSystem(t)
	h := held{s.opened, make(chan struct{}, 1000), make(chan struct{})}
	close(h.release)
	s.opened = h
	for range 300 { // more than maxConcurrency
		require.Equal(t, 500, s.evaluate("panic", ada).status)
	}
	assert.Equal(t, 200, s.evaluate("on", ada).status)
	assert.Contains(t, s.log.String(), "planted")
}

func TestListenRefusesWrongConfiguration(t *testing.T) {
	open := func(context.Context) (agent.Opened, error) { return nil, errors.New("planted") }
	for name, c := range map[string]struct {
		config agent.Config
		want   string
	}{
		"no port":                {agent.Config{Address: "127.0.0.1", Open: open}, "missing port"},
		"every interface":        {agent.Config{Address: ":0", Open: open}, "other machines"},
		"an address of the host": {agent.Config{Address: "0.0.0.0:0", Open: open}, "set an API key"},
		"two problems":           {agent.Config{Address: "127.0.0.1"}, "Open is nil"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := agent.Listen(t.Context(), c.config)
			require.ErrorContains(t, err, c.want)
		})
	}
	a, err := agent.Listen(t.Context(),
		agent.Config{Address: "0.0.0.0:0", APIKey: apiKey, Open: open, Logger: newSystem(t).logger()})
	require.NoError(t, err, "with a key, every address is allowed")
	require.NoError(t, a.Close(t.Context()))
}

func get(t *testing.T, url string) (status int) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// The agent listens before the flags are loaded, reports why it is not ready, and retries.
func TestFlagsAreLoadedInTheBackground(t *testing.T) {
	s := newSystem(t)
	attempts := make(chan error)
	a, err := agent.Listen(t.Context(),
		agent.Config{Address: "127.0.0.1:0", Logger: s.logger(), Open: func(context.Context) (agent.Opened, error) {
			if err := <-attempts; err != nil {
				return nil, err
			}
			return s.opened, nil
		}})
	require.NoError(t, err)
	status := "http://" + a.Addr().String() + "/status"
	assert.Equal(t, 503, get(t, status), "during the first attempt")
	attempts <- errors.New("planted")
	attempts <- nil // the second attempt
	require.Eventually(t, func() bool { return get(t, status) == 200 }, time.Minute, time.Millisecond)
	require.NoError(t, a.Close(t.Context()))
	assert.EqualValues(t, 1, s.events.closes.Load(), "Close closes the flags, which sends the events")
	assert.Equal(t, 1, strings.Count(s.log.String(), "planted"))
}

func TestARequestWaitsForTheFirstLoad(t *testing.T) {
	s := newSystem(t)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := agent.NewLoader(func(ctx context.Context) (agent.Opened, error) { <-ctx.Done(); return nil, ctx.Err() },
			s.logger())
		ctx, cancel := context.WithCancel(t.Context())
		go l.Run(ctx)
		_, err := l.Flags(ctx)
		require.ErrorContains(t, err, "being loaded")
		assert.Equal(t, 2*time.Second, time.Since(start), "the bubble's time")
		cancel()
		synctest.Wait()
	})
}

func TestOneLineForEachCauseOfFailedLoads(t *testing.T) {
	s := newSystem(t)
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		l := agent.NewLoader(func(context.Context) (agent.Opened, error) {
			attempts++
			switch {
			case attempts < 10:
				return nil, errors.New("no table")
			case attempts < 20:
				panic("planted")
			}
			return s.opened, nil
		}, s.logger())
		l.Run(t.Context())
		got, err := l.Flags(t.Context())
		require.NoError(t, err)
		assert.NotNil(t, got)
		assert.Equal(t, 20, attempts)
	})
	assert.Equal(t, 1, strings.Count(s.log.String(), "no table"))
	assert.Equal(t, 1, strings.Count(s.log.String(), "panic: planted"))
}
