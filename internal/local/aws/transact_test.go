package aws_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

func putOne(i attributes) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: aws.String("flags"), Item: i}}
}

func transact(t *testing.T, d *localaws.DynamoDB, items ...types.TransactWriteItem) error {
	t.Helper()
	_, err := d.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: items})
	return err
}

func codes(t *testing.T, err error) (list []string) {
	t.Helper()
	var canceled *types.TransactionCanceledException
	require.ErrorAs(t, err, &canceled)
	for _, r := range canceled.CancellationReasons {
		list = append(list, *r.Code)
	}
	return list
}

func query(t *testing.T, d *localaws.DynamoDB) (items []attributes) {
	t.Helper()
	pages := dynamodb.NewQueryPaginator(d, &dynamodb.QueryInput{
		TableName: aws.String("flags"), KeyConditionExpression: aws.String("namespace = :n"), ExpressionAttributeValues: attributes{":n": s("features")},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		items = append(items, page.Items...)
	}
	return items
}

func TestTransaction(t *testing.T) {
	c, d := flags(t)
	put(t, d, flag("a", 1), flag("b", 1), flag("c", 1))
	require.NoError(t, transact(t, d,
		putOne(flag("a", 2)),
		types.TransactWriteItem{Update: &types.Update{TableName: aws.String("flags"), Key: flagKey("b"), UpdateExpression: aws.String("ADD version :one"), ExpressionAttributeValues: attributes{":one": n(1)}}},
		types.TransactWriteItem{Delete: &types.Delete{TableName: aws.String("flags"), Key: flagKey("c")}},
		types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: aws.String("flags"), Key: flagKey("d"), ConditionExpression: aws.String("attribute_not_exists(version)")}},
	))
	require.Equal(t, []attributes{flag("a", 2), flag("b", 2)}, query(t, d))
	require.Len(t, records(t, c, "flags"), 6)
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	_, d := flags(t)
	put(t, d, flag("b", 7))
	failing := putOne(flag("b", 2))
	failing.Put.ConditionExpression = aws.String("version < :v")
	failing.Put.ExpressionAttributeValues = attributes{":v": n(2)}
	failing.Put.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	badUpdate := types.TransactWriteItem{Update: &types.Update{TableName: aws.String("flags"), Key: flagKey("c"), UpdateExpression: aws.String("SET version = version + :v"), ExpressionAttributeValues: attributes{":v": n(1)}}}
	err := transact(t, d, putOne(flag("a", 1)), failing, badUpdate)
	require.Equal(t, []string{"None", "ConditionalCheckFailed", "ValidationError"}, codes(t, err))
	var canceled *types.TransactionCanceledException
	require.ErrorAs(t, err, &canceled)
	assert.Equal(t, flag("b", 7), canceled.CancellationReasons[1].Item)
	assert.Contains(t, canceled.ErrorMessage(), "[None, ConditionalCheckFailed, ValidationError]")
	require.Equal(t, []attributes{flag("b", 7)}, query(t, d))
}

func TestBetweenATransactionsItems(t *testing.T) {
	c, d := flags(t)
	put(t, d, flag("a", 1), flag("b", 1))
	var seen []string
	c.BetweenItems(func() {
		c.BetweenItems(nil)
		for _, i := range query(t, d) {
			seen = append(seen, i["version"].(*types.AttributeValueMemberN).Value)
		}
		_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: flag("b", 9)})
		var conflict *types.TransactionConflictException
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, []string{"None", "TransactionConflict"}, codes(t, transact(t, d, putOne(flag("c", 1)), putOne(flag("b", 9)))))
		_, err = d.TransactGetItems(t.Context(), &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: aws.String("flags"), Key: flagKey("b")}}}})
		require.Equal(t, []string{"TransactionConflict"}, codes(t, err))
		out, err := d.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"flags": {{PutRequest: &types.PutRequest{Item: flag("b", 9)}}, {PutRequest: &types.PutRequest{Item: flag("d", 1)}}}}})
		require.NoError(t, err)
		require.Len(t, out.UnprocessedItems["flags"], 1)
	})
	require.NoError(t, transact(t, d, putOne(flag("a", 2)), putOne(flag("b", 2))))
	require.Equal(t, []string{"2", "1"}, seen, "the first is applied, the second not yet")
	require.Equal(t, []attributes{flag("a", 2), flag("b", 2), flag("d", 1)}, query(t, d))
	got, err := d.TransactGetItems(t.Context(), &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: aws.String("flags"), Key: flagKey("b")}}}})
	require.NoError(t, err)
	require.Equal(t, flag("b", 2), got.Responses[0].Item)
}

