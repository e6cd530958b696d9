package flagsync_test

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
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldservices"
	"github.com/launchdarkly/go-test-helpers/v3/httphelpers"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

const (
	tableName = "flags"
	sdkKey    = "sdk-secret-1234"
)

// No sync leaves a goroutine running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// launchDarkly serves LaunchDarkly's streaming protocol on a local port, with an environment for each SDK key.
type launchDarkly struct {
	*httptest.Server
	mu           sync.Mutex // guards environments
	environments map[string]environment
}

type environment struct {
	http.Handler
	stream httphelpers.SSEStreamControl
}

func newLaunchDarkly(t *testing.T) *launchDarkly {
	l := &launchDarkly{environments: map[string]environment{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		e, ok := l.environments[r.Header.Get("Authorization")]
		l.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		l.CloseClientConnections() // the test library's stream.Close can panic when a client disconnects meanwhile
		l.Close()
	})
	return l
}

// set gives the environment of a key these flags, as "flag:version" words, and a segment.
func (l *launchDarkly) set(key string, flags ...string) {
	data := ldservices.NewServerSDKData().Segments(ldbuilders.NewSegmentBuilder("everyone").Version(1).Build())
	for _, f := range flags {
		name, version := split(f)
		data.Flags(ldbuilders.NewFlagBuilder(name).Version(version).On(true).Build())
	}
	l.setData(key, data)
}

func (l *launchDarkly) setData(key string, data *ldservices.ServerSDKData) {
	handler, stream := ldservices.ServerSideStreamingServiceHandler(data.ToPutEvent())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.environments[key] = environment{handler, stream}
}

// setLarge gives the environment of a key the flag a and a flag that is too large for DynamoDB.
func (l *launchDarkly) setLarge(key string) {
	text := ldvalue.String(strings.Repeat("x", 500<<10))
	large := ldbuilders.NewFlagBuilder("large").Version(1).Variations(text).Build()
	small := ldbuilders.NewFlagBuilder("a").Version(2).On(true).Build()
	l.setData(key, ldservices.NewServerSDKData().Flags(large, small))
}

// setStatus makes LaunchDarkly answer a key's requests with a status.
func (l *launchDarkly) setStatus(key string, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	l.environments[key] = environment{Handler: http.HandlerFunc(refuse)}
}

// remove revokes a key.
func (l *launchDarkly) remove(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.environments, key)
}

