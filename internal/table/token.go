package table

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// ErrTokenLost is the cause of [Environment.Write]'s error if another sync has taken a newer fencing token. Start
// again with a new token and newly fetched data, or rely on the other sync.
var ErrTokenLost = errors.New("a newer sync has taken the fencing token")

// TakeToken increases the environment's fencing token, which is the version of its $sync row, and returns it. Write
// checks the token in each transaction. A sync that takes its token before it fetches therefore never overwrites data
// that was fetched later. The first token is 1: DynamoDB's ADD creates a missing row and counts from 0.
func (e *Environment) TakeToken(ctx context.Context) (int64, error) {
	namespace := e.Namespace(layout.MarkerSync)
	var out *dynamodb.UpdateItemOutput
	err := withRetry(ctx, func(ctx context.Context) (err error) {
		out, err = e.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &e.Table,
			Key:                       Key(namespace, namespace),
			UpdateExpression:          aws.String("ADD #v :one"), // a retry after a lost response skips a number
			ExpressionAttributeNames:  map[string]string{"#v": layout.AttrVersion},
			ExpressionAttributeValues: Row{":one": Number(1)},
			ReturnValues:              types.ReturnValueUpdatedNew,
		}, noSDKRetries)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("take fencing token %q in table %q: %w", namespace, e.Table, err)
	}
	n, ok := out.Attributes[layout.AttrVersion].(*types.AttributeValueMemberN)
	if !ok {
		return 0, fmt.Errorf("take fencing token %q in table %q: the answer has no %q", namespace, e.Table,
			layout.AttrVersion)
	}
	token, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("take fencing token %q in table %q: %w", namespace, e.Table, err)
	}
	return token, nil
}

// checkToken returns the condition that makes a transaction fail if another sync has taken a newer token.
func (e *Environment) checkToken(token int64) *types.ConditionCheck {
	namespace := e.Namespace(layout.MarkerSync)
	return &types.ConditionCheck{
		TableName: &e.Table, Key: Key(namespace, namespace),
		ConditionExpression:       aws.String("#v = :token"),
		ExpressionAttributeNames:  map[string]string{"#v": layout.AttrVersion},
		ExpressionAttributeValues: Row{":token": Number(token)},
	}
}
