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
		tab.putting(flag("b", 2)),
		types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("c")}},
		types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: tab.name, Key: key("d"),
			ConditionExpression:      aws.String("attribute_not_exists(#v)"),
			ExpressionAttributeNames: map[string]string{"#v": "version"}}},
	)
	require.NoError(t, err)
	assert.Empty(t, reasons)
	assert.Equal(t, map[string]attributes{"a": flag("a", 1), "b": flag("b", 2)}, tab.all())
}

// transactionIsAllOrNothing requires that the reasons have the order of the items, as internal/table needs it.
func transactionIsAllOrNothing(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("b", 7), flag("c", 1), flag("token", 5))
	stale := tab.putting(flag("b", 2))
	names := map[string]string{"#v": "version"}
	stale.Put.ConditionExpression, stale.Put.ExpressionAttributeNames = aws.String("#v < :v"), names
	stale.Put.ExpressionAttributeValues = attributes{":v": whole(2)}
	token := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: tab.name, Key: key("token"), ConditionExpression: aws.String("#v = :v"),
		ExpressionAttributeNames: names, ExpressionAttributeValues: attributes{":v": whole(4)},
	}}
	removal := types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("c")}}
	before := tab.all()
	for _, c := range []struct {
		items []types.TransactWriteItem
		want  []string
	}{
		{[]types.TransactWriteItem{tab.putting(flag("a", 1)), stale, removal, token},
			[]string{"None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"}},
		{[]types.TransactWriteItem{removal, tab.putting(flag("a", 1)), token},
			[]string{"None", "None", "ConditionalCheckFailed"}},
	} {
		reasons, err := tab.transact(c.items...)
		assert.Equal(t, "TransactionCanceledException", codeOf(err))
		assert.Equal(t, c.want, reasons)
		assert.Equal(t, before, tab.all())
	}
}

func transactionLimits(t T, a Account) {
	tab := newTable(t, a)
	many := func(count, size int) (items []types.TransactWriteItem) {
		for i := range count {
			items = append(items,
				tab.putting(with(flag(fmt.Sprint(i), 1), attributes{"item": text(strings.Repeat("x", size))})))
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
	_, errs["an item twice"] = tab.transact(tab.putting(flag("a", 1)),
		types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("a")}})
	_, errs["two kinds in one item"] = tab.transact(types.TransactWriteItem{Put: tab.putting(flag("a", 1)).Put,
		Delete: &types.Delete{TableName: tab.name, Key: key("b")}})
	refused(t, "ValidationException", errs)
	assert.Len(t, tab.all(), before)
}
