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

func dynamoDBCases() map[string]func(T, Account) {
	return map[string]func(T, Account){
		"conditions decide alike in every write": conditionsDecide,
		"a failed condition shows the item":      conditionShowsItem,
		"update expressions":                     updateExpressions,
		"numbers are normalized":                 numbersAreNormalized,
		"keys are checked":                       keysAreChecked,
		"item size":                              itemSize,
		"expressions are checked":                expressionsAreChecked,
		"a table that does not exist":            noTable,
		"queries page by size and keep order":    queriesPage,
		"queries choose by sort key":             queriesChoose,
		"scans see everything once":              scansSeeEverything,
		"batches":                                batches,
		"batch limits":                           batchLimits,
		"transactions write all":                 transactionWritesAll,
		"transactions write nothing if canceled": transactionIsAllOrNothing,
		"transactions name a wrong update":       wrongUpdateIsReason,
		"transaction limits":                     transactionLimits,
		"transactions are idempotent by token":   transactionTokens,
		"transactions read":                      transactionReads,
		"capacity is counted":                    capacityIsCounted,
	}
}

// conditionsDecide tries each condition on no row, a row of version 2 and a row without version or item, in every
// kind of write that takes one. The first five are dynamostore's own.
func conditionsDecide(t T, a Account) {
	tab := newTable(t, a)
	for _, c := range []struct {
		condition string
		want      string // with no row, with version 2, with a bare row: y or n
	}{
		{"attribute_not_exists(#n)", "ynn"},                      // a new row
		{"attribute_exists(#n) AND #v = :v2 AND #i = :i", "nyn"}, // a row as it was read
		{"attribute_exists(#n) AND attribute_not_exists(#v) AND attribute_not_exists(#i)", "nny"},
		{"attribute_not_exists(#v) OR #v < :v3", "yyy"}, // an upsert
		{"#v = :fence", "nyn"},                          // the fence
		{"attribute_not_exists(#v) OR #v < :v2", "yny"},
		{"#v <> :v1", "yyy"}, // unequal is true of what is not there
		{"NOT #v = :v2", "yny"},
		{"NOT (#v < :v1)", "yyy"},
		{"#v BETWEEN :v1 AND :v3", "nyn"},
		{"#v IN (:v1, :v2)", "nyn"},
		{"#v > :s", "nnn"}, // other types never compare
		{"#v <> :s", "yyy"},
		{"attribute_type(#i, :s)", "nyn"},
		{"begins_with(#k, :k) AND contains(#i, :k)", "nyn"},
		{"size(#i) > :v1", "nyn"},
		{"attribute_exists(#n) AND (#v = :v1 OR #i = :i AND #v = :v2)", "nyn"},
	} {
		for i, row := range []attributes{nil, flag("a", 2), key("a")} {
			want := map[bool]string{true: "", false: "ConditionalCheckFailedException"}[c.want[i] == 'y']
			for _, w := range conditionalWrites(expr(c.condition)) {
				if row == nil {
					tab.remove("a")
				} else {
					tab.put(row)
				}
				assert.Equal(t, want, codeOf(w.write(tab)), "%s if %s, row %d", w.name, c.condition, i)
			}
		}
	}
}

type conditionalWrite struct {
	name  string
	write func(*table) error
}

// conditionalWrites is each kind of write, with a condition. A canceled transaction shows as its one reason.
func conditionalWrites(e expression) []conditionalWrite {
	single := func(i types.TransactWriteItem) func(*table) error {
		return func(t *table) error {
			reasons, err := t.transact(i, types.TransactWriteItem{Delete: &types.Delete{TableName: t.name, Key: key("none")}})
			if len(reasons) == 2 && reasons[0] == "ConditionalCheckFailed" && reasons[1] == "None" {
				return &types.ConditionalCheckFailedException{}
			}
			return err
		}
	}
	return []conditionalWrite{
		{"put", func(t *table) error {
			_, err := t.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: t.name, Item: flag("a", 9), ConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values})
			return err
		}},
		{"delete", func(t *table) error {
			_, err := t.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: t.name, Key: key("a"), ConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values})
			return err
		}},
		{"update", func(t *table) error {
			_, err := t.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: t.name, Key: key("a"), UpdateExpression: aws.String("REMOVE x"), ConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values})
			return err
		}},
		{"put in a transaction", func(t *table) error {
			return single(types.TransactWriteItem{Put: &types.Put{TableName: t.name, Item: flag("a", 9), ConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values}})(t)
		}},
		{"delete in a transaction", func(t *table) error {
			return single(types.TransactWriteItem{Delete: &types.Delete{TableName: t.name, Key: key("a"), ConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values}})(t)
		}},
		{"check in a transaction", func(t *table) error {
			return single(types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: t.name, Key: key("a"), ConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values}})(t)
		}},
	}
}

