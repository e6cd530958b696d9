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
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// records reads all of a stream's first shard.
func records(t *testing.T, c *localaws.Cloud, table string) []streamtypes.Record {
	t.Helper()
	list, err := c.Streams.ListStreams(t.Context(), &dynamodbstreams.ListStreamsInput{TableName: aws.String(table)})
	require.NoError(t, err)
	arn := list.Streams[0].StreamArn
	described, err := c.Streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	require.NoError(t, err)
	at, err := c.Streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn: arn, ShardId: described.StreamDescription.Shards[0].ShardId, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
	})
	require.NoError(t, err)
	out, err := c.Streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: at.ShardIterator})
	require.NoError(t, err)
	return out.Records
}

func TestStreamRecords(t *testing.T) {
	c, d := flags(t)
	put(t, d, flag("a", 1), flag("a", 1), flag("a", 2))
	_, err := d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("flags"), Key: flagKey("a")})
	require.NoError(t, err)
	_, err = d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("flags"), Key: flagKey("a")})
	require.NoError(t, err)

	got := records(t, c, "flags")
	require.Len(t, got, 3, "a write that changes nothing has no record")
	var names []streamtypes.OperationType
	sequence := ""
	for _, r := range got {
		names = append(names, r.EventName)
		assert.Greater(t, *r.Dynamodb.SequenceNumber, sequence)
		sequence = *r.Dynamodb.SequenceNumber
		assert.Len(t, r.Dynamodb.Keys, 2)
	}
	assert.Equal(t, []streamtypes.OperationType{"INSERT", "MODIFY", "REMOVE"}, names)
	assert.Nil(t, got[0].Dynamodb.OldImage)
	assert.Equal(t, &streamtypes.AttributeValueMemberN{Value: "1"}, got[1].Dynamodb.OldImage["version"])
	assert.Equal(t, &streamtypes.AttributeValueMemberN{Value: "2"}, got[1].Dynamodb.NewImage["version"])
	assert.Nil(t, got[2].Dynamodb.NewImage)
}

func TestStreamViews(t *testing.T) {
	for view, want := range map[types.StreamViewType][2]bool{ // new image, old image
		types.StreamViewTypeKeysOnly: {}, types.StreamViewTypeNewImage: {true, false},
		types.StreamViewTypeOldImage: {false, true}, types.StreamViewTypeNewAndOldImages: {true, true},
	} {
		t.Run(string(view), func(t *testing.T) {
			c := localaws.New()
			_, err := c.DynamoDB.CreateTable(t.Context(), &dynamodb.CreateTableInput{
				TableName: aws.String("flags"), BillingMode: types.BillingModePayPerRequest,
				KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("key"), KeyType: types.KeyTypeHash}},
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS}},
				StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: view},
			})
			require.NoError(t, err)
			put(t, c.DynamoDB, flag("a", 1), flag("a", 2))
			change := records(t, c, "flags")[1].Dynamodb
			assert.Equal(t, want, [2]bool{change.NewImage != nil, change.OldImage != nil})
			assert.Equal(t, string(view), string(change.StreamViewType))
		})
	}
}

// pass lets virtual time pass, and then everything settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// mapping runs a handler on the flag table's stream in a bubble, and records its batches as keys.
type mapping struct {
	mu      sync.Mutex // guards batches
	batches [][]string
}

