//go:build unix

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
)

// The function is this test's own binary.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// invoke starts the function with a table that has no flags, invokes it once, and ends it. It returns the log.
func invoke(t *testing.T, env ...string) (log string) {
	t.Helper()
	cloud := localaws.New()
	cloud.CreateFlagTable("flags")
	table := httptest.NewServer(cloud.DynamoDB)
	defer table.Close()
	var output bytes.Buffer
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: os.Args[0], Timeout: time.Minute, InitLimit: time.Minute, Output: &output,
		Env: append(env, "TABLE=flags", "AWS_ENDPOINT_URL="+table.URL),
	})
	r, err := f.Invoke(t.Context(), []byte(`"ada"`))
	f.Close()
	require.NoError(t, err, "output: %s", &output)
	assert.JSONEq(t, `"the checkout that you know"`, string(r.Payload))
	return output.String()
}

// test/lambda_test.go has the rest: that it is fresh after a thaw.
func TestAFlagThatIsMissingHasItsDefault(t *testing.T) {
	assert.NotContains(t, invoke(t), "new-checkout", "and no line for each invocation")
}

// All that is sent to LaunchDarkly goes through a proxy, which never answers.
func TestNothingButEventsIsSentToLaunchDarkly(t *testing.T) {
	var requests atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		<-r.Context().Done()
	}))
	defer proxy.Close()
	invoke(t, "LD_SDK_KEY=sdk", "HTTPS_PROXY="+proxy.URL)
	assert.LessOrEqual(t, requests.Load(), int64(1), "the invocation's events")
}
