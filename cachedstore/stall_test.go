//go:build unix

package cachedstore_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

const stalled = "WARMFLAGS_STALLED" // set in the process that BenchmarkStaleAfterSIGSTOP stops

// BenchmarkStaleAfterSIGSTOP measures the exception that TTL documents: for how long a service serves an expired value
// after the whole process was stopped for longer than the TTL, without a Wake. The exception lasts at most one sweep,
// plus the time until the sweeper is scheduled.
func BenchmarkStaleAfterSIGSTOP(b *testing.B) {
	var total time.Duration
	for range b.N {
		child := exec.Command(os.Args[0], "-test.run=^TestStalledProcess$")
		child.Env = append(os.Environ(), stalled+"=1")
		out, err := child.StdoutPipe()
		require.NoError(b, err)
		require.NoError(b, child.Start())
		lines := bufio.NewScanner(out)
		require.True(b, lines.Scan(), "the process is ready")
		require.NoError(b, child.Process.Signal(syscall.SIGSTOP))
		time.Sleep(1500 * time.Millisecond)
		require.NoError(b, child.Process.Signal(syscall.SIGCONT))
		require.True(b, lines.Scan(), "the process has read the new value")
		stale, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		require.NoError(b, err)
		total += time.Duration(stale)
		require.NoError(b, child.Wait())
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs-stale")
	b.ReportMetric(0, "ns/op")
}

// TestStalledProcess is the process that BenchmarkStaleAfterSIGSTOP stops. It evaluates a flag continuously, and prints
// for how long it got the old value after it was stopped.
func TestStalledProcess(t *testing.T) {
	if os.Getenv(stalled) == "" {
		t.Skip("only as a child of BenchmarkStaleAfterSIGSTOP")
	}
	s := &system{t: t, table: newTable(t)}
	s.put("flag", 1)
	s.store = cachedstore.New(s.table, cachedstore.TTL(time.Second), cachedstore.InLambda(false))
	s.client = s.build()
	s.version("flag")
	s.put("flag", 2)
	fmt.Println("ready")
	var resumed time.Time
	for last := time.Now(); s.version("flag") == 1; {
		now := time.Now()
		if now.Sub(last) > 500*time.Millisecond {
			resumed = now
		}
		last = now
	}
	stale := time.Duration(0)
	if !resumed.IsZero() {
		stale = time.Since(resumed)
	}
	fmt.Println(stale.Nanoseconds())
	require.NoError(t, s.client.Close())
}
