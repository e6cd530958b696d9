package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ldevents "github.com/launchdarkly/go-sdk-events/v3"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/agent"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

const (
	table  = "flags"
	region = "eu-west-1"
	prefix = "production"
	apiKey = "secret"
	all    = "" // the path of the bulk endpoint
)

// flags are the flags of the tests, by key; %d is the version.
var flags = map[string]string{
	"on":      `"on":true,"fallthrough":{"variation":0},"variations":[true,false]`,
	"off":     `"on":false,"offVariation":1,"fallthrough":{"variation":0},"variations":[true,false]`,
	"nothing": `"on":false,"fallthrough":{"variation":0},"variations":[true,false]`,
	"text":    `"on":true,"fallthrough":{"variation":1},"variations":["a","b\u00e9"]`,
	"number":  `"on":true,"fallthrough":{"variation":0},"variations":[1.5]`,
	"object":  `"on":true,"fallthrough":{"variation":0},"variations":[{"a":[1,null,{"b":"c"}]}]`,
	"target": `"on":true,"targets":[{"values":["ada"],"variation":1}],"fallthrough":{"variation":0},` +
		`"variations":[1,2]`,
	"rule": `"on":true,"rules":[{"id":"r1","variation":1,"clauses":[{"attribute":"plan","op":"in",` +
		`"values":["gold"]}]}],` +
		`"fallthrough":{"variation":0},"variations":[1,2]`,
	"rule-rollout": `"on":true,"rules":[{"id":"r1","rollout":{"variations":[{"variation":1,"weight":100000}]},` +
		`"clauses":[{"attribute":"key","op":"in","values":["ada"]}]}],"fallthrough":{"variation":0},"variations":[1,2]`,
	"key": `"on":true,"targets":[{"values":["🔑"],"variation":1}],"fallthrough":{"variation":0},` +
		`"variations":[1,2]`,
	"rollout": `"on":true,"fallthrough":{"rollout":{"variations":[{"variation":1,"weight":100000}]}},` +
		`"variations":[1,2]`,
	"needs-off": `"on":true,"prerequisites":[{"key":"off","variation":0}],"offVariation":1,` +
		`"fallthrough":{"variation":0},"variations":[1,2]`,
	"malformed": `"on":true,"fallthrough":{"variation":9},"variations":[1]`,
	"org": `"on":true,"rules":[{"id":"r","variation":1,"clauses":[{"contextKind":"org","attribute":"key",` +
		`"op":"in","values":["acme"]}]}],"fallthrough":{"variation":0},"variations":[1,2]`,
}

// system is an agent's handler over a table in memory.
type system struct {
	*localaws.Cloud
	t        testing.TB
	store    *dynamostore.Store
	writer   *journal.Writer
	handler  http.Handler
	opened   agent.Opened
	events   *recorder
	log      logBuffer
	versions map[string]int
}

// newSystem makes a table with flags, and an agent on it that requires an API key. The cache's TTL is a day, so a
// lost change is noticed.
func newSystem(t testing.TB) *system { return newSystemWith(t, journal.DefaultInterval) }

func newSystemWith(t testing.TB, interval time.Duration) *system {
	cloud := localaws.New()
	t.Cleanup(cloud.Close)
	cloud.CreateFlagTable(table)
	s := &system{
		Cloud: cloud, t: t, writer: &journal.Writer{Client: cloud.DynamoDB, Table: table, Region: region},
		events: &recorder{}, versions: map[string]int{},
	}
	var err error
	s.store, err = dynamostore.DataStore(table).Prefix(prefix).Client(cloud.DynamoDB).Open(t.Context())
	require.NoError(t, err)
	items := []st.KeyedSerializedItemDescriptor{}
	for key := range flags {
		items = append(items, st.KeyedSerializedItemDescriptor{Key: key, Item: s.item(key, flags[key])})
	}
	require.NoError(t, s.store.Init([]st.SerializedCollection{{Kind: ldstoreimpl.Features(), Items: items}}))
	s.announce()
	s.opened, err = s.open(interval)(t.Context())
	require.NoError(t, err)
	s.handler = agent.NewHandler(s, apiKey, "test", s.logger())
	return s
}

func (s *system) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&s.log, nil)) }

// open returns the function that opens the table's flags.
func (s *system) open(interval time.Duration) func(context.Context) (agent.Opened, error) {
	return agent.OpenTable(table, prefix, "sdk-key", interval,
		warmflags.DynamoDB(s.DynamoDB), warmflags.Journal(journal.Region(region)), warmflags.Logger(s.logger()),
		warmflags.Cache(cachedstore.TTL(24*time.Hour)),
		warmflags.LaunchDarkly(ld.Config{Logging: ldcomponents.NoLogging(), Events: s.events}),
	)
}

func (s *system) item(key, fields string) st.SerializedItemDescriptor {
	s.versions[key]++
	return st.SerializedItemDescriptor{Version: s.versions[key],
		SerializedItem: fmt.Appendf(nil, `{"key":%q,"version":%d,"salt":"s",%s}`, key, s.versions[key], fields)}
}

// put writes a flag to the table, and the change to the journal.
func (s *system) put(key, fields string) {
	s.t.Helper()
	_, err := s.store.Upsert(ldstoreimpl.Features(), key, s.item(key, fields))
	require.NoError(s.t, err)
	s.announce(change.Change{Kind: change.KindFeatures, Key: key})
}

func (s *system) announce(changes ...change.Change) {
	s.t.Helper()
	require.NoError(s.t, s.writer.Append(context.Background(), []change.Message{{Prefix: prefix, Changes: changes}}))
}

// Flags implements [agent.Loader].
func (s *system) Flags(context.Context) (agent.Flags, error) { return s.opened, nil }

// Status implements [agent.Loader].
func (s *system) Status(ctx context.Context) agent.Status { return s.opened.Status(ctx) }

// answer is a response of the agent.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// evaluate requests an evaluation of one flag or of all.
func (s *system) evaluate(key, body string, headers ...string) answer {
	path := "/ofrep/v1/evaluate/flags"
	if key != all {
		path += "/" + key
	}
	request := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://127.0.0.1:8016"+path,
		strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("X-API-Key", apiKey)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return ask(s.t, s.handler, request)
}

func ask(t testing.TB, handler http.Handler, request *http.Request) answer {
	t.Helper()
	recorded := httptest.NewRecorder()
	handler.ServeHTTP(recorded, request)
	a := answer{status: recorded.Code, header: recorded.Header()}
	if recorded.Body.Len() > 0 {
		require.Equal(t, "application/json", recorded.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(recorded.Body.Bytes(), &a.body), recorded.Body.String())
	}
	return a
}

// recorder counts the events of LaunchDarkly's client and does not send them.
type recorder struct {
	ldevents.EventProcessor
	evaluations, flushes, closes atomic.Int64
	flush                        func() bool // nil means that it succeeds
}

func (r *recorder) Build(c subsystems.ClientContext) (_ ldevents.EventProcessor, err error) {
	r.EventProcessor, err = ldcomponents.NoEvents().Build(c)
	return r, err
}

func (r *recorder) RecordEvaluation(ldevents.EvaluationData) { r.evaluations.Add(1) }

func (r *recorder) FlushBlocking(time.Duration) bool {
	r.flushes.Add(1)
	return r.flush == nil || r.flush()
}

func (r *recorder) Close() error { r.closes.Add(1); return nil }

// logBuffer is safe for concurrent use.
type logBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
