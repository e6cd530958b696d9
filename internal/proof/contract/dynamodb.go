package contract

import (
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
		"updates add to a number":                updatesAdd,
		"updates set an attribute":               updatesSet,
		"numbers are normalized":                 numbersAreNormalized,
		"keys are checked":                       keysAreChecked,
		"item size":                              itemSize,
		"expressions are checked":                expressionsAreChecked,
		"a table that does not exist":            noTable,
		"queries page by size and keep order":    queriesPage,
		"queries read one partition":             queriesRead,
		"scans see everything once":              scansSeeEverything,
		"scans skip a partition":                 scansSkip,
		"transactions write all":                 transactionWritesAll,
		"transactions write nothing if canceled": transactionIsAllOrNothing,
		"transaction limits":                     transactionLimits,
	}
}

// conditionsDecide tries each condition on no row, a row of version 2 and a row without version or item, in every
// kind of write that takes one. Most of them are conditions that warmflags uses.
func conditionsDecide(t T, a Account) {
	tab := newTable(t, a)
	for _, c := range []struct {
		condition string
		want      string // with no row, with version 2, with a bare row: y or n
	}{
		{"attribute_not_exists(#n)", "ynn"},                      // a new row
		{"attribute_exists(#n) AND #v = :v2 AND #i = :i", "nyn"}, // a row as it was read
		{"attribute_exists(#n) AND attribute_not_exists(#v) AND attribute_not_exists(#i)", "nny"},
		{"attribute_not_exists(#v) OR NOT attribute_type(#v, :number) OR #v < :v3", "yyy"}, // an upsert
		{"attribute_not_exists(#v) OR NOT attribute_type(#v, :number) OR #v < :v2", "yny"},
		// over a row whose attribute is of another type
		{"attribute_not_exists(#i) OR NOT attribute_type(#i, :number)", "yyy"},
		{"#v = :token", "nyn"},                           // the fencing token
		{"attribute_not_exists(#v) OR #v <> :v2", "yny"}, // a new epoch of the journal
		{"#v <> :v1", "yyy"},                             // unequal is true of what is not there
		{"#v < :s", "nnn"},                               // values of different types never compare
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
			reasons, err := t.transact(i,
				types.TransactWriteItem{Delete: &types.Delete{TableName: t.name, Key: key("none")}})
			if len(reasons) == 2 && reasons[0] == "ConditionalCheckFailed" && reasons[1] == "None" {
				return &types.ConditionalCheckFailedException{}
			}
			return err
		}
	}
	return []conditionalWrite{
		{"put", func(t *table) error {
			_, err := t.PutItem(t.Context(),
				&dynamodb.PutItemInput{TableName: t.name, Item: flag("a", 9), ConditionExpression: &e.text,
					ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values})
			return err
		}},
		{"delete", func(t *table) error {
			_, err := t.DeleteItem(t.Context(),
				&dynamodb.DeleteItemInput{TableName: t.name, Key: key("a"), ConditionExpression: &e.text,
					ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values})
			return err
		}},
		{"put in a transaction", func(t *table) error {
			return single(types.TransactWriteItem{Put: &types.Put{
				TableName: t.name, Item: flag("a", 9), ConditionExpression: &e.text,
				ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
			}})(t)
		}},
		{"delete in a transaction", func(t *table) error {
			return single(types.TransactWriteItem{Delete: &types.Delete{
				TableName: t.name, Key: key("a"), ConditionExpression: &e.text,
				ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
			}})(t)
		}},
		{"check in a transaction", func(t *table) error {
			return single(types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
				TableName: t.name, Key: key("a"), ConditionExpression: &e.text,
				ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
			}})(t)
		}},
	}
}

func updatesAdd(t T, a Account) {
	tab := newTable(t, a)
	add := func(update string) (attributes, error) {
		e := expr(update)
		out, err := tab.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: tab.name, Key: key("a"), UpdateExpression: &e.text, ExpressionAttributeNames: e.names,
			ExpressionAttributeValues: e.values,
			ReturnValues:              types.ReturnValueUpdatedNew,
		})
		if err != nil {
			return nil, err
		}
		return out.Attributes, nil
	}
	for n := range 3 { // the fencing token, taken: a row that does not exist is created
		got, err := add("ADD #v :one")
		require.NoError(t, err)
		assert.Equal(t, attributes{"version": whole(n + 1)}, got, "only what was updated")
	}
	assert.Equal(t, with(key("a"), attributes{"version": whole(3)}), tab.get())
	tab.put(flag("a", 2))
	errs := map[string]error{}
	_, errs["to a string"] = add("ADD #i :one")
	_, errs["to a key"] = add("ADD #k :one")
	refused(t, "ValidationException", errs)
	assert.Equal(t, flag("a", 2), tab.get())
}

