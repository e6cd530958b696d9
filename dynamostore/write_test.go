package dynamostore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
)

func TestOnlyTheDifferenceIsWritten(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "p")
	require.NoError(t, s.Init(many(500, nil)))
	assert.Equal(t, 6, api.writes(), "500 flags, a segment and the marker, in transactions of 100")

	api.reset()
	require.NoError(t, s.Init(many(500, nil)))
	assert.Equal(t, 0, api.writes(), "an unchanged environment")

	api.reset()
	require.NoError(t, s.Init(many(500, map[int]int{17: 2})))
	assert.Equal(t, 1, api.writes(), "one changed flag")
	got, err := s.Get(features, "flag-017")
	require.NoError(t, err)
	assert.Equal(t, 2, got.Version)
}

func TestEqualJSONIsUnchanged(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "")
	item := func(json string) []st.SerializedCollection {
		return []st.SerializedCollection{{Kind: features, Items: []st.KeyedSerializedItemDescriptor{
			keyed("a", st.SerializedItemDescriptor{Version: 1, SerializedItem: []byte(json)})}}}
	}
	require.NoError(t, s.Init(item(`{"a": 1, "b": [2]}`)))
	for json, same := range map[string]bool{
		`{"b":[2],"a":1}`:  true,
		`{"b":[2],"a":2}`:  false,
		`not JSON`:         false,
		`{"a":1,"b":[2]}}`: false,
		`{"a":1}`:          false,
	} {
		d, err := s.Compare(t.Context(), item(json))
		require.NoError(t, err)
		assert.Equal(t, same, len(d.Unchanged) == 1, json)
		assert.Equal(t, !same, len(d.Updated) == 1, json)
	}
	big := `{"a":9007199254740993}`
	require.NoError(t, s.Init(item(big)))
	d, err := s.Compare(t.Context(), item(`{"a":9007199254740992}`))
	require.NoError(t, err)
	assert.Len(t, d.Updated, 1, "numbers that are equal as float64 only")
}

func TestCompareSaysWhatDiffers(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "")
	require.NoError(t, s.Init(data("same:1", "newer:1", "lower:5", "gone:3", "gone2:1")))
	_, err := s.Upsert(features, "gone", tombstone(4))
	require.NoError(t, err)
	api.reset()

	all := data("same:1", "newer:2", "lower:4", "added:1", "added:2")
	all[1].Items = append(all[1].Items, keyed("huge", st.SerializedItemDescriptor{SerializedItem: make([]byte, 400*1024)}), keyed("", item("", 1)),
		keyed("dead", tombstone(2)))
	d, err := s.Compare(t.Context(), all)
	require.NoError(t, err)
	assert.Equal(t, 0, api.writes())
	assert.Equal(t, []string{"everyone", "same"}, keys(d.Unchanged))
	assert.Equal(t, []dynamostore.Item{{Kind: "features", Key: "added", Version: 2, Was: -1}, {Kind: "features", Key: "dead", Version: 2, Was: -1, Deleted: true}},
		d.Added, "a key that comes twice counts as its last")
	assert.Equal(t, []dynamostore.Item{{Kind: "features", Key: "newer", Version: 2, Was: 1}}, d.Updated)
	assert.Equal(t, []dynamostore.Item{{Kind: "features", Key: "lower", Version: 4, Was: 5}}, d.Lower)
	assert.Equal(t, []dynamostore.Item{
		{Kind: "features", Key: "gone", Version: -1, Was: 4, Deleted: true}, {Kind: "features", Key: "gone2", Version: -1, Was: 1},
	}, d.Removed)
	require.Len(t, d.Refused, 2)
	assert.Contains(t, d.Refused[0].Reason, "DynamoDB's limit is 409600")
	assert.Contains(t, d.Refused[1].Reason, "key is empty")

	written, err := s.Write(t.Context(), d, dynamostore.WriteOptions{})
	require.NoError(t, err)
	assert.Equal(t, dynamostore.Written{Transactions: 1}, written)
	assert.Equal(t, map[string]int{"same": 1, "newer": 2, "lower": 5, "added": 2, "dead": 2}, flags(t, s), "lower is held back")
	assert.Equal(t, int64(2), s.Stats().RefusedItems)
	require.NoError(t, s.Init(data("lower:4")), "but Init has the SDK's contract")
	assert.Equal(t, map[string]int{"lower": 4}, flags(t, s))
}

