package aws_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

type attributes = map[string]types.AttributeValue

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v int) types.AttributeValue    { return &types.AttributeValueMemberN{Value: fmt.Sprint(v)} }

func flagKey(key string) attributes { return attributes{"namespace": s("features"), "key": s(key)} }

func flag(key string, version int) attributes {
	return attributes{"namespace": s("features"), "key": s(key), "version": n(version), "item": s("{}")}
}

// flags makes an account with an empty flag table, and the table's client.
func flags(t *testing.T) (*localaws.Cloud, *localaws.DynamoDB) {
	t.Helper()
	c := localaws.New()
	t.Cleanup(c.Close)
	c.CreateFlagTable("flags")
	return c, c.DynamoDB
}

func put(t *testing.T, d *localaws.DynamoDB, items ...attributes) {
	t.Helper()
	for _, i := range items {
		_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: i})
		require.NoError(t, err)
	}
}

func get(t *testing.T, d *localaws.DynamoDB, key string) attributes {
	t.Helper()
	out, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: flagKey(key)})
	require.NoError(t, err)
	return out.Item
}

func requireCode(t *testing.T, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	assert.Equal(t, code, api.ErrorCode())
	assert.Contains(t, api.ErrorMessage(), message)
	var operation *smithy.OperationError
	assert.ErrorAs(t, err, &operation)
}

func TestItems(t *testing.T) {
	_, d := flags(t)
	require.Nil(t, get(t, d, "a"))
	given := flag("a", 1)
	put(t, d, given)
	given["version"] = n(9)
	require.Equal(t, flag("a", 1), get(t, d, "a"), "what was given is copied")
	get(t, d, "a")["version"].(*types.AttributeValueMemberN).Value = "9"
	require.Equal(t, flag("a", 1), get(t, d, "a"), "what is returned is a copy")

	out, err := d.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: aws.String("flags"), Key: flagKey("a"), UpdateExpression: aws.String("SET version = version + :one REMOVE #i"),
		ExpressionAttributeNames: map[string]string{"#i": "item"}, ExpressionAttributeValues: attributes{":one": n(1)},
		ReturnValues: types.ReturnValueUpdatedNew,
	})
	require.NoError(t, err)
	require.Equal(t, attributes{"version": n(2)}, out.Attributes)

	deleted, err := d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("flags"), Key: flagKey("a"), ReturnValues: types.ReturnValueAllOld})
	require.NoError(t, err)
	require.Equal(t, n(2), deleted.Attributes["version"])
	require.Nil(t, get(t, d, "a"))
}

func TestConditionFailure(t *testing.T) {
	_, d := flags(t)
	put(t, d, flag("a", 2))
	_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String("flags"), Item: flag("a", 1),
		ConditionExpression: aws.String("attribute_not_exists(#k) OR version < :v"), ExpressionAttributeNames: map[string]string{"#k": "key"},
		ExpressionAttributeValues:           attributes{":v": n(1)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &failed)
	require.Equal(t, flag("a", 2), failed.Item)
	require.Equal(t, flag("a", 2), get(t, d, "a"))
}

func TestRefusals(t *testing.T) {
	_, d := flags(t)
	big := flag("a", 1)
	big["item"] = s(strings.Repeat("x", 400<<10))
	for name, test := range map[string]struct {
		item          attributes
		code, message string
	}{
		"missing key":    {attributes{"namespace": s("x")}, "ValidationException", "Missing the key key in the item"},
		"empty key":      {attributes{"namespace": s("x"), "key": s("")}, "ValidationException", "cannot contain an empty string value. Key: key"},
		"wrong key type": {attributes{"namespace": s("x"), "key": n(1)}, "ValidationException", "Type mismatch for key key expected: S actual: N"},
		"too big":        {big, "ValidationException", "Item size has exceeded the maximum allowed size"},
		"bad number":     {attributes{"namespace": s("x"), "key": s("y"), "n": &types.AttributeValueMemberN{Value: "x"}}, "ValidationException", "cannot be converted to a numeric value: x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: test.item})
			requireCode(t, err, test.code, test.message)
		})
	}
	t.Run("no table", func(t *testing.T) {
		_, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("none"), Key: flagKey("a")})
		var missing *types.ResourceNotFoundException
		require.ErrorAs(t, err, &missing)
	})
	t.Run("key with more than the key", func(t *testing.T) {
		_, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: flag("a", 1)})
		requireCode(t, err, "ValidationException", "The provided key element does not match the schema")
	})
	t.Run("update of a key attribute", func(t *testing.T) {
		_, err := d.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String("flags"), Key: flagKey("a"), UpdateExpression: aws.String("REMOVE namespace")})
		requireCode(t, err, "ValidationException", "Cannot update attribute namespace. This attribute is part of the key")
	})
}

func TestItemAtTheSizeLimit(t *testing.T) {
	_, d := flags(t)
	i := attributes{"namespace": s("n"), "key": s("k")}
	used := len("namespace") + len("n") + len("key") + len("k") + len("item")
	i["item"] = s(strings.Repeat("x", 400<<10-used))
	put(t, d, i)
	i["item"] = s(strings.Repeat("x", 400<<10-used+1))
	_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: i})
	requireCode(t, err, "ValidationException", "Item size has exceeded")
}

func TestInterceptAndCalls(t *testing.T) {
	c, d := flags(t)
	broken := errors.New("broken")
	c.Intercept(func(_ context.Context, operation string, input any) error {
		if in, ok := input.(*dynamodb.GetItemInput); ok && operation == "GetItem" && *in.TableName == "flags" {
			return broken
		}
		return nil
	})
	put(t, d, flag("a", 1))
	_, err := d.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: flagKey("a")})
	require.ErrorIs(t, err, broken)
	c.Intercept(nil)
	get(t, d, "a")
	assert.Equal(t, 2, c.Calls("GetItem"))
	assert.Equal(t, 1, c.Calls("PutItem"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: flagKey("a")})
	require.ErrorIs(t, err, context.Canceled)
}
