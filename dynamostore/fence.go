package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ErrFenceLost is the cause of [Store.Write]'s error when somebody has taken a newer fence: a newer sync is
// under way, or done. Start again, with a new fence and newly fetched data, or leave it to the other one.
var ErrFenceLost = errors.New("the fence was lost to a newer sync")

// TakeFence takes the newest fence of this environment: the number of its $sync row, one higher each time.
// Whoever takes it before asking for data can never write data over what was asked for later: Write checks it
// in each transaction. The first fence is 1: DynamoDB's ADD makes a row that is missing, and counts from 0.
func (s *Store) TakeFence(ctx context.Context) (int64, error) {
	namespace := s.namespace(markerSync)
	var out *dynamodb.UpdateItemOutput
	err := patiently(ctx, func(ctx context.Context) (err error) {
		out, err = s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                 &s.table,
			Key:                       rowKey(namespace, namespace),
			UpdateExpression:          aws.String("ADD #v :one"), // a lost answer costs one number, no more
			ExpressionAttributeNames:  map[string]string{"#v": attrVersion},
			ExpressionAttributeValues: row{":one": number(1)},
			ReturnValues:              types.ReturnValueUpdatedNew,
		}, noSDKRetries)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("take fence %q in table %q: %w", namespace, s.table, err)
	}
	n, ok := out.Attributes[attrVersion].(*types.AttributeValueMemberN)
	if !ok {
		return 0, fmt.Errorf("take fence %q in table %q: the answer has no %q", namespace, s.table, attrVersion)
	}
	fence, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("take fence %q in table %q: %w", namespace, s.table, err)
	}
	return fence, nil
}

// holdsFence reads the fence. Its error is [ErrFenceLost] when somebody has taken a newer one.
func (s *Store) holdsFence(ctx context.Context, fence int64) error {
	namespace := s.namespace(markerSync)
	var now row
	err := patiently(ctx, func(ctx context.Context) (err error) {
		now, err = s.readRow(ctx, namespace, namespace)
		return err
	})
	if err != nil {
		return err
	}
	if version, err := parseVersion(now); err != nil || int64(version) != fence {
		return ErrFenceLost // also when somebody removed the row: the next sync counts from one again
	}
	return nil
}

// checkFence is true in a transaction as long as nobody has taken a newer fence. In a transaction the check and the writes
// are one: nobody can take a fence between them.
func (s *Store) checkFence(fence int64) *types.ConditionCheck {
	namespace := s.namespace(markerSync)
	return &types.ConditionCheck{
		TableName: &s.table, Key: rowKey(namespace, namespace),
		ConditionExpression:       aws.String("#v = :fence"),
		ExpressionAttributeNames:  map[string]string{"#v": attrVersion},
		ExpressionAttributeValues: row{":fence": number(fence)},
	}
}