func TestTransactionsKeepOrderAndLimits(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "")
	require.NoError(t, s.Init(data("x:1")))
	deleteRow(t, api, "$inited")
	var order []string
	var counts []int
	api.meddle = func(in *dynamodb.TransactWriteItemsInput) {
		bytes := 0
		for _, i := range in.TransactItems {
			if i.Put != nil {
				order = append(order, "+"+i.Put.Item["key"].(*types.AttributeValueMemberS).Value)
				for _, a := range i.Put.Item {
					if a, ok := a.(*types.AttributeValueMemberS); ok {
						bytes += len(a.Value)
					}
				}
			} else {
				order = append(order, "-"+i.Delete.Key["key"].(*types.AttributeValueMemberS).Value)
			}
		}
		counts = append(counts, len(in.TransactItems))
		assert.LessOrEqual(t, bytes, 4*1024*1024)
	}
	all := []st.SerializedCollection{{Kind: segments}, {Kind: features}}
	all[0].Items = append(all[0].Items, keyed("new-segment", item("new-segment", 1)))
	want := []string{"+new-segment"}
	for i := range 15 {
		key := fmt.Sprint("big-", 15-i) // not in the alphabet's order
		big := st.SerializedItemDescriptor{Version: 1, SerializedItem: []byte(strings.Repeat("x", 390*1024))}
		all[1].Items = append(all[1].Items, keyed(key, big))
		want = append(want, "+"+key)
	}
	require.NoError(t, s.Init(all))
	assert.Equal(t, append(want, "-x", "-everyone", "+$inited"), order)
	assert.Equal(t, []int{11, 8}, counts)
}

func deleteRow(t *testing.T, api *spy, key string) {
	t.Helper()
	_, err := api.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: aws.String(table), Key: map[string]types.AttributeValue{"namespace": str(key), "key": str(key)},
	}}}})
	require.NoError(t, err)
}

// A writer that dies after any of its calls leaves a table that is not marked before it is whole, and that the
// next Init completes.
func TestCrashAfterAnyCall(t *testing.T) {
	errCrash := errors.New("crash")
	all := many(250, nil)
	for calls := 1; ; calls++ {
		api := newSpy(t)
		require.NoError(t, open(t, api, "").Init(data("gone:1", "flag-003:9")))
		deleteRow(t, api, "$inited")
		api.reset()
		api.before = func(_ string, call int) error {
			if call > calls {
				return errCrash
			}
			return nil
		}
		api.after = func(_ string, call int) error {
			if call == calls {
				return errCrash
			}
			return nil
		}
		err := open(t, api, "").Init(all)
		api.before, api.after = nil, nil
		made := api.calls
		s := open(t, api, "")
		if s.IsInitialized() {
			assert.Len(t, flags(t, s), 250, "marked before it was whole")
		}
		require.NoError(t, s.Init(all))
		assert.Len(t, flags(t, s), 250)
		assert.Equal(t, 1, flags(t, s)["flag-003"])
		d, err2 := s.Compare(t.Context(), all)
		require.NoError(t, err2)
		assert.Len(t, d.Unchanged, 251)
		if err == nil {
			assert.Greater(t, made, 5)
			return
		}
		require.ErrorIs(t, err, errCrash)
	}
}

