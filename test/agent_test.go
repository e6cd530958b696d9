package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/testenv"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/test/emulator"
)

// buildAgent builds the agent, once for all tests.
var buildAgent = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "agent")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "warmflags-agent")
	command := exec.Command("go", "build", "-o", path, "./cmd/warmflags-agent")
	command.Dir = ".."
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build agent: %w: %s", err, output)
	}
	return path, nil
})

// sidecar is a process of the agent, on DynamoDB Local behind a gate.
type sidecar struct {
	t       *testing.T
	address string
	env     []string
	command *exec.Cmd
	closed  atomic.Bool // while it is true, each DynamoDB call fails
}

// reserveAddress returns an address of the loopback interface for a server that must be given one.
func reserveAddress(t *testing.T) string {
	port, err := emulator.ReservePort()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func startSidecar(t *testing.T, table, prefix string) *sidecar {
	t.Helper()
	s := &sidecar{t: t}
	target, err := url.Parse(emulator.DynamoDBEndpoint())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.closed.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.Host = target.Host // part of the signature
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	s.address = reserveAddress(t) // the clients keep it, also after a restart of the agent
	s.env = append(
		append(os.Environ(), emulator.Environment()...),
		"AWS_ENDPOINT_URL_DYNAMODB="+gate.URL,
		"TABLE_NAME="+table,
		"PREFIX="+prefix,
		"WARMFLAGS_ADDRESS="+s.address,
		"WARMFLAGS_POLL_INTERVAL=10ms",
	)
	t.Cleanup(func() { s.stop() })
	s.start()
	return s
}

func (s *sidecar) start() {
	s.t.Helper()
	path, err := buildAgent()
	require.NoError(s.t, err)
	s.command = exec.Command(path)
	s.command.Env, s.command.Stdout, s.command.Stderr = s.env, s.t.Output(), s.t.Output()
	require.NoError(s.t, s.command.Start())
	require.Eventually(s.t, func() bool {
		response, err := http.Get("http://" + s.address + "/status")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, patience, 10*time.Millisecond, "the agent is ready")
}

// stop ends the agent with SIGTERM, as an orchestrator does, and requires that it exits.
func (s *sidecar) stop() {
	if s.command == nil {
		return
	}
	assert.NoError(s.t, s.command.Process.Signal(os.Interrupt))
	assert.NoError(s.t, s.command.Wait())
	s.command = nil
}

// bulk evaluates all flags, by key.
func (s *sidecar) bulk(context any) map[string]map[string]any {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"context": context})
	require.NoError(s.t, err)
	response, err := http.Post(
		"http://"+s.address+"/ofrep/v1/evaluate/flags",
		"application/json",
		bytes.NewReader(body),
	)
	require.NoError(s.t, err)
	defer response.Body.Close()
	var answer struct{ Flags []map[string]any }
	require.NoError(s.t, json.NewDecoder(response.Body).Decode(&answer))
	byKey := map[string]map[string]any{}
	for _, f := range answer.Flags {
		byKey[f["key"].(string)] = f
	}
	return byKey
}

// goClient returns a client of LaunchDarkly's Go SDK on the table.
func goClient(t *testing.T, table, prefix string) *ld.LDClient {
	t.Helper()
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataSource:       ldcomponents.ExternalUpdatesOnly(),
		Events:           ldcomponents.NoEvents(),
		DiagnosticOptOut: true,
		Logging:          ldcomponents.NoLogging(),
		DataStore: ldcomponents.PersistentDataStore(
			dynamostore.DataStore(table).Prefix(prefix).Client(emulator.DynamoDB()),
		).CacheForever(),
	}, time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Unmodified OpenFeature clients in two languages get from the agent what LaunchDarkly's Go SDK evaluates from the
// table.
func TestAgentEvaluatesAsTheGoSDK(t *testing.T) {
	table := newFlagTable(t)
	for _, e := range testenv.Small() {
		t.Run(e.Name, func(t *testing.T) {
			require.NoError(t, openStore(t, table, e.Name).Init(e.Collections()))
			client := goClient(t, table, e.Name)
			s := startSidecar(t, table, e.Name)
			clients := startOpenFeature(t, s.address)
			for i, c := range testenv.Contexts() {
				bulk, context := s.bulk(asOpenFeature(t, c)), asOpenFeature(t, c)
				require.Len(t, bulk, len(client.AllFlagsState(c).ToValuesMap()))
				for _, f := range e.Flags {
					if f.Deleted {
						assert.NotContains(t, bulk, f.Key)
					}
					want, detail, _ := client.JSONVariationDetail(f.Key, c, ldvalue.Null())
					if detail.Reason.GetKind() != ldreason.EvalReasonError {
						sameAsBulk(t, f.Key, bulk[f.Key], want, detail)
					}
					for _, o := range clients {
						if i < 12 && validKeys.MatchString(f.Key) {
							sameAsGo(t, o, f.Key, context, want, detail)
						}
					}
				}
			}
		})
	}
}