func updatesSet(t T, a Account) {
	tab := newTable(t, a)
	set := func(condition string) error {
		update, e := "SET #i = :s", expr("SET #i = :s "+condition)
		_, err := tab.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: tab.name, Key: key("a"), UpdateExpression: &update, ConditionExpression: &condition,
			ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
		})
		return err
	}
	assert.Equal(t, "ConditionalCheckFailedException", codeOf(set("#v = :token")), "no row")
	require.NoError(t, set("attribute_not_exists(#v)"))
	assert.Equal(t, with(key("a"), attributes{"item": text("S")}), tab.get(), "a row that does not exist is created")
	tab.put(flag("a", 2))
	require.NoError(t, set("#v = :token"))
	assert.Equal(t, with(flag("a", 2), attributes{"item": text("S")}), tab.get())
}

func numbersAreNormalized(t T, a Account) {
	tab := newTable(t, a)
	for given, want := range map[string]string{
		"1.0": "1", "-0": "0", "007": "7", "00.500": "0.5", "-7": "-7", "1000": "1000",
		"12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
	} {
		tab.put(with(key("a"), attributes{"version": number(given)}))
		assert.Equal(t, number(want), tab.get()["version"], given)
	}
	for _, wrong := range []string{"x", "", "123456789012345678901234567890123456789"} {
		_, err := tab.PutItem(t.Context(),
			&dynamodb.PutItemInput{TableName: tab.name, Item: with(key("a"), attributes{"version": number(wrong)})})
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
		"sort key too long":      key(strings.Repeat("k", 1025)), "no sort key": {"namespace": text("n")},
		"number as key": {"namespace": whole(1), "key": text("a")},
	} {
		_, errs["put "+name] = tab.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tab.name, Item: item})
		_, errs["get "+name] = tab.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: tab.name, Key: item})
	}
	_, errs["get with more than the key"] = tab.GetItem(t.Context(),
		&dynamodb.GetItemInput{TableName: tab.name, Key: flag("a", 1)})
	refused(t, "ValidationException", errs)
}

// itemSize is 400 KB, names included, for every kind of write.
func itemSize(t T, a Account) {
	tab := newTable(t, a)
	used := len("namespace") + len(namespace) + len("key") + len("a") + len("item")
	for over, want := range []string{"", "ValidationException"} {
		value := text(strings.Repeat("x", 400<<10-used+over))
		item := with(key("a"), attributes{"item": value})
		_, put := tab.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: tab.name, Item: item})
		tab.remove("a")
		assert.Equal(t, want, codeOf(put), "%d over", over)
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
		"unused name": {ConditionExpression: aws.String("attribute_exists(#i)"),
			ExpressionAttributeNames: map[string]string{"#i": "item", "#z": "z"}},
		"unused value": {ConditionExpression: aws.String("attribute_exists(#i)"),
			ExpressionAttributeNames:  map[string]string{"#i": "item"},
			ExpressionAttributeValues: attributes{":z": text("z")}},
		"unknown name": {ConditionExpression: aws.String("attribute_exists(#z)")},
		"unknown value": {ConditionExpression: aws.String("#i = :z"),
			ExpressionAttributeNames: map[string]string{"#i": "item"}},
		"empty values": {ConditionExpression: aws.String("attribute_exists(#i)"),
			ExpressionAttributeNames: map[string]string{"#i": "item"}, ExpressionAttributeValues: attributes{}},
		"values alone": {ExpressionAttributeValues: attributes{":z": text("z")}},
	} {
		in.TableName, in.Item = tab.name, flag("a", 2)
		_, errs[name] = tab.PutItem(t.Context(), in)
	}
	refused(t, "ValidationException", errs)
	assert.Equal(t, flag("a", 1), tab.get())
}

func noTable(t T, a Account) {
	name := aws.String(newName("none"))
	errs := map[string]error{}
	_, errs["get"] = a.DynamoDB.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: name, Key: key("a")})
	_, errs["put"] = a.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: name, Item: flag("a", 1)})
	_, errs["query"] = a.DynamoDB.Query(t.Context(),
		&dynamodb.QueryInput{TableName: name, KeyConditionExpression: aws.String("#n = :n"),
			ExpressionAttributeNames:  map[string]string{"#n": "namespace"},
			ExpressionAttributeValues: attributes{":n": text("n")}})
	_, errs["transact"] = a.DynamoDB.TransactWriteItems(t.Context(),
		&dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: name,
			Item: flag("a", 1)}}}})
	refused(t, "ResourceNotFoundException", errs)
}
