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

// ErrTokenLost is the cause of [Environment.Write]'s error when another sync has taken a newer fencing token. Start
// again with a new token and newly fetched data, or leave it to the other sync.
var ErrTokenLost = errors.New("the fencing token was lost to a newer sync")

// TakeToken increases the environment's fencing token, which is the version of its $sync row, and returns it. A sync
// that takes it before it fetches can never write its data over data that was fetched later: Write checks the token
// in each transaction. The first token is 1: DynamoDB's ADD creates a missing row and counts from 0.
func (e *Environment) TakeToken(ctx context.Context) (int64, error) {
	namespace := e.Namespace(layout.MarkerSync)
	var out *dynamodb.UpdateItemOutput
	err := withRetry(ctx, func(ctx context.Context) (err error) {
		out, err = e.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &e.Table,
			Key:                       Key(namespace, namespace),
			UpdateExpression:          aws.String("ADD #v :one"), // after a lost answer one number is skipped
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

// checkToken is the part of a transaction that fails it if another sync has taken a newer token.
func (e *Environment) checkToken(token int64) *types.ConditionCheck {
	namespace := e.Namespace(layout.MarkerSync)
	return &types.ConditionCheck{
		TableName: &e.Table, Key: Key(namespace, namespace),
		ConditionExpression:       aws.String("#v = :token"),
		ExpressionAttributeNames:  map[string]string{"#v": layout.AttrVersion},
		ExpressionAttributeValues: Row{":token": Number(token)},
	}
}