func (m *mapping) start(t *testing.T, c *localaws.Cloud, change func(*localaws.StreamMapping), handle func(attempt int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error)) (stop func()) {
	t.Helper()
	list, err := c.Streams.ListStreams(t.Context(), &dynamodbstreams.ListStreamsInput{})
	require.NoError(t, err)
	sm := &localaws.StreamMapping{
		Streams: c.Streams, StreamARN: *list.Streams[0].StreamArn, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
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
		r.BatchItemFailures = append(r.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: e.Records[i].Change.SequenceNumber})
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
		"from lowest": {func(e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) { return failAt(e, 3, 2), nil }, [][]string{whole, {"c", "d"}}},
		"no identifier": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{{}}}, nil
		}, [][]string{whole, whole}},
		"not in the batch": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: "7"}}}, nil
		}, [][]string{whole, whole}},
		"error": {func(e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			return failAt(e, 3), errors.New("broken")
		}, [][]string{whole, whole}},
		"panic": {func(events.DynamoDBEvent) (events.DynamoDBEventResponse, error) { panic("broken") }, [][]string{whole, whole}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := flags(t)
				put(t, d, flag("a", 1), flag("b", 1), flag("c", 1), flag("d", 1))
				m := &mapping{}
				stop := m.start(t, c, nil, func(attempt int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
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

func TestStreamMappingFollowsShardsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := flags(t)
		m := &mapping{}
		put(t, d, flag("a", 1))
		require.True(t, c.RollShard("flags"))
		put(t, d, flag("a", 2))
		stop := m.start(t, c, nil, func(attempt int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			assert.Equal(t, attempt == 4, e.Records[0].EventName == "MODIFY", "a child comes after its parent is done")
			if attempt <= 2 {
				return events.DynamoDBEventResponse{}, errors.New("broken")
			}
			return events.DynamoDBEventResponse{}, nil
		})
		pass(time.Minute)
		c.RollShard("flags")
		c.RollShard("flags")
		put(t, d, flag("b", 1))
		c.RollShard("flags")
		pass(time.Minute)
		put(t, d, flag("c", 1))
		pass(time.Second)
		stop()
		assert.Equal(t, [][]string{{"a"}, {"a"}, {"a"}, {"a"}, {"b"}, {"c"}}, m.batches)
	})
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
				assert.Equal(t, []string{"d"}, m.batches[len(m.batches)-1], "the shard goes on")
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
		list, err := c.Streams.ListStreams(t.Context(), nil)
		require.NoError(t, err)
		require.Len(t, list.Streams, 1)
		stop := m.start(t, c, nil, nil)
		pass(time.Minute)
		put(t, d, flag("b", 1))
		pass(time.Hour) // iterators live for 15 minutes only
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
	m := &localaws.StreamMapping{Streams: c.Streams, StreamARN: "arn:none", Handler: func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
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

func TestStreamMappingConvertsEveryType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := flags(t)
		i := flag("a", 1)
		i["b"] = &types.AttributeValueMemberB{Value: []byte{1}}
		i["bool"] = &types.AttributeValueMemberBOOL{Value: true}
		i["null"] = &types.AttributeValueMemberNULL{Value: true}
		i["l"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{s("x"), &types.AttributeValueMemberM{Value: attributes{}}}}
		i["m"] = &types.AttributeValueMemberM{Value: attributes{"n": n(7)}}
		i["ss"] = &types.AttributeValueMemberSS{Value: []string{"x", "y"}}
		i["ns"] = &types.AttributeValueMemberNS{Value: []string{"1.50"}}
		i["bs"] = &types.AttributeValueMemberBS{Value: [][]byte{{2}}}
		put(t, d, i)
		var got events.DynamoDBEventRecord
		stop := (&mapping{}).start(t, c, nil, func(_ int, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			got = e.Records[0]
			return events.DynamoDBEventResponse{}, nil
		})
		pass(time.Second)
		stop()
		image := got.Change.NewImage
		assert.Equal(t, []byte{1}, image["b"].Binary())
		assert.True(t, image["bool"].Boolean())
		assert.True(t, image["null"].IsNull())
		assert.Equal(t, "x", image["l"].List()[0].String())
		assert.Empty(t, image["l"].List()[1].Map())
		assert.Equal(t, "7", image["m"].Map()["n"].Number())
		assert.Equal(t, []string{"x", "y"}, image["ss"].StringSet())
		assert.Equal(t, []string{"1.5"}, image["ns"].NumberSet())
		assert.Equal(t, [][]byte{{2}}, image["bs"].BinarySet())
		assert.Equal(t, "aws:dynamodb", got.EventSource)
		assert.Contains(t, got.EventSourceArn, ":table/flags/stream/")
	})
}