func sameAsBulk(t *testing.T, key string, got map[string]any, want ldvalue.Value, detail ldreason.EvaluationDetail) {
	t.Helper()
	assert.Equal(t, want.AsArbitraryValue(), got["value"], "bulk: flag %q", key)
	variant := ""
	if index, found := detail.VariationIndex.Get(); found {
		variant = fmt.Sprint(index)
	}
	assert.Equal(t, variant, got["variant"], "bulk: flag %q", key)
	assert.Equal(
		t,
		string(detail.Reason.GetKind()),
		got["metadata"].(map[string]any)["launchdarklyReason"],
		"bulk: flag %q",
		key,
	)
}

func sameAsGo(
	t *testing.T,
	o *openFeature,
	key string,
	context map[string]any,
	want ldvalue.Value,
	detail ldreason.EvaluationDetail,
) {
	t.Helper()
	got := o.evaluate(t, key, context, want)
	if want.IsNull() {
		assert.Equal(t, defaultObject, got.Value, "%s: flag %q is the program's default", o.name, key)
		return
	}
	assert.Equal(t, want.AsArbitraryValue(), got.Value, "%s: flag %q for %v: %+v", o.name, key, context, got)
	assert.Equal(t, fmt.Sprint(detail.VariationIndex.IntValue()), got.Variant, "%s: flag %q", o.name, key)
	assert.Empty(t, got.ErrorCode, "%s: flag %q", o.name, key)
	assert.Contains(
		t,
		[]string{"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED"},
		got.Reason,
		"%s: flag %q",
		o.name,
		key,
	)
}

// Unmodified clients get current values after changes, deletions, changed segments, an outage and a restart of the
// agent.
func TestAgentIsFresh(t *testing.T) {
	table := newFlagTable(t)
	store := openStore(t, table, "prod")
	require.NoError(t, store.Init(environment()))
	writer := &journal.Writer{Client: emulator.DynamoDB(), Table: table, Region: emulator.Region}
	version := 1
	put := func(kind, key, text string) {
		version++
		target := features
		if kind == "segments" {
			target = segments
		}
		written := item(key, version)
		written.SerializedItem = fmt.Appendf(nil, text, key, version)
		if text == "" {
			written = tombstone(version)
		}
		_, err := store.Upsert(target, key, written)
		require.NoError(t, err)
		require.NoError(
			t,
			writer.Append(
				t.Context(),
				[]change.Message{{Prefix: "prod", Changes: []change.Change{{Kind: kind, Key: key}}}},
			),
		)
	}
	const serves = `{"key":%q,"version":%d,"salt":"s","on":true,"fallthrough":{"variation":0},"variations":[`
	put("features", "flag", serves+`"first"]}`)
	s := startSidecar(t, table, "prod")
	clients := startOpenFeature(t, s.address)
	ada := map[string]any{"targetingKey": "ada"}
	sees := func(want string, code string) {
		t.Helper()
		for _, o := range clients {
			require.Eventually(t, func() bool {
				got := o.evaluate(t, "flag", ada, ldvalue.String(want))
				return got.Value == want && got.ErrorCode == code
			}, patience, time.Millisecond, "%s sees %s", o.name, want)
		}
	}
	sees("first", "")
	put("features", "flag", serves+`"second"]}`)
	sees("second", "")
	put("features", "flag", "")
	sees("default", "FLAG_NOT_FOUND")
	put(
		"features",
		"flag",
		`{"key":%q,"version":%d,"salt":"s","on":true,"variations":["no","member"],"fallthrough":{"variation":0},`+
			`"rules":[{"id":"r","variation":1,"clauses":[{"attribute":"","op":"segmentMatch","values":["s"]}]}]}`,
	)
	sees("no", "")
	put("segments", "s", `{"key":%q,"version":%d,"salt":"s","included":["ada"]}`)
	sees("member", "")

	s.closed.Store(true)
	put("features", "flag", serves+`"after the outage"]}`)
	for range 10 {
		for _, o := range clients {
			require.Equal(t, "member", o.evaluate(t, "flag", ada, ldvalue.String("")).Value, "the last known value")
		}
	}
	s.closed.Store(false)
	sees("after the outage", "")

	s.stop()
	for _, o := range clients {
		require.Equal(
			t,
			"default",
			o.evaluate(t, "flag", ada, ldvalue.String("")).Value,
			"%s, without an agent",
			o.name,
		)
	}
	put("features", "flag", serves+`"after the restart"]}`)
	s.start()
	sees("after the restart", "")
}
