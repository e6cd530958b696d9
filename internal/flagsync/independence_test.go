package flagsync_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/table"
)

// healthy is the environment that must not wait for the others, which all fail in the same way.
const (
	environments = 50
	healthy      = "env-49"
	healthyKey   = "sdk-49"
)

// work counts what the syncs of one environment did.
type work struct{ Tokens, Queries, Transactions, Ends, Streams int }

// witness counts the work of each environment and records the order in which syncs start and end.
type witness struct {
	mu     sync.Mutex // guards the fields below
	of     map[string]*work
	events []string      // "env-1 starts", "env-1 ends"
	begun  chan struct{} // closed when the healthy environment's sync has started
}

func newWitness() *witness { return &witness{of: map[string]*work{}, begun: make(chan struct{})} }

func (w *witness) note(prefix string, count func(*work)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[prefix] == nil {
		w.of[prefix] = &work{}
	}
	count(w.of[prefix])
}

// event records that a sync of an environment starts or ends.
func (w *witness) event(prefix, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, prefix+" "+what)
	if prefix == healthy && what == "starts" {
		select {
		case <-w.begun:
		default:
			close(w.begun)
		}
	}
}

// intercept counts calls. It delays the token of a failing environment until the healthy environment's sync has
// started, or until the function's time is up, so that the order does not depend on chance.
func (w *witness) intercept(throttled bool) func(context.Context, string, any) error {
	return func(ctx context.Context, _ string, input any) error {
		switch in := input.(type) {
		case *dynamodb.UpdateItemInput:
			prefix := prefixOf(in.Key["namespace"])
			switch {
			case in.ConditionExpression == nil:
				w.event(prefix, "starts")
				w.note(prefix, func(k *work) { k.Tokens++ })
				if prefix != healthy {
					select {
					case <-w.begun:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			case in.ExpressionAttributeValues[":token"] != nil:
				w.note(prefix, func(k *work) { k.Ends++ })
			}
		case *dynamodb.QueryInput:
			prefix := prefixOf(in.ExpressionAttributeValues[":n"])
			w.note(prefix, func(k *work) { k.Queries++ })
			if throttled && prefix != healthy {
				return &types.ProvisionedThroughputExceededException{}
			}
		case *dynamodb.TransactWriteItemsInput:
			w.note(prefixOf(in.TransactItems[0].Put.Item["namespace"]), func(k *work) { k.Transactions++ })
		}
		return nil
	}
}

func prefixOf(namespace types.AttributeValue) string {
	prefix, _, _ := strings.Cut(namespace.(*types.AttributeValueMemberS).Value, ":")
	return prefix
}

// The fiftieth environment is synced at once, whatever the state of the other 49. Failures that no retry can fix are
// not retried, and the request for all environments is done.
func TestNoEnvironmentWaitsForAnother(t *testing.T) {
	one := work{Tokens: 1, Queries: 2, Ends: 1, Streams: 1}
	for name, c := range map[string]struct {
		answer    func(s sink) // of the others' LaunchDarkly
		throttled bool
		want      work // of each of the others, in the first minute
		held      int  // requests
	}{
		"a guard":       {func(s sink) { s.payload() }, false, one, environments - 1},
		"a refused key": {func(s sink) { s.refuse() }, false, work{Tokens: 1, Ends: 1, Streams: 1}, environments - 1},
		// at 0, 11, 23, 37 and 55 s
		"LaunchDarkly silent": {func(sink) {}, false, work{Tokens: 5, Streams: 5}, 0},
		"LaunchDarkly's 5xx":  {func(s sink) { s.fail() }, false, work{Tokens: 5, Streams: 5}, 0},
		// at 0 and 31 s
		"a throttled table": {func(s sink) { s.payload("a:1") }, true, work{Tokens: 2, Streams: 2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWitness()
				q := newQueueBench(t, func(_ int, s sink) {
					w.note("env-"+strings.TrimPrefix(s.key, "sdk-"), func(k *work) { k.Streams++ })
					if s.key == healthyKey {
						s.payload("a:1")
					} else {
						c.answer(s)
					}
				})
				q.log.line = func(line string) {
					for _, end := range []string{"flags synced", "flags not synced"} {
						if _, after, found := strings.Cut(line, `"msg":"`+end+`","table":"flags","prefix":"`); found {
							prefix, _, _ := strings.Cut(after, `"`)
							w.event(prefix, "ends")
						}
					}
				}
				for i := range environments {
					prefix := fmt.Sprintf("env-%d", i)
					// The guard refuses an empty payload over a table that has flags.
					if prefix != healthy && name == "a guard" {
						old := table.Item{Key: "a", Version: 1, JSON: flagJSON("a:1")}
						_, err := q.environment(prefix).Upsert(t.Context(), "features", old)
						require.NoError(t, err)
					}
				}
				q.cloud.Intercept(w.intercept(c.throttled))
				q.send(t, "a webhook")
				groups := environments + 1 // and the group of the request for all
				q.run(t, manyKeys(environments), groups, q.withQueue())
				time.Sleep(59 * time.Second) // virtual
				synctest.Wait()

				q.cloud.Intercept(nil)
				assert.Equal(t, map[string]int{"a": 1}, q.flags(t, healthy))
				w.mu.Lock()
				defer w.mu.Unlock()
				started := slices.Index(w.events, healthy+" starts")
				require.GreaterOrEqual(t, started, 0, "the healthy environment is synced")
				before := strings.Join(w.events[:started], "\n")
				assert.NotContains(t, before, "ends", "no other sync ended before the healthy one started")
				assert.Equal(t, work{Tokens: 1, Queries: 2, Transactions: 1, Ends: 1, Streams: 1}, *w.of[healthy])
				assert.Len(t, w.of, environments)
				for prefix, got := range w.of {
					if prefix == healthy {
						continue
					}
					// a sync connects again until its time is up, after pauses with jitter
					if strings.HasSuffix(name, "5xx") {
						assert.Greater(t, got.Streams, 5*got.Tokens)
						assert.LessOrEqual(t, got.Streams, 9*got.Tokens)
						got.Streams = got.Tokens
					}
					if c.throttled { // the number of attempts depends on the jitter
						assert.Positive(t, got.Queries)
						got.Queries = 0
					}
					assert.Equal(t, c.want, *got, prefix)
				}
				assert.Equal(t, 5, q.cloud.Calls("SendMessageBatch"))
				requireHandled(t, q, c.held)
			})
		})
	}
}

// requireHandled checks that the request for all environments is done, and the outcomes of the other requests.
func requireHandled(t *testing.T, q *queueBench, held int) {
	t.Helper()
	lines, left := map[string]int{}, environments-1-held
	for _, line := range q.log.lines(t, "request handled") {
		if line["prefix"] == nil {
			lines["all"]++
			assert.EqualValues(t, environments, line["requests_sent"])
			assert.EqualValues(t, 0, line["RequestsFailed"])
		}
		lines["held"] += int(line["RequestsHeld"].(float64))
	}
	assert.Equal(t, map[string]int{"all": 1, "held": held}, lines)
	assert.Equal(t, left, q.waiting(t), "only failures that may be temporary wait for another attempt")
}