// patch sends a changed or deleted flag to the open streams.
func (l *launchDarkly) patch(key, flag string, deleted bool) {
	name, version := split(flag)
	event := httphelpers.SSEEvent{Event: "delete",
		Data: fmt.Sprintf(`{"path":"/flags/%s","version":%d}`, name, version)}
	if !deleted {
		json, _ := ldbuilders.NewFlagBuilder(name).Version(version).On(true).Build().MarshalJSON()
		event = httphelpers.SSEEvent{Event: "patch", Data: fmt.Sprintf(`{"path":"/flags/%s","data":%s}`, name, json)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.environments[key].stream.Send(event)
}

func split(word string) (name string, version int) {
	_, _ = fmt.Sscanf(strings.Replace(word, ":", " ", 1), "%s %d", &name, &version)
	return name, version
}

// many returns n words of version 1, followed by the changed ones, which override them.
func many(n int, changed ...string) []string {
	words := make([]string, 0, n+len(changed))
	for i := range n {
		words = append(words, fmt.Sprintf("flag-%03d:1", i))
	}
	return append(words, changed...) // of equal keys the last counts
}

// bench is a table, a LaunchDarkly server and a log.
type bench struct {
	cloud *localaws.Cloud
	ld    *launchDarkly
	log   *buffer
}

func newBench(t *testing.T) *bench {
	b := &bench{cloud: localaws.New(), ld: newLaunchDarkly(t), log: &buffer{}}
	b.cloud.CreateFlagTable(tableName)
	return b
}

func (b *bench) environment(prefix string) *table.Environment {
	return &table.Environment{Client: b.cloud.DynamoDB, Table: tableName, Prefix: prefix}
}

// initialized reports whether the environment without a prefix has LaunchDarkly's marker.
func (b *bench) initialized(t *testing.T) bool {
	t.Helper()
	r, err := b.environment("").ReadMarker(t.Context(), layout.MarkerInited)
	require.NoError(t, err)
	return r != nil
}

// options returns the options of every test, followed by more, which override them.
func (b *bench) options(more ...flagsync.Option) []flagsync.Option {
	return append([]flagsync.Option{
		flagsync.StreamURI(b.ld.URL), flagsync.Linger(-1), flagsync.Timeout(time.Minute),
		flagsync.Logger(slog.New(slog.NewJSONHandler(b.log, nil))),
	}, more...)
}

func oneKey(key string) flagsync.Keys { return flagsync.StaticKeys(map[string]string{"": key}) }

func (b *bench) sync(t *testing.T, more ...flagsync.Option) (flagsync.Result, error) {
	t.Helper()
	return flagsync.New(b.environment(""), oneKey(sdkKey), b.options(more...)...).Sync(t.Context())
}

// flags returns the versions of the table's flags by key. Tombstones have the negative version.
func (b *bench) flags(t *testing.T, prefix string) map[string]int {
	t.Helper()
	m := map[string]int{}
	err := b.environment(prefix).EachRow(t.Context(), "features", func(key string, r table.Row) {
		item, err := table.ParseRow(r)
		require.NoError(t, err)
		m[key] = item.Version
		if item.IsTombstone() {
			m[key] = -item.Version
		}
	})
	require.NoError(t, err)
	return m
}

func (b *bench) writes() int {
	return b.cloud.Calls("UpdateItem") + b.cloud.Calls("TransactWriteItems")
}

// beforeTransaction calls f before the n-th transaction from now on.
func (b *bench) beforeTransaction(n int, f func(*dynamodb.TransactWriteItemsInput) error) {
	var mu sync.Mutex // guards count
	count := 0
	b.cloud.Intercept(func(_ context.Context, operation string, input any) error {
		if operation != "TransactWriteItems" {
			return nil
		}
		mu.Lock()
		count++
		now := count == n
		mu.Unlock()
		if now {
			return f(input.(*dynamodb.TransactWriteItemsInput))
		}
		return nil
	})
}

// bare returns entries without their JSON.
func bare(entries []table.Entry) (all []table.Entry) {
	for _, e := range entries {
		e.Old, e.New = "", ""
		all = append(all, e)
	}
	return all
}

func keys(items []table.Entry) (all []string) {
	for _, i := range items {
		all = append(all, i.Key)
	}
	return all
}

// order returns a list to which the key of each row that is put from now on is appended.
func (b *bench) order(t *testing.T) *[]string {
	t.Helper()
	var order []string
	b.cloud.Intercept(func(_ context.Context, _ string, input any) error {
		if in, ok := input.(*dynamodb.TransactWriteItemsInput); ok {
			for _, i := range in.TransactItems {
				if i.Put != nil {
					item, _ := table.ParseRow(i.Put.Item)
					order = append(order, item.Key)
				}
			}
		}
		return nil
	})
	return &order
}

// buffer is a log.
type buffer struct {
	mu   sync.Mutex // guards b
	b    bytes.Buffer
	line func(line string) // called for each line; may be nil
}

func (b *buffer) Write(p []byte) (int, error) {
	if b.line != nil {
		b.line(string(p))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// lines returns the log's lines with this message.
func (b *buffer) lines(t *testing.T, message string) (lines []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.b.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		if m["msg"] == message {
			lines = append(lines, m)
		}
	}
	return lines
}

// loud returns the log's lines above level INFO.
func (b *buffer) loud(t *testing.T) (lines []string) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, `"level":"INFO"`) && !strings.Contains(line, "LaunchDarkly client: ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (b *buffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
