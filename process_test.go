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

// patience is what a busy machine may take for anything.
const patience = 2 * time.Minute

// interval is that of the function's polls.
const interval = 100 * time.Millisecond

// The function is this test's own binary, with a real lambda.Start.
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

// function is the stack's table behind DynamoDB's protocol, and the function that reads it, which runs so many
// invocations at a time; 0 means an ordinary function.
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

// On Managed Instances any number of invocations at once cost one read of a flag, though they begin while it is read.
// Waking the cache at each of them would throw that read away.
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
			<-reading // the first one's read is under way, until all others have begun
			for range n - 1 {
				invocations.Go(one)
			}
			invocations.Wait()
			for range 3 {
				<-time.After(2 * interval) // the timer polls meanwhile, and finds that nothing changed
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

// Whatever stopped the process, as a restore from a snapshot does: the first invocation after it polls before it
// evaluates, on Managed Instances too, where a timer polls otherwise.
func TestAProcessThatStoodStillPollsBeforeItServes(t *testing.T) {
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
				<-time.After(interval) // the time that it stands still
				require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
				require.Equal(t, fmt.Sprintf("%t in %d", i%2 == 0, pid), invoke(t, f, ""), "round %d", i)
			}
		})
	}
}
