//go:build unix

package extension_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/extension"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
)

// The function under test is this test binary: a LaunchDarkly client with events, which does not send them on its own.
// These are its environment variables.
const (
	eventsTo = "EXTENSION_TEST_EVENTS"
	budget   = "EXTENSION_TEST_BUDGET"
	interval = "EXTENSION_TEST_INTERVAL"
)

func TestMain(m *testing.M) {
	url := os.Getenv(eventsTo)
	if url == "" {
		os.Exit(m.Run())
	}
	data := ldtestdata.DataSource()
	data.Update(data.Flag("flag").BooleanFlag())
	config := ld.Config{
		DataSource: data, Events: ldcomponents.SendEvents().FlushInterval(24 * time.Hour), DiagnosticOptOut: true,
		Logging: ldcomponents.Logging().MinLevel(ldlog.Error),
		HTTP:    ldcomponents.HTTPConfiguration().ConnectTimeout(time.Hour), // otherwise it sends twice after a stall
	}
	config.ServiceEndpoints.Events = url
	client, err := ld.MakeCustomClient("sdk", config, time.Minute)
	if err != nil {
		panic(err)
	}
	flushBudget, err := time.ParseDuration(os.Getenv(budget))
	if err != nil {
		panic(err)
	}
	flushInterval, err := time.ParseDuration(os.Getenv(interval))
	if err != nil {
		panic(err)
	}
	events, err := extension.Start(context.Background(),
		extension.Config{Client: client, FlushBudget: flushBudget, Interval: flushInterval})
	if err != nil {
		panic(err)
	}
	lambda.Start(events.Handler(lambda.NewHandler(func(_ context.Context, user string) (bool, error) {
		return client.BoolVariation("flag", ldcontext.New(user), false)
	})))
}

// launchDarkly is a server for events. Each request waits until it is released.
type launchDarkly struct {
	*httptest.Server
	posts   chan struct{} // has an element for each request that arrived
	release chan struct{} // receives an element before each answer; closed: all requests are answered
}

func newLaunchDarkly(t *testing.T) *launchDarkly {
	l := &launchDarkly{posts: make(chan struct{}, 100), release: make(chan struct{})}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.posts <- struct{}{}
		select {
		case <-l.release:
			w.WriteHeader(http.StatusAccepted)
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(l.Server.Close)
	return l
}

func newFunction(
	t *testing.T, l *launchDarkly, flushBudget, flushInterval string, concurrency int,
) *runtimeapi.Function {
	binary, err := os.Executable()
	require.NoError(t, err)
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: binary, Timeout: time.Hour, InitLimit: time.Hour, Output: t.Output(), PatientShutdown: true,
		Concurrency: concurrency,
		Env:         []string{eventsTo + "=" + l.URL, budget + "=" + flushBudget, interval + "=" + flushInterval},
	})
	t.Cleanup(f.Close)
	return f
}

// The caller has its answer before LaunchDarkly has accepted the events. They are sent before the freeze.
func TestEventsAreSentAfterTheAnswerAndBeforeTheFreeze(t *testing.T) {
	l := newLaunchDarkly(t)
	f := newFunction(t, l, "1h", "1ns", 0)
	for range 3 {
		invocation := f.Begin(t.Context(), []byte(`"ada"`))
		r, err := invocation.Answer(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "true", string(r.Payload))
		<-l.posts
		assert.False(t, invocation.Ended(), "the environment is not frozen yet")
		l.release <- struct{}{}
		_, err = invocation.End(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, r.Container)
	}
	assert.Empty(t, l.posts)
}

func TestABlockedFlushEndsAfterTheBudget(t *testing.T) {
	l := newLaunchDarkly(t) // never released
	f := newFunction(t, l, "50ms", "1ns", 0)
	for range 3 {
		_, err := f.Invoke(t.Context(), []byte(`"ada"`))
		require.NoError(t, err)
	}
	assert.Equal(t, 1, f.Started())
}

func TestEventsNotYetSentAreSentAtShutdown(t *testing.T) {
	for name, concurrency := range map[string]int{"an ordinary function": 0, "Managed Instances": 4} {
		t.Run(name, func(t *testing.T) {
			l := newLaunchDarkly(t)
			close(l.release)
			f := newFunction(t, l, "1h", "24h", concurrency)
			want := 0
			if concurrency == 0 {
				want = 1 // after the first invocation
			}
			for range 3 {
				_, err := f.Invoke(t.Context(), []byte(`"ada"`))
				require.NoError(t, err)
			}
			require.Len(t, l.posts, want)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for range want + 1 {
					<-l.posts
				}
				cancel() // Lambda's shutdown timeout ends after the events have arrived
			}()
			f.Recycle(ctx)
			<-ctx.Done()
			require.NoError(t, t.Context().Err())
		})
	}
}
