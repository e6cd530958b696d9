package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Refusal returns why DynamoDB cannot hold an item; empty if it can.
func (e *Environment) Refusal(kind string, item Item) string {
	return refusal(makeRow(e.Namespace(kind), item))
}

// Upsert writes an item if its version is higher than its row's, and reports whether it did. It retries for up to 30
// seconds. A row whose version is missing or is not a number is overwritten.
func (e *Environment) Upsert(ctx context.Context, kind string, item Item) (bool, error) {
	namespace := e.Namespace(kind)
	r := makeRow(namespace, item)
	err := withRetry(ctx, func(ctx context.Context) error {
		_, err := e.Client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &e.Table,
			Item:      r,
			// As in LaunchDarkly's own stores, only a higher version is written, so that updates may arrive in any
			// order. Text cannot be compared with a number, so the condition checks the type: other programs may
			// write text.
			ConditionExpression: aws.String("attribute_not_exists(#v) OR NOT attribute_type(#v, :number) OR " +
				"#v < :v"),
			ExpressionAttributeNames:  map[string]string{"#v": layout.AttrVersion},
			ExpressionAttributeValues: Row{":v": r[layout.AttrVersion], ":number": Text("N")},
		}, noSDKRetries)
		return err
	})
	// The condition also fails if an earlier attempt succeeded and its response was lost. The item is then in the
	// table, and the next read returns it.
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("upsert row %q %q of table %q: %w", namespace, item.Key, e.Table, err)
	}
	return true, nil
}
