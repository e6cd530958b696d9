package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/subscriber"
)

// open returns a client that served a last known value, because a read failed after the flag was invalidated. A poll of
// the journal failed too.
func open(t *testing.T) *warmflags.Flags {
	cloud := localaws.New()
	t.Cleanup(cloud.Close)
	cloud.CreateFlagTable("flags")
	var down atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		marker := bytes.Contains(body, []byte("$inited")) // which the cache reads in the background
		if err != nil || down.Load() && !marker {
			w.WriteHeader(http.StatusBadRequest) // which AWS's SDK does not retry
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		cloud.DynamoDB.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	store, err := dynamostore.DataStore("flags").Client(cloud.DynamoDB).Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Init(nil))
	_, err = store.Upsert(ldstoreimpl.Features(), "f", st.SerializedItemDescriptor{Version: 1, SerializedItem: []byte(
		`{"key":"f","version":1,"on":false,"offVariation":0,"variations":[true]}`)})
	require.NoError(t, err)
	for name, value := range map[string]string{
		"TABLE_NAME": "flags", "AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	} {
		t.Setenv(name, value)
	}
	flags, err := warmflags.Open(t.Context(), warmflags.Journal(journal.Interval(0), journal.Budget(time.Hour)))
	require.NoError(t, err)
	require.NotZero(t, flags.Stats().Journal.LastPoll, "Open returns after the first poll, so there is always an age")
	t.Cleanup(func() { require.NoError(t, flags.Close(context.Background())) })
	evaluate := func() {
		on, err := flags.Client.BoolVariation("f", ldcontext.New("ada"), false)
		require.NoError(t, err)
		require.True(t, on)
	}
	evaluate()
	down.Store(true)
	flags.Invalidate(change.Change{Kind: change.KindFeatures, Key: "f"})
	evaluate()
	require.Positive(t, flags.Stats().Cache.StaleServes)
	require.Error(t, flags.Refresh(t.Context()))
	return flags
}

func TestObserve(t *testing.T) {
	flags := open(t)
	reader := metric.NewManualReader()
	meter := metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")
	require.NoError(t, Observe(meter, flags, subscriber.Queue("arn:aws:sns:eu-west-1:123456789012:changes", flags)))
	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &collected))
	found := map[string]int64{}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			found[m.Name] = data.DataPoints[0].Value
		case metricdata.Gauge[float64]:
			found[m.Name] = int64(len(data.DataPoints))
		}
	}
	assert.Positive(t, found["warmflags.stale_serves"])
	assert.Positive(t, found["warmflags.failed_reads"])
	assert.Positive(t, found["warmflags.failed_polls"])
	assert.Len(t, found, 5)
}

func TestRegister(t *testing.T) {
	flags := open(t)
	registry := prometheus.NewRegistry()
	Register(registry, flags, subscriber.Queue("arn:aws:sns:eu-west-1:123456789012:changes", flags))
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, f := range families {
		found[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	assert.Positive(t, found["warmflags_stale_serves_total"])
	assert.Positive(t, found["warmflags_failed_reads_total"])
	assert.Positive(t, found["warmflags_failed_polls_total"])
	assert.Len(t, found, 5)
}

func TestLines(t *testing.T) {
	lines := Lines{Flags: open(t)}
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "checkout")
	read, write, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = write
	err1, err2 := lines.Print(), lines.Print()
	os.Stdout = stdout
	require.NoError(t, err1)
	require.NoError(t, err2)
	require.NoError(t, write.Close())
	printed, err := io.ReadAll(read)
	require.NoError(t, err)
	assert.Equal(t, 1, bytes.Count(printed, []byte("\n")), "a line in a minute")
	var line map[string]any
	require.NoError(t, json.Unmarshal(printed, &line))
	assert.Equal(t, "checkout", line["FunctionName"])
	for _, name := range []string{"StaleServes", "FailedReads", "FailedPolls"} {
		assert.Positive(t, line[name], name)
	}
	assert.Contains(t, line, "_aws")
}

// The page has each file's functions.
func TestThePageHasThisCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	require.NoError(t, err)
	for _, name := range []string{"opentelemetry.go", "prometheus.go", "emf.go"} {
		source, err := os.ReadFile(filepath.Join(".", name))
		require.NoError(t, err)
		_, code, found := strings.Cut(string(source), "\n)\n\n")
		require.True(t, found)
		assert.Contains(t, string(page), "```go\n"+code+"```\n", name)
	}
}
