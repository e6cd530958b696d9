package table

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// transaction returns the request for a batch of writes. The check of the token, if any, is the last operation.
func (e *Environment) transaction(batch []*write, token int64) *dynamodb.TransactWriteItemsInput {
	in := &dynamodb.TransactWriteItemsInput{}
	for _, w := range batch {
		var item types.TransactWriteItem
		condition, names, values := w.condition()
		if w.action == remove {
			item.Delete = &types.Delete{
				TableName: &e.Table, Key: Key(w.namespace, w.Key), ConditionExpression: &condition,
				ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}
		} else {
			item.Put = &types.Put{
				TableName: &e.Table, Item: w.row(), ConditionExpression: &condition,
				ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}
		}
		in.TransactItems = append(in.TransactItems, item)
	}
	if token != 0 {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{ConditionCheck: e.checkToken(token)})
	}
	return in
}

// condition returns the condition that the row has not changed since it was read. It compares the version and the
// item, because an environment that was reset can have another item with the same version. Every row has the
// partition key, so the existence of that attribute is the existence of the row.
func (w *write) condition() (string, map[string]string, Row) {
	if w.old == nil {
		return "attribute_not_exists(#n)", map[string]string{"#n": layout.AttrNamespace}, nil
	}
	parts := []string{"attribute_exists(#n)"}
	names := map[string]string{"#n": layout.AttrNamespace, "#v": layout.AttrVersion, "#i": layout.AttrItem}
	values := Row{}
	for _, short := range []string{"v", "i"} {
		if a, ok := w.old[names["#"+short]]; ok {
			parts = append(parts, fmt.Sprintf("#%s = :%s", short, short))
			values[":"+short] = a
		} else {
			parts = append(parts, fmt.Sprintf("attribute_not_exists(#%s)", short))
		}
	}
	if len(values) == 0 {
		values = nil // DynamoDB refuses an empty map
	}
	return strings.Join(parts, " AND "), names, values
}

// bytes returns the part of the transaction's size that is due to w: the new row, and the old one in the condition.
// The result may be too large but not too small, because a transaction that is too large fails with all its rows.
func (w *write) bytes() int {
	n := rowBytes(w.old)
	if w.action != remove {
		n += rowBytes(w.row())
	}
	return n
}
