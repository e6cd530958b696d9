//go:build unix

package warmflags_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
	"github.com/warmflags/warmflags/journal"
)

// patience is the timeout of everything in these tests, long enough for a busy machine.
const patience = 2 * time.Minute

// interval is the function's poll interval.
const interval = 100 * time.Millisecond

// The Lambda function is this test binary. It calls the real lambda.Start.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		os.Exit(m.Run())
	}
	flags, err := warmflags.Open(context.Background(),
		warmflags.Cache(cachedstore.TTL(day), cachedstore.ReadLimit(patience)),
		warmflags.Journal(journal.Interval(interval), journal.Budget(patience)))
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(flags.Handler(func(arrived string) (string, error) {
		if arrived != "" {
			response, err := http.Get(arrived)
			if err != nil {
				return "", err
			}
			_ = response.Body.Close()
		}
		on, err := flags.Client.BoolVariation(key, user, false)
		return fmt.Sprintf("%t in %d", on, os.Getpid()), err
	}))
}

// function serves the stack's table over HTTP and returns a Lambda function that reads it. The function runs up to
// concurrency invocations at a time; 0 means an ordinary function, which runs one.
func (s *stack) function(concurrency int) *runtimeapi.Function {
	server := httptest.NewServer(s.DynamoDB)
	s.t.Cleanup(server.Close)
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: os.Args[0], Concurrency: concurrency, Timeout: 2 * patience, InitLimit: patience,
		Output: s.t.Output(),
		Env:    []string{"TABLE_NAME=" + table, "PREFIX=" + prefix, "AWS_ENDPOINT_URL_DYNAMODB=" + server.URL},
	})
	s.t.Cleanup(f.Close)
	return f
}

func invoke(t testing.TB, f *runtimeapi.Function, arrived string) string {
	t.Helper()
	result, err := f.Invoke(t.Context(), fmt.Appendf(nil, "%q", arrived))
	require.NoError(t, err)
	return strings.Trim(string(result.Payload), "\"\n")
}

// On Managed Instances, any number of concurrent invocations cost one read of a flag, also if they start during that
// read. If each invocation woke the cache, the read would be discarded and repeated.
func TestConcurrentInvocationsShareOneRead(t *testing.T) {
	for _, n := range []int{4, 16, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := newStack(t)
			f := s.function(n)
			var reads atomic.Int64
			reading, all := make(chan struct{}, 1000), make(chan struct{})
			s.Intercept(func(_ context.Context, _ string, input any) error {
				if in, ok := input.(*dynamodb.GetItemInput); ok &&
					strings.Contains(fmt.Sprintf("%+v", in.Key["key"]), key) {
					reads.Add(1)
					reading <- struct{}{}
					<-all
				}
				return nil
			})
			var arrivals atomic.Int64
			meeting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if arrivals.Add(1) == int64(n) {
					close(all)
				}
			}))
			defer meeting.Close()
			var invocations sync.WaitGroup
			one := func() { assert.Contains(t, invoke(t, f, meeting.URL), "false in ") }
			invocations.Go(one)
			<-reading // the first invocation's read lasts until all others have started
			for range n - 1 {
				invocations.Go(one)
			}
			invocations.Wait()
			for range 3 {
				<-time.After(2 * interval) // meanwhile the timer polls, and nothing has changed
				for range n {
					invocations.Go(func() { invoke(t, f, "") })
				}
				invocations.Wait()
			}
			assert.Equal(t, int64(1), reads.Load())
			assert.Equal(t, 1, f.Started())
		})
	}
}

// After the process was stopped, for example by a restore from a snapshot, the first invocation polls before it
// evaluates. This includes Managed Instances, where a timer polls the rest of the time.
func TestAStoppedProcessPollsBeforeItEvaluates(t *testing.T) {
	for name, concurrency := range map[string]int{"frozen between invocations": 0, "Managed Instances": 4} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			f := s.function(concurrency)
			var pid int
			var value string
			_, err := fmt.Sscanf(invoke(t, f, ""), "%s in %d", &value, &pid)
			require.NoError(t, err)
			for i := range 10 {
				require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
				s.flip(i%2 == 0)
				<-time.After(interval) // the process is stopped for this long
				require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
				require.Equal(t, fmt.Sprintf("%t in %d", i%2 == 0, pid), invoke(t, f, ""), "round %d", i)
			}
		})
	}
}