// Somebody changes a row between Init's read and its write.
func TestRowsChangedMeanwhile(t *testing.T) {
	upsert := func(version int) func(*testing.T, *dynamostore.Store) {
		return func(t *testing.T, other *dynamostore.Store) {
			_, err := other.Upsert(features, "a", item("a", version))
			require.NoError(t, err)
		}
	}
	initialize := func(flags ...string) func(*testing.T, *dynamostore.Store) {
		return func(t *testing.T, other *dynamostore.Store) { require.NoError(t, other.Init(data(flags...))) }
	}
	for name, c := range map[string]struct {
		meanwhile func(*testing.T, *dynamostore.Store)
		ours      []string
		want      map[string]int
		kept      []string
	}{
		"newer upsert survives":             {upsert(5), []string{"a:3", "b:2"}, map[string]int{"a": 5, "b": 2}, []string{"a"}},
		"equal upsert is no conflict":       {upsert(3), []string{"a:3", "b:2"}, map[string]int{"a": 3, "b": 2}, nil},
		"older upsert is overwritten":       {upsert(2), []string{"a:3", "b:2"}, map[string]int{"a": 3, "b": 2}, nil},
		"updated, we remove":                {upsert(2), []string{"b:2"}, map[string]int{"a": 2, "b": 2}, []string{"a"}},
		"removed, we update":                {initialize("b:1"), []string{"a:3", "b:2"}, map[string]int{"a": 3, "b": 2}, nil},
		"removed, we remove":                {initialize("b:1"), []string{"b:2"}, map[string]int{"b": 2}, nil},
		"reset to lower, we remove":         {initialize("a:0", "b:1"), []string{"b:2"}, map[string]int{"b": 2}, nil},
		"two Inits, the other's is newer":   {initialize("a:4", "b:4"), []string{"a:3", "b:3"}, map[string]int{"a": 4, "b": 4}, []string{"a", "b"}},
		"two Inits add, the other is older": {initialize("a:1", "b:1", "c:1"), []string{"a:1", "b:1", "c:2"}, map[string]int{"a": 1, "b": 1, "c": 2}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				written, got := race(t, newSpy(t), c.meanwhile, c.ours)
				assert.Equal(t, c.want, got)
				assert.Equal(t, c.kept, keys(written.Kept))
			})
		})
	}
	t.Run("planted fault: no condition", func(t *testing.T) {
		api := newSpy(t)
		api.meddle = func(in *dynamodb.TransactWriteItemsInput) {
			for _, i := range in.TransactItems {
				if i.Put != nil {
					i.Put.ConditionExpression, i.Put.ExpressionAttributeNames, i.Put.ExpressionAttributeValues = nil, nil, nil
				}
			}
		}
		_, got := race(t, api, upsert(5), []string{"a:3", "b:2"})
		assert.Equal(t, 3, got["a"], "the newer upsert is lost, and the test above would say so")
	})
}

// race compares, lets somebody change the table, and writes.
func race(t *testing.T, api *spy, meanwhile func(*testing.T, *dynamostore.Store), ours []string) (dynamostore.Written, map[string]int) {
	s := open(t, api, "")
	require.NoError(t, s.Init(data("a:1", "b:1")))
	d, err := s.Compare(t.Context(), data(ours...))
	require.NoError(t, err)
	meanwhile(t, open(t, api, ""))
	written, err := s.Write(t.Context(), d, dynamostore.WriteOptions{Lower: true})
	require.NoError(t, err)
	return written, flags(t, s)
}

func TestThrottlingAndConflictsAreWaitedOut(t *testing.T) {
	throttled := &types.ProvisionedThroughputExceededException{}
	canceled := func(codes ...string) error {
		e := &types.TransactionCanceledException{}
		for _, code := range codes {
			e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: aws.String(code)})
		}
		return e
	}
	for name, err := range map[string]error{
		"throttled":           throttled,
		"throttling":          &types.ThrottlingException{},
		"request limit":       &types.RequestLimitExceeded{},
		"conflict":            canceled("None", "TransactionConflict"),
		"no throughput":       canceled("ProvisionedThroughputExceeded", "None"),
		"on-demand throttled": canceled("ThrottlingError", "ThrottlingError"),
		"single conflict":     &types.TransactionConflictException{},
		"connection":          &smithy.GenericAPIError{Code: "RequestTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newSpy(t)
				s := open(t, api, "")
				require.NoError(t, s.Init(data()))
				var inTransactions = strings.HasPrefix(fmt.Sprintf("%T", err), "*types.TransactionCanceled")
				turn := 0
				api.before = func(op string, _ int) error {
					if turn++; turn%4 == 0 || inTransactions && op != "TransactWriteItems" {
						return nil
					}
					return err
				}
				require.NoError(t, s.Init(data("a:1", "b:1")))
				if !inTransactions {
					updated, err := s.Upsert(features, "a", item("a", 2))
					require.NoError(t, err)
					assert.True(t, updated)
					_, err = s.TakeFence(t.Context())
					require.NoError(t, err)
				}
				api.before = nil
				assert.Len(t, flags(t, s), 2)

				api.before = func(op string, _ int) error {
					if inTransactions && op != "TransactWriteItems" {
						return nil
					}
					return err
				}
				start := time.Now()
				got := s.Init(data("a:3", "b:3"))
				require.ErrorIs(t, got, err, "the last error is kept")
				require.ErrorContains(t, got, "gave up")
				assert.Equal(t, 30*time.Second, time.Since(start))
			})
		})
	}
}

