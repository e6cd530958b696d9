package table_test

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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

func TestOnlyTheDifferenceIsWritten(t *testing.T) {
	api := spy.New()
	s := open(api, "p")
	require.NoError(t, initialize(t, s, many(500, nil)))
	assert.Equal(t, 6, api.Writes(), "500 flags, a segment and the marker, in transactions of 100")

	api.Reset()
	require.NoError(t, initialize(t, s, many(500, nil)))
	assert.Equal(t, 0, api.Writes(), "an unchanged environment")

	api.Reset()
	require.NoError(t, initialize(t, s, many(500, map[int]int{17: 2})))
	assert.Equal(t, 1, api.Writes(), "one changed flag")
	assert.Equal(t, 2, flags(t, s)["flag-017"])
}

func TestTransactionsKeepOrderAndLimits(t *testing.T) {
	api := spy.New()
	s := open(api, "")
	require.NoError(t, initialize(t, s, data("x:1")))
	deleteRow(t, api, "$inited")
	var order []string
	var counts []int
	api.Alter = func(in *dynamodb.TransactWriteItemsInput) {
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
	all := []table.Collection{{Kind: segments}, {Kind: features}}
	all[0].Items = append(all[0].Items, item("new-segment", 1))
	want := []string{"+new-segment"}
	for i := range 15 {
		key := fmt.Sprint("big-", 15-i) // not in alphabetical order
		big := table.Item{Key: key, Version: 1, JSON: strings.Repeat("x", 390*1024)}
		all[1].Items = append(all[1].Items, big)
		want = append(want, "+"+key)
	}
	require.NoError(t, initialize(t, s, all))
	assert.Equal(t, append(want, "-x", "-everyone", "+$inited"), order)
	assert.Equal(t, []int{11, 8}, counts)
}

func deleteRow(t *testing.T, api *spy.Client, key string) {
	t.Helper()
	_, err := api.TransactWriteItems(t.Context(),
		&dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Delete: &types.Delete{
			TableName: aws.String(spy.Table),
			Key:       map[string]types.AttributeValue{"namespace": table.Text(key), "key": table.Text(key)},
		}}}})
	require.NoError(t, err)
}

// If a writer crashes after any of its calls, the table has the marker only if it is complete, and the next Init
// completes it.
func TestCrashAfterAnyCall(t *testing.T) {
	errCrash := errors.New("crash")
	all := many(250, nil)
	for calls := 1; ; calls++ {
		api := spy.New()
		require.NoError(t, initialize(t, open(api, ""), data("gone:1", "flag-003:9")))
		deleteRow(t, api, "$inited")
		api.Reset()
		api.Before = func(_ string, call int) error {
			if call > calls {
				return errCrash
			}
			return nil
		}
		api.After = func(_ string, call int) error {
			if call == calls {
				return errCrash
			}
			return nil
		}
		err := initialize(t, open(api, ""), all)
		api.Before, api.After = nil, nil
		made := api.Calls()
		s := open(api, "")
		marker, errRead := s.ReadMarker(t.Context(), layout.MarkerInited)
		require.NoError(t, errRead)
		if marker != nil {
			assert.Len(t, flags(t, s), 250, "the marker was written before the table was complete")
		}
		require.NoError(t, initialize(t, s, all))
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

// Another program changes a row between Init's read and its write.
func TestRowsChangedMeanwhile(t *testing.T) {
	upsert := func(version int) func(*testing.T, *table.Environment) {
		return func(t *testing.T, other *table.Environment) {
			_, err := other.Upsert(t.Context(), features, item("a", version))
			require.NoError(t, err)
		}
	}
	initialize := func(flags ...string) func(*testing.T, *table.Environment) {
		return func(t *testing.T, other *table.Environment) { require.NoError(t, initialize(t, other, data(flags...))) }
	}
	for name, c := range map[string]struct {
		meanwhile func(*testing.T, *table.Environment)
		ours      []string
		want      map[string]int
		kept      []string
	}{
		"newer upsert survives": {upsert(5), []string{"a:3", "b:2"},
			map[string]int{"a": 5, "b": 2}, []string{"a"}},
		"equal upsert is no conflict": {upsert(3), []string{"a:3", "b:2"}, map[string]int{"a": 3, "b": 2}, nil},
		"older upsert is overwritten": {upsert(2), []string{"a:3", "b:2"}, map[string]int{"a": 3, "b": 2}, nil},
		"updated, Init removes": {upsert(2), []string{"b:2"},
			map[string]int{"a": 2, "b": 2}, []string{"a"}},
		"removed, Init updates": {initialize("b:1"), []string{"a:3", "b:2"},
			map[string]int{"a": 3, "b": 2}, nil},
		"removed, Init removes":        {initialize("b:1"), []string{"b:2"}, map[string]int{"b": 2}, nil},
		"reset to lower, Init removes": {initialize("a:0", "b:1"), []string{"b:2"}, map[string]int{"b": 2}, nil},
		"two Inits, the other's is newer": {initialize("a:4", "b:4"), []string{"a:3", "b:3"},
			map[string]int{"a": 4, "b": 4}, []string{"a", "b"}},
		"two Inits add, the other is older": {initialize("a:1", "b:1", "c:1"), []string{"a:1", "b:1", "c:2"},
			map[string]int{"a": 1, "b": 1, "c": 2}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				written, got := race(t, spy.New(), c.meanwhile, c.ours)
				assert.Equal(t, c.want, got)
				assert.Equal(t, c.kept, keys(written.Kept))
			})
		})
	}
	t.Run("planted fault: no condition", func(t *testing.T) {
		api := spy.New()
		api.Alter = func(in *dynamodb.TransactWriteItemsInput) {
			for _, i := range in.TransactItems {
				if p := i.Put; p != nil {
					p.ConditionExpression, p.ExpressionAttributeNames, p.ExpressionAttributeValues = nil, nil, nil
				}
			}
		}
		_, got := race(t, api, upsert(5), []string{"a:3", "b:2"})
		assert.Equal(t, 3, got["a"], "the newer upsert is lost, which the tests above would notice")
	})
}

