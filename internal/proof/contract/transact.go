package contract

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// transact makes a transaction, and returns the codes of its cancellation reasons.
func (t *table) transact(items ...types.TransactWriteItem) (reasons []string, err error) {
	if items == nil {
		items = []types.TransactWriteItem{} // the SDK itself refuses nil
	}
	_, err = t.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: items})
	var canceled *types.TransactionCanceledException
	if asError(err, &canceled) {
		for _, r := range canceled.CancellationReasons {
			reasons = append(reasons, aws.ToString(r.Code))
		}
	}
	return reasons, err
}

func (t *table) putting(item attributes) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: t.name, Item: item}}
}

func transactionWritesAll(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("b", 1), flag("c", 1))
	reasons, err := tab.transact(
		tab.putting(flag("a", 1)),
		types.TransactWriteItem{Update: &types.Update{TableName: tab.name, Key: key("b"), UpdateExpression: aws.String("ADD version :one"), ExpressionAttributeValues: attributes{":one": whole(1)}}},
		types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("c")}},
		types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: tab.name, Key: key("d"), ConditionExpression: aws.String("attribute_not_exists(version)")}},
	)
	require.NoError(t, err)
	assert.Empty(t, reasons)
	assert.Equal(t, map[string]attributes{"a": flag("a", 1), "b": flag("b", 2)}, tab.all())
}

// transactionIsAllOrNothing has each reason in its item's place, as dynamostore.Store.Write needs it.
func transactionIsAllOrNothing(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("b", 7), flag("c", 1), flag("fence", 5))
	stale := tab.putting(flag("b", 2))
	stale.Put.ConditionExpression, stale.Put.ExpressionAttributeValues = aws.String("version < :v"), attributes{":v": whole(2)}
	stale.Put.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	fence := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: tab.name, Key: key("fence"), ConditionExpression: aws.String("version = :v"), ExpressionAttributeValues: attributes{":v": whole(4)}}}
	removal := types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("c")}}
	before := tab.all()
	for _, c := range []struct {
		items []types.TransactWriteItem
		want  []string
	}{
		{[]types.TransactWriteItem{tab.putting(flag("a", 1)), stale, removal, fence}, []string{"None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"}},
		{[]types.TransactWriteItem{removal, tab.putting(flag("a", 1)), fence}, []string{"None", "None", "ConditionalCheckFailed"}},
	} {
		reasons, err := tab.transact(c.items...)
		assert.Equal(t, "TransactionCanceledException", codeOf(err))
		assert.Equal(t, c.want, reasons)
		assert.Equal(t, before, tab.all())
	}
	_, err := tab.transact(stale)
	var canceled *types.TransactionCanceledException
	require.ErrorAs(t, err, &canceled)
	assert.Equal(t, flag("b", 7), canceled.CancellationReasons[0].Item)
}

// wrongUpdateIsReason: an update that cannot be computed is a reason like others
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
func wrongUpdateIsReason(t T, a Account) {
	tab := newTable(t, a)
	wrong := types.TransactWriteItem{Update: &types.Update{TableName: tab.name, Key: key("none"), UpdateExpression: aws.String("SET version = version + :v"), ExpressionAttributeValues: attributes{":v": whole(1)}}}
	reasons, err := tab.transact(tab.putting(flag("a", 1)), wrong)
	assert.Equal(t, "TransactionCanceledException", codeOf(err))
	assert.Equal(t, []string{"None", "ValidationError"}, reasons)
	assert.Empty(t, tab.all())
}