// The call was made, but its answer was lost.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newSpy(t)
		s := open(t, api, "")
		lost := map[string]bool{}
		api.after = func(op string, _ int) error {
			if lost[op] {
				return nil
			}
			lost[op] = true
			return &smithy.GenericAPIError{Code: "RequestTimeout"}
		}
		d, err := s.Compare(t.Context(), data("a:1", "b:1"))
		require.NoError(t, err)
		written, err := s.Write(t.Context(), d, dynamostore.WriteOptions{})
		require.NoError(t, err)
		assert.Empty(t, written.Kept, "our own rows are not somebody else's")
		assert.Equal(t, map[string]int{"a": 1, "b": 1}, flags(t, s))
		fence, err := s.TakeFence(t.Context())
		require.NoError(t, err)
		assert.Equal(t, int64(2), fence)
	})
}

func TestOtherCancellationsNameTheRow(t *testing.T) {
	api := newSpy(t)
	s := open(t, api, "")
	require.NoError(t, s.Init(data()))
	code := func(codes ...string) {
		e := &types.TransactionCanceledException{}
		for _, c := range codes {
			e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: aws.String(c), Message: aws.String("too deep")})
		}
		api.before = func(op string, _ int) error {
			if op == "TransactWriteItems" {
				return e
			}
			return nil
		}
	}
	code("None", "ValidationError")
	require.ErrorContains(t, s.Init(data("a:1", "b:1")), `row "features" "b": ValidationError: too deep`)
	code("ConditionalCheckFailed")
	require.ErrorContains(t, s.Init(data("a:1", "b:1")), "1 reasons for 2 rows")
}

func TestFence(t *testing.T) {
	api := newSpy(t)
	older, newer := open(t, api, "p"), open(t, api, "p")
	first, err := older.TakeFence(t.Context())
	require.NoError(t, err)
	require.NoError(t, older.Init(many(150, nil)))

	d, err := older.Compare(t.Context(), many(250, map[int]int{0: 2}))
	require.NoError(t, err)
	api.reset()
	api.before = func(op string, _ int) error {
		if op == "TransactWriteItems" && api.ops[op] == 2 { // after the first transaction
			_, err := newer.TakeFence(t.Context())
			return err
		}
		return nil
	}
	written, err := older.Write(t.Context(), d, dynamostore.WriteOptions{Fence: first})
	require.ErrorIs(t, err, dynamostore.ErrFenceLost)
	assert.Equal(t, 1, written.Transactions)
	assert.Len(t, flags(t, older), 150+98, "99 rows and the check to a transaction")

	other, err := open(t, api, "").TakeFence(t.Context())
	require.NoError(t, err)
	assert.Equal(t, int64(1), other, "each environment has its own")
	_, hasItem := api.row(t, "p:$sync", "p:$sync")["item"]
	assert.False(t, hasItem, "what begins with $ has no item")
	api.reset()
	d, err = newer.Compare(t.Context(), many(250, map[int]int{0: 2}))
	require.NoError(t, err)
	_, err = newer.Write(t.Context(), d, dynamostore.WriteOptions{Fence: first + 1})
	require.NoError(t, err)
	assert.Len(t, flags(t, newer), 250, "the next one completes it")
}
