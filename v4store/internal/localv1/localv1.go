// Package localv1 is a DynamoDB in memory for aws-sdk-go v1. It translates types and errors of internal/local/aws.
package localv1

import (
	"context"
	"errors"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/aws/smithy-go"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// Client implements the methods of [dynamodbiface.DynamoDBAPI] that a store calls; all others panic. It validates
// inputs like the SDK. It supports strings and numbers as attributes. It ignores options and does not retry.
type Client struct {
	dynamodbiface.DynamoDBAPI
	db *localaws.DynamoDB
}

// New returns a client of db.
func New(db *localaws.DynamoDB) *Client { return &Client{db: db} }

// GetItemWithContext implements [dynamodbiface.DynamoDBAPI].
func (c *Client) GetItemWithContext(
	ctx aws.Context, in *v1.GetItemInput, _ ...request.Option,
) (*v1.GetItemOutput, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	out, err := c.db.GetItem(ctx,
		&v2.GetItemInput{TableName: in.TableName, Key: toV2(in.Key), ConsistentRead: in.ConsistentRead})
	if err != nil {
		return nil, translate(ctx, err)
	}
	return &v1.GetItemOutput{Item: toV1(out.Item)}, nil
}

// QueryWithContext implements [dynamodbiface.DynamoDBAPI].
func (c *Client) QueryWithContext(ctx aws.Context, in *v1.QueryInput, _ ...request.Option) (*v1.QueryOutput, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	out, err := c.db.Query(ctx, &v2.QueryInput{
		TableName: in.TableName, ConsistentRead: in.ConsistentRead, KeyConditionExpression: in.KeyConditionExpression,
		ExpressionAttributeNames:  aws.StringValueMap(in.ExpressionAttributeNames),
		ExpressionAttributeValues: toV2(in.ExpressionAttributeValues),
		ExclusiveStartKey:         toV2(in.ExclusiveStartKey),
	})
	if err != nil {
		return nil, translate(ctx, err)
	}
	page := &v1.QueryOutput{LastEvaluatedKey: toV1(out.LastEvaluatedKey)}
	for _, item := range out.Items {
		page.Items = append(page.Items, toV1(item))
	}
	return page, nil
}

// PutItemWithContext implements [dynamodbiface.DynamoDBAPI].
func (c *Client) PutItemWithContext(
	ctx aws.Context, in *v1.PutItemInput, _ ...request.Option,
) (*v1.PutItemOutput, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	_, err := c.db.PutItem(ctx, &v2.PutItemInput{
		TableName: in.TableName, Item: toV2(in.Item), ConditionExpression: in.ConditionExpression,
		ExpressionAttributeNames:  aws.StringValueMap(in.ExpressionAttributeNames),
		ExpressionAttributeValues: toV2(in.ExpressionAttributeValues),
	})
	return &v1.PutItemOutput{}, translate(ctx, err)
}

// TransactWriteItemsWithContext implements [dynamodbiface.DynamoDBAPI] for puts and deletes.
func (c *Client) TransactWriteItemsWithContext(
	ctx aws.Context, in *v1.TransactWriteItemsInput, _ ...request.Option,
) (*v1.TransactWriteItemsOutput, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	all := &v2.TransactWriteItemsInput{ClientRequestToken: in.ClientRequestToken}
	for _, i := range in.TransactItems {
		var item types.TransactWriteItem
		if p := i.Put; p != nil {
			item.Put = &types.Put{
				TableName: p.TableName, Item: toV2(p.Item), ConditionExpression: p.ConditionExpression,
				ExpressionAttributeNames:  aws.StringValueMap(p.ExpressionAttributeNames),
				ExpressionAttributeValues: toV2(p.ExpressionAttributeValues),
			}
		}
		if d := i.Delete; d != nil {
			item.Delete = &types.Delete{
				TableName: d.TableName, Key: toV2(d.Key), ConditionExpression: d.ConditionExpression,
				ExpressionAttributeNames:  aws.StringValueMap(d.ExpressionAttributeNames),
				ExpressionAttributeValues: toV2(d.ExpressionAttributeValues),
			}
		}
		all.TransactItems = append(all.TransactItems, item)
	}
	_, err := c.db.TransactWriteItems(ctx, all)
	return &v1.TransactWriteItemsOutput{}, translate(ctx, err)
}

// translate converts an error of the SDK v2 into one of v1.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return awserr.New(request.CanceledErrorCode, "request context canceled", ctx.Err())
	}
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		translated := &v1.TransactionCanceledException{Message_: canceled.Message}
		for _, r := range canceled.CancellationReasons {
			translated.CancellationReasons = append(translated.CancellationReasons,
				&v1.CancellationReason{Code: r.Code, Message: r.Message})
		}
		return translated
	}
	var e smithy.APIError
	if !errors.As(err, &e) {
		return err // from an interceptor
	}
	message := aws.String(e.ErrorMessage())
	switch e.ErrorCode() {
	case v1.ErrCodeConditionalCheckFailedException:
		return &v1.ConditionalCheckFailedException{Message_: message}
	case v1.ErrCodeTransactionConflictException:
		return &v1.TransactionConflictException{Message_: message}
	case v1.ErrCodeProvisionedThroughputExceededException:
		return &v1.ProvisionedThroughputExceededException{Message_: message}
	case v1.ErrCodeResourceNotFoundException:
		return &v1.ResourceNotFoundException{Message_: message}
	}
	status := 400
	if e.ErrorFault() == smithy.FaultServer {
		status = 500
	}
	return awserr.NewRequestFailure(awserr.New(e.ErrorCode(), *message, nil), status, "")
}

func toV2(attributes map[string]*v1.AttributeValue) map[string]types.AttributeValue {
	if attributes == nil {
		return nil
	}
	all := map[string]types.AttributeValue{}
	for name, a := range attributes {
		if a.N != nil {
			all[name] = &types.AttributeValueMemberN{Value: *a.N}
		} else {
			all[name] = &types.AttributeValueMemberS{Value: aws.StringValue(a.S)}
		}
	}
	return all
}

func toV1(attributes map[string]types.AttributeValue) map[string]*v1.AttributeValue {
	if attributes == nil {
		return nil
	}
	all := map[string]*v1.AttributeValue{}
	for name, a := range attributes {
		switch a := a.(type) {
		case *types.AttributeValueMemberN:
			all[name] = &v1.AttributeValue{N: &a.Value}
		case *types.AttributeValueMemberS:
			all[name] = &v1.AttributeValue{S: &a.Value}
		default:
			all[name] = &v1.AttributeValue{NULL: aws.Bool(true)} // a type that no store writes
		}
	}
	return all
}
