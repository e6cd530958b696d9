package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/test/emulator"
)

// A stack of the first release's template (commit cae850e) is updated to today's, and holds two environments. Its
// functions are today's from the start.
func TestTwoEnvironmentsAfterAnUpdate(t *testing.T) {
	const staging, production = "staging", "größe/production"
	environments := map[string]*launchdarkly.Environment{
		"sdk-staging": launchdarkly.Start(
			"sdk-staging",
			5,
			1,
		),
		"sdk-production": launchdarkly.Start("sdk-production", 5, 1),
	}
	for _, e := range environments {
		t.Cleanup(e.Close)
	}
	down := &atomic.Bool{} // production's LaunchDarkly answers 503
	server := bothStreams(t, environments, down)
	require.NoError(t, boto(t.Context(), "ssm", "put_parameter", map[string]any{
		"Name":  "/warmflags/two",
		"Value": `{"` + staging + `":"sdk-staging","` + production + `":"sdk-production"}`,
		"Type":  "SecureString",
	}, nil))
	parameters := []string{
		"SdkKeyParameter=/warmflags/two",
		"StreamUri=" + server,
		"SyncSchedule=rate(1 minute)",
		"AlarmEmail=oncall@example.com",
	}

	first := filepath.Join(world.dir, "first")
	require.NoError(
		t,
		buildTemplate(t.Context(), filepath.Join(root(), "test", "e2e", "testdata", "first", "template.yaml"), first),
	)
	_, err := deployBuilt(t, first, "pair", parameters...)
	require.NoError(t, err)
	before := outputs(t, "pair")
	stack := deploy(t, "pair", parameters...)
	for _, kept := range []string{
		"TableName", "TableStreamArn", "TopicArn", "WebhookUrl", "RequestQueueUrl",
		"ReaderPolicyArn", "SubscriberPolicyArn",
	} {
		assert.Equal(t, before[kept], stack[kept], kept)
	}
	assert.NotContains(t, stack, "RequestDeadLettersUrl")
	assert.Equal(t, "/aws/lambda/pair", stack["LogGroup"])

	inStaging, stopStaging := startConsumers(t, stack, staging, 1)
	inProduction, stopProduction := startConsumers(t, stack, production, 1)
	t.Run("the schedule fills both, without a webhook", func(t *testing.T) {
		for _, consumers := range [][]*consumer{inStaging, inProduction} {
			requireSeen(t, consumers, map[string]int{launchdarkly.FlagKey(0): 1, launchdarkly.FlagKey(4): 1})
		}
	})
	webhook := webhookProxy(t, stack["WebhookUrl"])
	ofStaging := &environment{environments["sdk-staging"], webhook + "/staging/"}
	ofProduction := &environment{environments["sdk-production"], webhook + "/gr%C3%B6%C3%9Fe%2Fproduction"}
	t.Run("a webhook for each environment", func(t *testing.T) {
		requireSeen(t, inStaging, ofStaging.flip(t, 0, 1))
		requireSeen(t, inProduction, ofProduction.flip(t, 2, 3))
	})
	t.Run("one webhook for all", func(t *testing.T) {
		ofStaging.webhook = webhook
		requireSeen(t, inStaging, ofStaging.flip(t, 2))
	})
	t.Run("an environment that fails holds up no other", func(t *testing.T) {
		down.Store(true)
		later := ofProduction.flip(t, 4)
		requireSeen(t, inStaging, ofStaging.flip(t, 3))
		requireSeen(t, inStaging, ofStaging.flip(t, 4))
		down.Store(false)
		requireSeen(t, inProduction, later)
	})
	assert.Contains(
		t,
		world.gate.actionsOf("FlagsyncFunction"),
		"sqs:SendMessage",
		"as sam/calls.json has it for several environments",
	)
	stopStaging()
	stopProduction()
	_, err = sam(t.Context(), "delete", "--stack-name", "pair", "--no-prompts", "--region", emulator.Region)
	require.NoError(t, err)
}

// bothStreams is the address of a LaunchDarkly with both environments, by their SDK keys.
func bothStreams(t *testing.T, environments map[string]*launchdarkly.Environment, down *atomic.Bool) string {
	t.Helper()
	proxies := map[string]http.Handler{}
	for key, e := range environments {
		target, err := url.Parse(e.URL())
		require.NoError(t, err)
		proxies[key] = httputil.NewSingleHostReverseProxy(target)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		if proxies[key] == nil || key == "sdk-production" && down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxies[key].ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL
}