func conditionShowsItem(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 2))
	for _, show := range []bool{false, true} {
		in := &dynamodb.PutItemInput{TableName: tab.name, Item: flag("a", 1), ConditionExpression: aws.String("attribute_not_exists(version)")}
		want := attributes(nil)
		if show {
			in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
			want = flag("a", 2)
		}
		_, err := tab.PutItem(t.Context(), in)
		var failed *types.ConditionalCheckFailedException
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, want, failed.Item)
	}
	assert.Equal(t, flag("a", 2), tab.get("a"))
}

func updateExpressions(t T, a Account) {
	tab := newTable(t, a)
	base := with(flag("a", 2), attributes{"list": list(text("x"), text("y"))})
	for _, c := range []struct {
		update string
		start  attributes // nil: no row
		want   attributes // nil: it is refused
	}{
		{"ADD #v :one", nil, with(key("a"), attributes{"version": whole(1)})}, // the fence, taken
		{"ADD #v :one", base, with(base, attributes{"version": whole(3)})},
		{"SET #v = #v + :v3, #i = :other", base, with(base, attributes{"version": whole(5), "item": text("other")})},
		{"SET #v = if_not_exists(#v, :v1) - :v3", nil, with(key("a"), attributes{"version": whole(-2)})},
		{"SET #l = list_append(:new, #l)", base, with(base, attributes{"list": list(text("new"), text("x"), text("y"))})},
		{"SET #l[9] = :other", base, with(base, attributes{"list": list(text("x"), text("y"), text("other"))})},
		{"SET #l[0] = #l[1], #l[1] = #l[0]", base, with(base, attributes{"list": list(text("y"), text("x"))})},
		{"REMOVE #i, #l[0]", base, attributes{"namespace": text(namespace), "key": text("a"), "version": whole(2), "list": list(text("y"))}},
		{"SET #v = #v + :one", nil, nil},
		{"SET #i = #i + :one", base, nil},
		{"ADD #i :one", base, nil},
		{"SET #k = :other", base, nil},
		{"SET #v = :v1, #v = :v2", base, nil},
	} {
		tab.remove("a")
		if c.start != nil {
			tab.put(c.start)
		}
		e := expr(c.update)
		out, err := tab.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: tab.name, Key: key("a"), UpdateExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, ReturnValues: types.ReturnValueAllNew})
		if c.want == nil {
			assert.Equal(t, "ValidationException", codeOf(err), c.update)
			assert.Equal(t, c.start, tab.get("a"), c.update)
			continue
		}
		require.NoError(t, err, c.update)
		assert.Equal(t, c.want, out.Attributes, c.update)
		assert.Equal(t, c.want, tab.get("a"), c.update)
	}
	out, err := tab.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: tab.name, Key: key("fence"), UpdateExpression: aws.String("ADD version :one"), ExpressionAttributeValues: attributes{":one": whole(1)}, ReturnValues: types.ReturnValueUpdatedNew})
	require.NoError(t, err)
	assert.Equal(t, attributes{"version": whole(1)}, out.Attributes, "only what was updated")
	assert.Equal(t, with(key("fence"), attributes{"version": whole(1)}), tab.get("fence"))
}

func numbersAreNormalized(t T, a Account) {
	tab := newTable(t, a)
	for given, want := range map[string]string{
		"1.0": "1", "-0": "0", "1e3": "1000", "007": "7", "00.500": "0.5", "+7": "7",
		"12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
	} {
		tab.put(with(key("a"), attributes{"version": number(given)}))
		assert.Equal(t, number(want), tab.get("a")["version"], given)
	}
	for _, wrong := range []string{"x", "", "1e126", "123456789012345678901234567890123456789"} {
		_, err := tab.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tab.name, Item: with(key("a"), attributes{"version": number(wrong)})})
		assert.Equal(t, "ValidationException", codeOf(err), wrong)
	}
}

func keysAreChecked(t T, a Account) {
	tab := newTable(t, a)
	longest := attributes{"namespace": text(strings.Repeat("n", 2048)), "key": text(strings.Repeat("k", 1024))}
	tab.put(longest)
	errs := map[string]error{}
	for name, item := range map[string]attributes{
		"empty partition key": {"namespace": text(""), "key": text("a")}, "empty sort key": key(""),
		"partition key too long": with(longest, attributes{"namespace": text(strings.Repeat("n", 2049))}),
		"sort key too long":      key(strings.Repeat("k", 1025)), "no sort key": {"namespace": text("n")}, "number as key": {"namespace": whole(1), "key": text("a")},
	} {
		_, errs["put "+name] = tab.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tab.name, Item: item})
		_, errs["get "+name] = tab.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: tab.name, Key: item})
	}
	_, errs["get with more than the key"] = tab.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: tab.name, Key: flag("a", 1)})
	refused(t, "ValidationException", errs)
}

