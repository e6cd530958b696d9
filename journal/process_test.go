//go:build unix

package journal_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
	"github.com/warmflags/warmflags/journal"
)

// These tests run LaunchDarkly's client over a cachedstore, AWS's own client, and the journal in real processes that
// are frozen. The function is this test binary.

// asFunction is the environment variable that makes the test binary run as the function. Its value is the cache's TTL.
const asFunction = "JOURNAL_TEST_TTL"

// eventsTo is the environment variable with the URL to which the function's client sends its events. If it is not set,
// the client sends none.
const eventsTo = "JOURNAL_TEST_EVENTS"

const processInterval = 100 * time.Millisecond

func TestMain(m *testing.M) {
	ttl, err := time.ParseDuration(os.Getenv(asFunction))
	if err != nil { // not set: run the tests
		os.Exit(m.Run())
	}
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		panic(err)
	}
	db := dynamodb.NewFromConfig(cfg)
	store := cachedstore.New(dynamostore.DataStore(table).Client(db), cachedstore.TTL(ttl),
		cachedstore.ReadLimit(time.Minute))
	follower := journal.Follow(table, store, journal.Client(db), journal.Interval(processInterval),
		journal.Budget(time.Minute), journal.FlushBudget(time.Minute), // long, because the machine may be busy
		journal.FlushInterval(1))
	flags := ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		DiagnosticOptOut: true,
		Logging:          ldcomponents.Logging().MinLevel(ldlog.Warn),
	}
	if url := os.Getenv(eventsTo); url != "" {
		flags.Events, flags.ServiceEndpoints.Events = ldcomponents.SendEvents().FlushInterval(time.Hour), url
		// otherwise it sends twice after a stall
		flags.HTTP = ldcomponents.HTTPConfiguration().ConnectTimeout(time.Hour)
	}
	client, err := ld.MakeCustomClient("sdk", flags, time.Minute)
	if err != nil {
		panic(err)
	}
	if err := follower.FlushEvents(context.Background(), client); err != nil {
		panic(err)
	}
	lambda.Start(journal.Wrap(follower, func(_ context.Context, user string) (int, error) {
		return client.IntVariation("flag", ldcontext.New(user), -1)
	}))
}

// lab has a table in this process, and a function in other processes that reads it.
type lab struct {
	*account
	*runtimeapi.Function
	version int
	ended   time.Time // when the latest invocation ended
}

func newLab(t *testing.T, ttl time.Duration, env ...string) *lab {
	a := newAccount(t)
	binary, err := os.Executable()
	require.NoError(t, err)
	server := httptest.NewServer(a.DynamoDB)
	t.Cleanup(server.Close)
	f := runtimeapi.New(runtimeapi.Config{
		Bootstrap: binary, Timeout: 10 * time.Minute, InitLimit: 10 * time.Minute, Output: t.Output(),
		Env: append(env, asFunction+"="+ttl.String(), "AWS_ENDPOINT_URL="+server.URL),
	})
	t.Cleanup(f.Close)
	l := &lab{account: a, Function: f}
	_, err = a.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item{
		"namespace": str("$inited"), "key": str("$inited"),
	}})
	require.NoError(t, err)
	l.flip()
	return l
}

// flip writes the flag's next version, which is also its value.
func (l *lab) flip() {
	l.version++
	data := fmt.Sprintf(`{"key":"flag","version":%[1]d,"on":false,"offVariation":0,"variations":[%[1]d]}`, l.version)
	_, err := l.DynamoDB.PutItem(l.t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item{
		"namespace": str("features"), "key": str("flag"), "version": num(fmt.Sprint(l.version)), "item": str(data),
	}})
	require.NoError(l.t, err)
}

// value invokes the function and returns the flag's value.
func (l *lab) value() (version int) {
	l.t.Helper()
	r, err := l.Invoke(l.t.Context(), []byte(`"ada"`))
	require.NoError(l.t, err)
	_, err = fmt.Sscan(strings.TrimSpace(string(r.Payload)), &version)
	require.NoError(l.t, err)
	l.ended = time.Now()
	return version
}

// freeze waits until d has passed since the latest invocation ended. The container is frozen meanwhile.
func (l *lab) freeze(d time.Duration) { <-time.After(d - time.Since(l.ended)) }

func TestAThawedContainerIsFreshInItsFirstInvocation(t *testing.T) {
	ttls := map[string]time.Duration{"beyond the TTL": 300 * time.Millisecond, "within the TTL": time.Hour}
	for name, ttl := range ttls {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, ttl)
			l.append("flag")
			require.Equal(t, 1, l.value())
			for range 5 {
				l.flip()
				l.append("flag")
				l.freeze(4 * processInterval)
				assert.Equal(t, l.version, l.value())
			}
			assert.Equal(t, 1, l.Started())
			l.flip()
			require.NoError(t, l.writer.Renew(t.Context(), ""))
			l.freeze(processInterval)
			assert.Equal(t, l.version, l.value(), "after Renew")
		})
	}
}

// The caller has its answer before LaunchDarkly has accepted the events. They are sent before the container is frozen.
func TestEventsAreSentAfterTheAnswer(t *testing.T) {
	arrived, release := make(chan string, 10), make(chan struct{})
	events := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-release
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(events.Close)
	l := newLab(t, time.Hour, eventsTo+"="+events.URL)
	for range 3 {
		invocation := l.Begin(t.Context(), []byte(`"ada"`))
		r, err := invocation.Answer(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "1", strings.TrimSpace(string(r.Payload)))
		assert.Equal(t, "/bulk", <-arrived)
		assert.False(t, invocation.Ended())
		release <- struct{}{}
		_, err = invocation.End(t.Context())
		require.NoError(t, err)
		l.ended = time.Now()
		l.freeze(processInterval)
	}
}

func TestWithoutTheJournalTheTTLIsTheLimit(t *testing.T) {
	t.Run("short", func(t *testing.T) {
		const ttl = 300 * time.Millisecond
		l := newLab(t, ttl)
		for range 3 {
			require.Equal(t, l.version, l.value())
			l.flip()
			l.freeze(ttl)
			assert.Equal(t, l.version, l.value())
			l.freeze(ttl)
		}
	})
	t.Run("long", func(t *testing.T) { // proves that the journal made the flags fresh in the other tests
		l := newLab(t, time.Hour)
		require.Equal(t, 1, l.value())
		l.flip()
		l.freeze(4 * processInterval)
		assert.Equal(t, 1, l.value())
	})
}

func TestManyContainersAreFreshAtOnce(t *testing.T) {
	const n = 3
	l := newLab(t, time.Hour)
	l.append("flag")
	each := func(want int) {
		var calls sync.WaitGroup
		for range n {
			calls.Go(func() {
				r, err := l.Invoke(t.Context(), []byte(`"ada"`))
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprint(want), strings.TrimSpace(string(r.Payload)))
			})
		}
		calls.Wait()
		l.ended = time.Now()
	}
	each(1)
	for range 3 {
		l.flip()
		l.append("flag")
		l.freeze(processInterval)
		each(l.version)
	}
	l.Recycle(t.Context())
	each(l.version)
}