// race compares, lets another program change the table, and writes.
func race(
	t *testing.T, api *spy.Client, meanwhile func(*testing.T, *table.Environment), ours []string,
) (table.Written, map[string]int) {
	s := open(api, "")
	require.NoError(t, initialize(t, s, data("a:1", "b:1")))
	d, err := s.Compare(t.Context(), data(ours...))
	require.NoError(t, err)
	meanwhile(t, open(api, ""))
	written, err := s.Write(t.Context(), d, table.WriteOptions{Lower: true})
	require.NoError(t, err)
	return written, flags(t, s)
}

func TestThrottlingAndConflictsAreRetried(t *testing.T) {
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
				api := spy.New()
				s := open(api, "")
				require.NoError(t, initialize(t, s, data()))
				var inTransactions = strings.HasPrefix(fmt.Sprintf("%T", err), "*types.TransactionCanceled")
				turn := 0
				api.Before = func(op string, _ int) error {
					if turn++; turn%4 == 0 || inTransactions && op != "TransactWriteItems" {
						return nil
					}
					return err
				}
				require.NoError(t, initialize(t, s, data("a:1", "b:1")))
				if !inTransactions {
					updated, err := s.Upsert(t.Context(), features, item("a", 2))
					require.NoError(t, err)
					assert.True(t, updated)
					_, err = s.TakeToken(t.Context())
					require.NoError(t, err)
				}
				api.Before = nil
				assert.Len(t, flags(t, s), 2)

				api.Before = func(op string, _ int) error {
					if inTransactions && op != "TransactWriteItems" {
						return nil
					}
					return err
				}
				start := time.Now()
				got := initialize(t, s, data("a:3", "b:3"))
				require.ErrorIs(t, got, err, "the last error is returned")
				require.ErrorContains(t, got, "gave up")
				assert.Equal(t, 30*time.Second, time.Since(start))
			})
		})
	}
}

// Calls succeed, but their responses are lost.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := spy.New()
		s := open(api, "")
		lost := map[string]bool{}
		api.After = func(op string, _ int) error {
			if lost[op] {
				return nil
			}
			lost[op] = true
			return &smithy.GenericAPIError{Code: "RequestTimeout"}
		}
		d, err := s.Compare(t.Context(), data("a:1", "b:1"))
		require.NoError(t, err)
		written, err := s.Write(t.Context(), d, table.WriteOptions{})
		require.NoError(t, err)
		assert.Empty(t, written.Kept, "the rows are not treated as another program's")
		assert.Equal(t, map[string]int{"a": 1, "b": 1}, flags(t, s))
		token, err := s.TakeToken(t.Context())
		require.NoError(t, err)
		assert.Equal(t, int64(2), token)
	})
}

func TestOtherCancellationsNameTheRow(t *testing.T) {
	api := spy.New()
	s := open(api, "")
	require.NoError(t, initialize(t, s, data()))
	code := func(codes ...string) {
		e := &types.TransactionCanceledException{}
		for _, c := range codes {
			e.CancellationReasons = append(e.CancellationReasons,
				types.CancellationReason{Code: aws.String(c), Message: aws.String("too deep")})
		}
		api.Before = func(op string, _ int) error {
			if op == "TransactWriteItems" {
				return e
			}
			return nil
		}
	}
	code("None", "ValidationError")
	require.ErrorContains(t, initialize(t, s, data("a:1", "b:1")), `row "features" "b": ValidationError: too deep`)
	code("ConditionalCheckFailed")
	require.ErrorContains(t, initialize(t, s, data("a:1", "b:1")), "1 reasons for 2 rows")
}

func TestFencingToken(t *testing.T) {
	api := spy.New()
	older, newer := open(api, "p"), open(api, "p")
	first, err := older.TakeToken(t.Context())
	require.NoError(t, err)
	require.NoError(t, initialize(t, older, many(150, nil)))

	d, err := older.Compare(t.Context(), many(250, map[int]int{0: 2}))
	require.NoError(t, err)
	api.Reset()
	api.Before = func(op string, _ int) error {
		if op == "TransactWriteItems" && api.Operations()[op] == 2 { // after the first transaction
			_, err := newer.TakeToken(t.Context())
			return err
		}
		return nil
	}
	written, err := older.Write(t.Context(), d, table.WriteOptions{Token: first})
	require.ErrorIs(t, err, table.ErrTokenLost)
	assert.Equal(t, 1, written.Transactions)
	assert.Len(t, flags(t, older), 150+98, "99 rows and the check in each transaction")

	other, err := open(api, "").TakeToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, int64(1), other, "each environment has its own token")
	_, hasItem := api.Row(t, "p:$sync", "p:$sync")["item"]
	assert.False(t, hasItem, "a marker has no item")
	api.Reset()
	d, err = newer.Compare(t.Context(), many(250, map[int]int{0: 2}))
	require.NoError(t, err)
	_, err = newer.Write(t.Context(), d, table.WriteOptions{Token: first + 1})
	require.NoError(t, err)
	assert.Len(t, flags(t, newer), 250, "the newer sync completes the table")
}