// itemSize is 400 KB, names included, for every kind of write.
func itemSize(t T, a Account) {
	tab := newTable(t, a)
	used := len("namespace") + len(namespace) + len("key") + len("a") + len("item")
	for over, want := range []string{"", "ValidationException"} {
		value := text(strings.Repeat("x", 400<<10-used+over))
		item := with(key("a"), attributes{"item": value})
		set, values := aws.String("SET #i = :i"), attributes{":i": value}
		_, put := tab.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tab.name, Item: item})
		tab.remove("a")
		_, update := tab.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: tab.name, Key: key("a"), UpdateExpression: set, ExpressionAttributeNames: map[string]string{"#i": "item"}, ExpressionAttributeValues: values})
		_, batch := tab.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*tab.name: {{PutRequest: &types.PutRequest{Item: item}}}}})
		tab.remove("a")
		for name, err := range map[string]error{"put": put, "update": update, "batch": batch} {
			assert.Equal(t, want, codeOf(err), "%s, %d over", name, over)
		}
		reasons, err := tab.transact(types.TransactWriteItem{Put: &types.Put{TableName: tab.name, Item: item}})
		if over == 0 {
			assert.NoError(t, err)
		} else if len(reasons) > 0 { // AWS's documentation names both forms
			assert.Equal(t, []string{"ValidationError"}, reasons)
		} else {
			assert.Equal(t, want, codeOf(err))
		}
	}
}

func expressionsAreChecked(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1))
	errs := map[string]error{}
	for name, in := range map[string]*dynamodb.PutItemInput{
		"unused name":    {ConditionExpression: aws.String("attribute_exists(item)"), ExpressionAttributeNames: map[string]string{"#z": "z"}},
		"unused value":   {ConditionExpression: aws.String("attribute_exists(item)"), ExpressionAttributeValues: attributes{":z": text("z")}},
		"unknown name":   {ConditionExpression: aws.String("attribute_exists(#z)")},
		"unknown value":  {ConditionExpression: aws.String("item = :z")},
		"empty values":   {ConditionExpression: aws.String("attribute_exists(item)"), ExpressionAttributeValues: attributes{}},
		"values alone":   {ExpressionAttributeValues: attributes{":z": text("z")}},
		"reserved word":  {ConditionExpression: aws.String("attribute_exists(name)")},
		"syntax":         {ConditionExpression: aws.String("version =")},
		"empty":          {ConditionExpression: aws.String("")},
		"same on both":   {ConditionExpression: aws.String("version = version")},
		"return all new": {ReturnValues: types.ReturnValueAllNew},
	} {
		in.TableName, in.Item = tab.name, flag("a", 2)
		_, errs[name] = tab.PutItem(t.Context(), in)
	}
	refused(t, "ValidationException", errs)
	assert.Equal(t, flag("a", 1), tab.get("a"))
}

func noTable(t T, a Account) {
	name := aws.String(newName("none"))
	errs := map[string]error{}
	_, errs["get"] = a.DynamoDB.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: name, Key: key("a")})
	_, errs["put"] = a.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: name, Item: flag("a", 1)})
	_, errs["query"] = a.DynamoDB.Query(t.Context(), &dynamodb.QueryInput{TableName: name, KeyConditionExpression: aws.String("namespace = :n"), ExpressionAttributeValues: attributes{":n": text("n")}})
	_, errs["transact"] = a.DynamoDB.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: name, Item: flag("a", 1)}}}})
	_, errs["describe"] = a.DynamoDB.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: name})
	_, errs["delete"] = a.DynamoDB.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: name})
	refused(t, "ResourceNotFoundException", errs)
}

func capacityIsCounted(t T, a Account) {
	tab := newTable(t, a)
	big := with(flag("a", 1), attributes{"item": text(strings.Repeat("x", 5000))})
	out, err := tab.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tab.name, Item: big, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	require.NoError(t, err)
	assert.InDelta(t, 5.0, *out.ConsumedCapacity.CapacityUnits, 0, "a unit for each KB")
	for consistent, want := range map[bool]float64{false: 1, true: 2} {
		got, err := tab.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: tab.name, Key: key("a"), ConsistentRead: &consistent, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		require.NoError(t, err)
		assert.InDelta(t, want, *got.ConsumedCapacity.CapacityUnits, 0, fmt.Sprint("consistent: ", consistent))
	}
	none, err := tab.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: tab.name, Key: key("none"), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	require.NoError(t, err)
	assert.InDelta(t, 0.5, *none.ConsumedCapacity.CapacityUnits, 0, "nothing costs half a unit")
}
