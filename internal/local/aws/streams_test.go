package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// pass lets virtual time pass and waits until all goroutines are blocked.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// mapping runs a handler on the flag table's stream in a bubble, and records its batches as keys.
type mapping struct {
	mu      sync.Mutex // guards batches
	batches [][]string
}

func (m *mapping) start(t *testing.T, c *localaws.Cloud, change func(*localaws.StreamMapping),
	handle func(attempt int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error)) (stop func()) {
	t.Helper()
	sm := &localaws.StreamMapping{
		Streams: c.Streams, StreamARN: c.CreateFlagTable("flags"),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Handler: func(_ context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			var keys []string
			for _, r := range e.Records {
				keys = append(keys, r.Change.Keys["key"].String())
			}
			m.mu.Lock()
			m.batches = append(m.batches, keys)
			attempt := len(m.batches)
			m.mu.Unlock()
			if handle == nil {
				return events.DynamoDBEventResponse{}, nil
			}
			return handle(attempt, e)
		},
	}
	if change != nil {
		change(sm)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- sm.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

func failAt(e events.DynamoDBEvent, places ...int) events.DynamoDBEventResponse {
	var r events.DynamoDBEventResponse
	for _, i := range places {
		r.BatchItemFailures = append(r.BatchItemFailures,
			events.DynamoDBBatchItemFailure{ItemIdentifier: e.Records[i].Change.SequenceNumber})
	}
	return r
}

func TestStreamMapping(t *testing.T) {
	whole := []string{"a", "b", "c", "d"}
	for name, test := range map[string]struct {
		first func(e events.DynamoDBEvent) (events.DynamoDBEventResponse, error)
		want  [][]string
	}{
		"success": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return events.DynamoDBEventResponse{}, nil
		}, [][]string{whole}},
		"from lowest": {func(e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return failAt(e, 3, 2), nil
		}, [][]string{whole, {"c", "d"}}},
		"no identifier": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{{}}}, nil
		}, [][]string{whole, whole}},
		"not in the batch": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			failed := []events.DynamoDBBatchItemFailure{{ItemIdentifier: "7"}}
			return events.DynamoDBEventResponse{BatchItemFailures: failed}, nil
		}, [][]string{whole, whole}},
		"error": {func(e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return failAt(e, 3), errors.New("broken")
		}, [][]string{whole, whole}},
		"panic": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) { panic("broken") },
			[][]string{whole, whole}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := flags(t)
				put(t, d, flag("a", 1), flag("b", 1), flag("c", 1), flag("d", 1))
				m := &mapping{}
				stop := m.start(t, c, nil,
					func(attempt int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
						if attempt == 1 {
							return test.first(e)
						}
						return events.DynamoDBEventResponse{}, nil
					})
				pass(time.Minute)
				stop()
				assert.Equal(t, test.want, m.batches)
			})
		})
	}
}

func TestStreamMappingGivesUp(t *testing.T) {
	broken := func(_ int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) { return failAt(e, 1), nil }
	for name, test := range map[string]struct {
		retries   int
		condition string
		within    time.Duration
	}{
		"after retries":    {2, "RetryAttemptsExhausted", time.Second},
		"without retries":  {-1, "RetryAttemptsExhausted", time.Millisecond},
		"when they expire": {0, "RecordAgeExpired", 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := flags(t)
				put(t, d, flag("a", 1), flag("b", 1), flag("c", 1))
				var failures []localaws.StreamFailure
				m := &mapping{}
				stop := m.start(t, c, func(sm *localaws.StreamMapping) {
					sm.MaximumRetries, sm.Poll = test.retries, 250*time.Millisecond
					if test.retries == 0 {
						sm.Poll = time.Minute
					}
					sm.OnFailure = func(_ context.Context, f localaws.StreamFailure) { failures = append(failures, f) }
				}, func(attempt int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
					if attempt == 1 {
						return broken(attempt, e)
					}
					if e.Records[0].Change.Keys["key"].String() == "d" {
						return events.DynamoDBEventResponse{}, nil
					}
					return events.DynamoDBEventResponse{}, errors.New("broken")
				})
				pass(test.within)
				put(t, d, flag("d", 1))
				pass(2 * time.Minute)
				stop()
				require.Len(t, failures, 1)
				f := failures[0]
				assert.Equal(t, test.condition, f.RequestContext.Condition)
				assert.Equal(t, 2, f.Batch.BatchSize)
				assert.Less(t, f.Batch.StartSequenceNumber, f.Batch.EndSequenceNumber)
				assert.Equal(t, []string{"d"}, m.batches[len(m.batches)-1], "the shard is not blocked")
				text, err := json.Marshal(f)
				require.NoError(t, err)
				assert.Contains(t, string(text), fmt.Sprintf(`"DDBStreamBatchInfo":{"shardId":%q`, f.Batch.ShardID))
			})
		})
	}
}

func TestStreamMappingSurvivesFailedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := flags(t)
		var calls atomic.Int32
		c.Intercept(func(_ context.Context, operation string, _ any) error {
			switch operation {
			case "DescribeStream", "GetShardIterator", "GetRecords":
				if n := calls.Add(1); n%2 == 1 && n < 20 {
					return errors.New("broken")
				}
			}
			return nil
		})
		m := &mapping{}
		put(t, d, flag("a", 1))
		stop := m.start(t, c, nil, nil)
		pass(time.Minute)
		put(t, d, flag("b", 1))
		pass(time.Minute)
		put(t, d, flag("c", 1))
		pass(time.Minute)
		stop()
		assert.Equal(t, [][]string{{"a"}, {"b"}, {"c"}}, m.batches)
	})
}

func TestStreamMappingOptions(t *testing.T) {
	err := (&localaws.StreamMapping{BatchSize: -1, Poll: -1}).Run(t.Context())
	for _, text := range []string{"Handler are required", "BatchSize is -1", "Poll is -1ns"} {
		require.ErrorContains(t, err, text)
	}
	c := localaws.New()
	m := &localaws.StreamMapping{Streams: c.Streams, StreamARN: "arn:none",
		Handler: func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return events.DynamoDBEventResponse{}, nil
		}}
	var missing *streamtypes.ResourceNotFoundException
	require.ErrorAs(t, m.Run(t.Context()), &missing)
}

func TestStreamMappingFilterAndPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := flags(t)
		c.PageSize(1)
		put(t, d, flag("a", 1), attributes{"namespace": s("$sync"), "key": s("$sync")}, flag("b", 1))
		m := &mapping{}
		stop := m.start(t, c, func(sm *localaws.StreamMapping) {
			sm.Filter = func(r events.DynamoDBEventRecord) bool { _, ok := r.Change.NewImage["item"]; return ok }
		}, nil)
		pass(time.Second)
		stop()
		assert.Equal(t, [][]string{{"a"}, {"b"}}, m.batches)
	})
}

// shards is a stream reader that describes a number of shards, and whose first shard is closed.
type shards struct {
	localaws.StreamReader
	n int
}

func (s shards) DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput,
	...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	description := &streamtypes.StreamDescription{Shards: make([]streamtypes.Shard, s.n)}
	return &dynamodbstreams.DescribeStreamOutput{StreamDescription: description}, nil
}

func (s shards) GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput,
	...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	return &dynamodbstreams.GetShardIteratorOutput{}, nil
}

func (s shards) GetRecords(context.Context, *dynamodbstreams.GetRecordsInput,
	...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	return &dynamodbstreams.GetRecordsOutput{}, nil
}

// A stream with several shards is an error, so that no record is skipped silently.
func TestStreamMappingRefusesOtherShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, text := range map[int]string{2: "found 2 shards", 1: "was closed"} {
			m := &localaws.StreamMapping{Streams: shards{n: n}, StreamARN: "arn",
				Handler: func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
					return events.DynamoDBEventResponse{}, nil
				}}
			assert.ErrorContains(t, m.Run(t.Context()), text)
		}
	})
}