func TestTransactionLimits(t *testing.T) {
	_, d := flags(t)
	many := func(count, size int) (items []types.TransactWriteItem) {
		for i := range count {
			one := flag(fmt.Sprint(i), 1)
			one["item"] = s(strings.Repeat("x", size))
			items = append(items, putOne(one))
		}
		return items
	}
	require.NoError(t, transact(t, d, many(100, 1)...))
	requireCode(t, transact(t, d, many(101, 1)...), "ValidationException", "less than or equal to 100")
	requireCode(t, transact(t, d), "ValidationException", "greater than or equal to 1")
	requireCode(t, transact(t, d, many(11, 390<<10)...), "ValidationException", "4MB")
	requireCode(t, transact(t, d, putOne(flag("a", 1)), putOne(flag("a", 2))), "ValidationException", "multiple operations on one item")
}

func TestClientRequestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := flags(t)
		in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token"), TransactItems: []types.TransactWriteItem{putOne(flag("a", 1))}}
		for range 2 {
			_, err := d.TransactWriteItems(t.Context(), in)
			require.NoError(t, err)
			put(t, d, flag("a", 7))
		}
		require.Len(t, records(t, c, "flags"), 2, "the repetition wrote nothing")
		other := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token"), TransactItems: []types.TransactWriteItem{putOne(flag("a", 2))}}
		_, err := d.TransactWriteItems(t.Context(), other)
		var mismatch *types.IdempotentParameterMismatchException
		require.ErrorAs(t, err, &mismatch)
		pass(10*time.Minute + time.Second)
		_, err = d.TransactWriteItems(t.Context(), other)
		require.NoError(t, err)
		require.Equal(t, flag("a", 2), get(t, d, "a"))
	})
}

func TestBatches(t *testing.T) {
	_, d := flags(t)
	var writes []types.WriteRequest
	for i := range 26 {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: flag(fmt.Sprintf("%02d", i), 1)}})
	}
	batch := func(list ...types.WriteRequest) error {
		_, err := d.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"flags": list}})
		return err
	}
	requireCode(t, batch(writes...), "ValidationException", "Too many items")
	requireCode(t, batch(writes[0], writes[0]), "ValidationException", "duplicates")
	require.NoError(t, batch(writes[:25]...))
	require.NoError(t, batch(types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: flagKey("00")}}))
	out, err := d.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{
		RequestItems:           map[string]types.KeysAndAttributes{"flags": {Keys: []map[string]types.AttributeValue{flagKey("00"), flagKey("01"), flagKey("02")}, ConsistentRead: aws.Bool(true)}},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	require.NoError(t, err)
	require.Equal(t, []map[string]types.AttributeValue{flag("01", 1), flag("02", 1)}, out.Responses["flags"])
	require.InDelta(t, 3.0, *out.ConsumedCapacity[0].CapacityUnits, 0)
}

