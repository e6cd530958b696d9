package test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	flagtable "github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/test/emulator"
)

// oddEnvironment has JSON that LaunchDarkly's SDK for Go would change: integers beyond 64 bits, escaped surrogate
// pairs, fields that the SDK does not know, a flag that it cannot parse.
const oddEnvironment = `{"path":"/","data":{` +
	`"segments":{"staff":{"key":"staff","version":1,"included":["\ud83d\ude00"],"salt":"s","newField":[1]}},"flags":{` +
	`"big":{"key":"big","version":3,"on":false,"offVariation":0,` +
	`"variations":[18446744073709551615,12345678901234567890],"salt":"s"},` +
	`"emoji":{"key":"emoji","version":1,"on":false,"offVariation":0,"variations":["\ud83d\ude00 \u00e9"],"salt":"s"},` +
	`"future":{"salt":"s","version":1,"newField":{"b":1},"key":"future","on":true,` +
	`"fallthrough":{"variation":1,"new":true},"variations":["a","b"]},` +
	`"null":{"key":"null","version":1,"on":false,"fallthrough":null,"offVariation":1,"variations":[1,2],"salt":"s"},` +
	`"staff-only":{"key":"staff-only","version":1,"on":true,` +
	`"rules":[{"id":"r","variation":0,"clauses":[{"attribute":"","op":"segmentMatch",` +
	`"values":["staff"]}]}],"fallthrough":{"variation":1},"offVariation":1,"variations":[true,false],"salt":"s"}}}}`

// LaunchDarkly's Python SDK evaluates the odd environment from the table as it does from LaunchDarkly's stream.
func TestPythonEvaluatesTheOddEnvironmentAsFromItsStream(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: put\ndata: %s\n\n", oddEnvironment)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	table := newFlagTable(t)
	result, err := flagsync.New(&flagtable.Environment{Client: emulator.DynamoDB(), Table: table, Prefix: "odd"},
		flagsync.StaticKeys(map[string]string{"odd": "sdk-key"}), flagsync.StreamURI(server.URL), flagsync.Linger(-1),
		flagsync.Logger(slog.New(slog.NewTextHandler(io.Discard, nil)))).Sync(t.Context())
	require.NoError(t, err)
	require.Len(t, result.Added, 6)
	require.Len(t, result.Unparsable, 1)
	assert.Equal(t, "null", result.Unparsable[0].Key)

	contexts := []ldcontext.Context{ldcontext.New("someone"), ldcontext.New("\U0001F600")}
	var ofTable, ofStream []state
	python(t, []step{
		{"do": "state", "table": table, "prefix": "odd", "contexts": contexts},
		{"do": "state", "stream": server.URL, "contexts": contexts},
	}, &ofTable, &ofStream)
	require.Len(t, ofTable, 2)
	assert.Equal(t, ofStream, ofTable)
	assert.Equal(t, "\U0001F600 \u00e9", ofTable[0]["emoji"])
	assert.Equal(t, "b", ofTable[0]["future"])
	assert.Equal(t, false, ofTable[0]["staff-only"])
	assert.Equal(t, true, ofTable[1]["staff-only"])

	var rows map[string]map[string]any
	python(t, []step{{"do": "all", "table": table, "prefix": "odd", "kind": "features"}}, &rows)
	assert.Equal(t, map[string]any{"b": 1.0}, rows["future"]["newField"])
	var exact []any
	python(t, []step{{"do": "variations", "table": table, "prefix": "odd", "key": "big"}}, &exact)
	assert.Equal(t, []any{"18446744073709551615", "12345678901234567890"}, exact)
}
