package flagsync_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/ldstream"
)

// BenchmarkSync measures how a sync grows with the number of flags of 1 KB: its calls, its time without DynamoDB's,
// and its peak memory. The memory of a new environment includes the embedded engine's copy of the rows.
func BenchmarkSync(b *testing.B) {
	for _, n := range []int{500, 5_000, 50_000} {
		for _, what := range []string{"new", "unchanged", "one-change"} {
			b.Run(fmt.Sprintf("%s/%d", what, n), func(b *testing.B) { benchmarkSync(b, what, n) })
		}
	}
}

func benchmarkSync(b *testing.B, what string, n int) {
	flags := bigFlags(n)
	var payload atomic.Pointer[string]
	payload.Store(&flags)
	client := &http.Client{Transport: ldstream.Transport{Answer: func(c *ldstream.Connection) {
		c.SendText("event: put\ndata: ")
		c.SendText(*payload.Load())
		c.SendText("\n\n")
	}}}
	cloud := localaws.New()
	cloud.CreateFlagTable(tableName)
	sync := func(prefix string) {
		e := &bench{cloud: cloud}
		_, err := flagsync.New(e.environment(prefix), flagsync.StaticKeys(map[string]string{prefix: "sdk-1"}),
			flagsync.HTTPClient(client),
			flagsync.Linger(-1), flagsync.Timeout(time.Minute), flagsync.Logger(slog.New(slog.DiscardHandler))).
			Sync(context.Background())
		require.NoError(b, err)
	}
	if what != "new" {
		sync("")
	}
	calls := func() int {
		return cloud.Calls("Query") + cloud.Calls("GetItem") + cloud.Calls("UpdateItem") +
			cloud.Calls("TransactWriteItems")
	}
	before := calls()
	stop := peakMemory()
	b.ResetTimer()
	for i := range b.N {
		prefix := ""
		switch what {
		case "new":
			prefix = fmt.Sprintf("run-%d", i)
		case "one-change":
			changed := strings.Replace(flags, `"version":1,`, fmt.Sprintf(`"version":%d,`, i+2), 1)
			payload.Store(&changed)
		}
		sync(prefix)
	}
	b.StopTimer()
	b.ReportMetric(float64(calls()-before)/float64(b.N), "calls/op")
	b.ReportMetric(float64(stop())/(1<<20), "peak-MB")
}

// bigFlags returns the data of a put with n flags of 1 KB.
func bigFlags(n int) string {
	var s strings.Builder
	s.WriteString(`{"path":"/","data":{"segments":{},"flags":{`)
	rules := strings.Repeat(`{"variation":0,"clauses":[{"attribute":"key","op":"in","values":["someone"]}]},`, 10)
	for i := range n {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s,
			`"flag-%d":{"key":"flag-%d","version":1,"on":true,"prerequisites":[],"rules":[%s],`+
				`"fallthrough":{"variation":0},"offVariation":1,`+
				`"variations":[true,false],"salt":"%032d"}`, i, i, strings.TrimSuffix(rules, ","), i)
	}
	s.WriteString(`}}}`)
	return s.String()
}

// peakMemory samples the heap until stop is called. stop returns the largest growth, in bytes.
func peakMemory() (stop func() uint64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, m.HeapInuse
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return most - before
	}
}