func TestPaging(t *testing.T) {
	c, d := flags(t)
	var want []attributes
	for i := range 10 {
		want = append(want, flag(fmt.Sprintf("%02d", i), i))
	}
	put(t, d, want...)
	put(t, d, attributes{"namespace": s("segments"), "key": s("x"), "version": n(1)})
	for _, size := range []int{1, 50, 100, 1 << 20} {
		c.PageSize(size)
		require.Equal(t, want, query(t, d), "pages of %d bytes", size)
	}
	c.PageSize(1)
	before := c.Calls("Query")
	query(t, d)
	require.Equal(t, 11, c.Calls("Query")-before, "one item a page, and an empty last page")
	total := 0
	for segment := range 3 {
		pages := dynamodb.NewScanPaginator(d, &dynamodb.ScanInput{TableName: aws.String("flags"), Segment: aws.Int32(int32(segment)), TotalSegments: aws.Int32(3)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			require.NoError(t, err)
			total += len(page.Items)
		}
	}
	require.Equal(t, 11, total)
}

func TestQuery(t *testing.T) {
	_, d := flags(t)
	put(t, d, flag("a", 1), flag("ab", 2), flag("b", 3), flag("c", 4))
	for name, test := range map[string]struct {
		in   dynamodb.QueryInput
		want string
	}{
		"begins_with": {dynamodb.QueryInput{KeyConditionExpression: aws.String("namespace = :n AND begins_with(#k, :a)"), ExpressionAttributeValues: attributes{":a": s("a")}}, "a ab"},
		"between":     {dynamodb.QueryInput{KeyConditionExpression: aws.String("#k BETWEEN :a AND :b AND namespace = :n"), ExpressionAttributeValues: attributes{":a": s("ab"), ":b": s("b")}}, "ab b"},
		"greater":     {dynamodb.QueryInput{KeyConditionExpression: aws.String("(namespace = :n) AND (#k > :a)"), ExpressionAttributeValues: attributes{":a": s("ab")}}, "b c"},
		"backward":    {dynamodb.QueryInput{KeyConditionExpression: aws.String("namespace = :n"), ScanIndexForward: aws.Bool(false), Limit: aws.Int32(2)}, "c b; c:b"},
		"from":        {dynamodb.QueryInput{KeyConditionExpression: aws.String("namespace = :n"), ExclusiveStartKey: flagKey("aa")}, "ab b c"},
		"back from":   {dynamodb.QueryInput{KeyConditionExpression: aws.String("namespace = :n"), ScanIndexForward: aws.Bool(false), ExclusiveStartKey: flagKey("b")}, "ab a"},
		"filter":      {dynamodb.QueryInput{KeyConditionExpression: aws.String("namespace = :n"), FilterExpression: aws.String("version IN (:x, :y)"), Limit: aws.Int32(3), ExpressionAttributeValues: attributes{":x": n(2), ":y": n(4)}}, "ab; 3:b"},
	} {
		t.Run(name, func(t *testing.T) {
			in := test.in
			in.TableName = aws.String("flags")
			if in.ExpressionAttributeValues == nil {
				in.ExpressionAttributeValues = attributes{}
			}
			in.ExpressionAttributeValues[":n"] = s("features")
			if strings.Contains(*in.KeyConditionExpression, "#k") {
				in.ExpressionAttributeNames = map[string]string{"#k": "key"}
			}
			out, err := d.Query(t.Context(), &in)
			require.NoError(t, err)
			var keys []string
			for _, i := range out.Items {
				keys = append(keys, i["key"].(*types.AttributeValueMemberS).Value)
			}
			want, last, more := strings.Cut(test.want, "; ")
			assert.Equal(t, want, strings.Join(keys, " "))
			assert.Equal(t, more, out.LastEvaluatedKey != nil)
			if more {
				assert.True(t, strings.HasSuffix(last, ":"+out.LastEvaluatedKey["key"].(*types.AttributeValueMemberS).Value))
			}
		})
	}
	counted, err := d.Query(t.Context(), &dynamodb.QueryInput{
		TableName: aws.String("flags"), KeyConditionExpression: aws.String("namespace = :n"), ExpressionAttributeValues: attributes{":n": s("features")},
		Select: types.SelectCount, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	require.NoError(t, err)
	assert.Equal(t, []any{int32(4), 0, 0.5}, []any{counted.Count, len(counted.Items), *counted.ConsumedCapacity.CapacityUnits})
}

func TestConsumedCapacity(t *testing.T) {
	_, d := flags(t)
	big := flag("a", 1)
	big["item"] = s(strings.Repeat("x", 5000))
	out, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: big, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	require.NoError(t, err)
	assert.InDelta(t, 5.0, *out.ConsumedCapacity.CapacityUnits, 0)
	for consistent, want := range map[bool]float64{false: 1, true: 2} {
		got, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: flagKey("a"), ConsistentRead: aws.Bool(consistent), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		require.NoError(t, err)
		assert.InDelta(t, want, *got.ConsumedCapacity.CapacityUnits, 0)
	}
	tx, err := d.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{putOne(big)}, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	require.NoError(t, err)
	assert.InDelta(t, 10.0, *tx.ConsumedCapacity[0].CapacityUnits, 0)
}

func TestConcurrentCounting(t *testing.T) {
	_, d := flags(t)
	const workers, each = 8, 50
	done := make(chan error, workers)
	for range workers {
		go func() {
			for range each {
				if _, err := d.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{TableName: aws.String("flags"), Key: flagKey("a"), UpdateExpression: aws.String("ADD version :one"), ExpressionAttributeValues: attributes{":one": n(1)}}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		require.NoError(t, <-done)
	}
	require.Equal(t, n(workers*each), get(t, d, "a")["version"])
}
