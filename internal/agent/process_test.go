//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/agent"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
)

// The function and its extension are this test binary, with different first arguments.
const (
	asFunction = "as-function"
	asAgent    = "as-agent"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == asFunction:
		lambda.Start(evaluateByHTTP)
	case len(os.Args) == 2 && os.Args[1] == asAgent:
		if err := agent.Main(context.Background(), os.Args[0], "test"); err != nil {
			panic(err)
		}
	default:
		os.Exit(m.Run())
	}
}

// evaluateByHTTP stands for a function in any language: it uses only OFREP. Its event is the agent's address. If that
// is empty, it evaluates nothing.
func evaluateByHTTP(ctx context.Context, address string) (json.RawMessage, error) {
	if address == "" {
		return json.RawMessage("null"), nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+address+"/ofrep/v1/evaluate/flags/text", strings.NewReader(ada))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// launchDarkly receives events and counts the evaluations in them.
type launchDarkly struct {
	*httptest.Server
	mu          sync.Mutex // guards the fields below
	evaluations int
	received    map[string]bool // IDs of the payloads: the client sends one again that was not answered in time
}

func newLaunchDarkly(t *testing.T) *launchDarkly {
	l := &launchDarkly{received: map[string]bool{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent []struct {
			Kind     string
			Features map[string]struct{ Counters []struct{ Count int } }
		}
		body, _ := io.ReadAll(r.Body)
		assert.NoError(t, json.NewDecoder(bytes.NewReader(body)).Decode(&sent), "%s", body)
		l.mu.Lock()
		defer l.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		id := r.Header.Get("X-LaunchDarkly-Payload-ID")
		if l.received[id] {
			return
		}
		l.received[id] = true
		for _, event := range sent {
			for _, counter := range event.Features["text"].Counters {
				l.evaluations += counter.Count
			}
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// function is a function with one container, in which the agent listens on the address.
type function struct {
	*runtimeapi.Function
	address string
}

var listening = regexp.MustCompile(`"msg":"agent listening","address":"(.+?)"`)

// lambdaWithAgent returns a function with the agent as its extension. The table is in this process.
func lambdaWithAgent(t *testing.T, s *system, events string, more ...string) *function {
	db := httptest.NewServer(s.DynamoDB)
	t.Cleanup(db.Close)
	var log logBuffer
	self, err := os.Executable()
	require.NoError(t, err)
	f := &function{Function: runtimeapi.New(runtimeapi.Config{
		Bootstrap: self, Args: []string{asFunction}, Extensions: []string{self + " " + asAgent},
		Env: append([]string{
			"TABLE_NAME=" + table, "PREFIX=" + prefix, "LD_SDK_KEY=sdk-key", "WARMFLAGS_ADDRESS=127.0.0.1:0",
			"WARMFLAGS_POLL_INTERVAL=0", "WARMFLAGS_POLL_BUDGET=1m", "WARMFLAGS_EVENTS_URI=" + events,
			"AWS_ENDPOINT_URL_DYNAMODB=" + db.URL, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=key",
			"AWS_SECRET_ACCESS_KEY=secret",
		}, more...),
		Timeout: 5 * time.Minute, InitLimit: 5 * time.Minute, PatientShutdown: true,
		Output: io.MultiWriter(t.Output(), &log),
	})}
	t.Cleanup(f.Close)
	_, err = f.Invoke(t.Context(), []byte(`""`)) // starts the container
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		line := listening.FindStringSubmatch(log.String())
		if line != nil {
			f.address = line[1]
		}
		return line != nil
	}, 5*time.Minute, time.Millisecond, "the agent logs its address")
	return f
}

// invoke invokes the function and returns a field of its response.
func invoke(t *testing.T, f *function, field string) any {
	t.Helper()
	result, err := f.Invoke(t.Context(), fmt.Appendf(nil, "%q", f.address))
	require.NoError(t, err)
	var body map[string]any
	require.NoError(t, json.Unmarshal(result.Payload, &body), "%s", result.Payload)
	return body[field]
}

// In processes that are really frozen between invocations, each invocation sees what the journal held when the
// invocation began, and no event is lost.
func TestAFrozenExtensionIsFresh(t *testing.T) {
	s, events := newSystem(t), newLaunchDarkly(t)
	f := lambdaWithAgent(t, s, events.URL)
	const rounds = 20
	for i := range rounds {
		value := fmt.Sprint("round ", i)
		s.put("text", fmt.Sprintf(`"on":true,"fallthrough":{"variation":0},"variations":[%q]`, value))
		require.Equal(t, value, invoke(t, f, "value"))
	}
	f.Recycle(t.Context())
	events.mu.Lock()
	defer events.mu.Unlock()
	assert.Equal(t, rounds, events.evaluations)
}

// An extension with a wrong configuration neither ends the function nor delays it.
func TestAMisconfiguredExtensionLetsTheFunctionRun(t *testing.T) {
	s := newSystem(t)
	f := lambdaWithAgent(t, s, "", "TABLE_NAME=", "WARMFLAGS_POLL_INTERVAL=soon")
	for range 2 {
		details := invoke(t, f, "errorDetails")
		assert.Contains(t, details, "TABLE_NAME is not set")
		assert.Contains(t, details, `WARMFLAGS_POLL_INTERVAL "soon"`)
	}
}