func transactionLimits(t T, a Account) {
	tab := newTable(t, a)
	many := func(count, size int) (items []types.TransactWriteItem) {
		for i := range count {
			items = append(items, tab.putting(with(flag(fmt.Sprint(i), 1), attributes{"item": text(strings.Repeat("x", size))})))
		}
		return items
	}
	_, err := tab.transact(many(100, 1)...)
	require.NoError(t, err, "100 items")
	_, err = tab.transact(many(10, 390<<10)...)
	require.NoError(t, err, "just under 4 MB")
	before := len(tab.all())
	errs := map[string]error{}
	_, errs["101 items"] = tab.transact(many(101, 1)...)
	_, errs["no items"] = tab.transact()
	_, errs["over 4 MB"] = tab.transact(many(11, 390<<10)...)
	_, errs["an item twice"] = tab.transact(tab.putting(flag("a", 1)), types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("a")}})
	_, errs["two kinds in one item"] = tab.transact(types.TransactWriteItem{Put: tab.putting(flag("a", 1)).Put, Delete: &types.Delete{TableName: tab.name, Key: key("b")}})
	refused(t, "ValidationException", errs)
	assert.Len(t, tab.all(), before)
}

func transactionTokens(t T, a Account) {
	tab := newTable(t, a)
	send := func(item attributes) error {
		_, err := tab.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("one"), TransactItems: []types.TransactWriteItem{tab.putting(item)}})
		return err
	}
	require.NoError(t, send(flag("a", 1)))
	tab.put(flag("a", 7))
	require.NoError(t, send(flag("a", 1)), "the same again")
	assert.Equal(t, flag("a", 7), tab.get("a"), "which writes nothing")
	assert.Equal(t, "IdempotentParameterMismatchException", codeOf(send(flag("a", 2))))
}

func transactionReads(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1), flag("c", 3))
	in := &dynamodb.TransactGetItemsInput{}
	for _, k := range []string{"c", "b", "a"} {
		in.TransactItems = append(in.TransactItems, types.TransactGetItem{Get: &types.Get{TableName: tab.name, Key: key(k)}})
	}
	out, err := tab.TransactGetItems(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.Responses, 3)
	assert.Equal(t, []attributes{flag("c", 3), nil, flag("a", 1)}, []attributes{out.Responses[0].Item, out.Responses[1].Item, out.Responses[2].Item})
}

func batches(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("gone", 1))
	out, err := tab.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*tab.name: {
		{PutRequest: &types.PutRequest{Item: flag("a", 1)}}, {PutRequest: &types.PutRequest{Item: flag("b", 1)}}, {DeleteRequest: &types.DeleteRequest{Key: key("gone")}},
	}}})
	require.NoError(t, err)
	assert.Empty(t, out.UnprocessedItems)
	assert.Equal(t, map[string]attributes{"a": flag("a", 1), "b": flag("b", 1)}, tab.all())
	got, err := tab.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*tab.name: {Keys: []map[string]types.AttributeValue{key("a"), key("none"), key("b")}, ConsistentRead: aws.Bool(true)}}})
	require.NoError(t, err)
	assert.ElementsMatch(t, []map[string]types.AttributeValue{flag("a", 1), flag("b", 1)}, got.Responses[*tab.name])
	assert.Empty(t, got.UnprocessedKeys)
}

func batchLimits(t T, a Account) {
	tab := newTable(t, a)
	var writes []types.WriteRequest
	var keys []map[string]types.AttributeValue
	for i := range 101 {
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: flag(fmt.Sprint(i), 1)}})
		keys = append(keys, key(fmt.Sprint(i)))
	}
	write := func(list ...types.WriteRequest) error {
		_, err := tab.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*tab.name: list}})
		return err
	}
	read := func(list ...map[string]types.AttributeValue) error {
		_, err := tab.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*tab.name: {Keys: list}}})
		return err
	}
	require.NoError(t, write(writes[:25]...))
	require.NoError(t, read(keys[:100]...))
	refused(t, "ValidationException", map[string]error{
		"26 writes": write(writes[:26]...), "no writes": write(), "a write twice": write(writes[0], writes[0]),
		"101 reads": read(keys...), "a read twice": read(keys[0], keys[0]),
	})
	assert.Len(t, tab.all(), 25)
}
