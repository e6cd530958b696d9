package aws_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
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

// flags returns an account with an empty flag table, and the table's client.
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
	require.Equal(t, flag("a", 1), get(t, d, "a"), "the input is copied")
	get(t, d, "a")["version"].(*types.AttributeValueMemberN).Value = "9"
	require.Equal(t, flag("a", 1), get(t, d, "a"), "the output is a copy")

	_, err := d.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("flags"), Key: flagKey("a")})
	require.NoError(t, err)
	require.Nil(t, get(t, d, "a"))
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

func TestNoDeadlines(t *testing.T) {
	c, d := flags(t)
	passed, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	in := &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: flagKey("a")}
	_, err := d.GetItem(passed, in)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c.NoDeadlines = true
	_, err = d.GetItem(passed, in)
	require.NoError(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.GetItem(canceled, in)
	require.ErrorIs(t, err, context.Canceled)
}

// Requests that the local services do not support are refused, not ignored.
func TestRefusals(t *testing.T) {
	c, d := flags(t)
	ctx, table := t.Context(), aws.String("flags")
	values := attributes{":v": n(1)}
	names := map[string]string{"#v": "version"}
	errs := map[string]error{}
	for _, text := range []string{"", "version = :v", "#v > :v", "#v BETWEEN :v AND :v", "(#v = :v)", "size(#v) = :v",
		"#v = :v AND", "#v.x = :v", "#v = #v"} {
		_, errs["condition "+text] = d.PutItem(ctx,
			&dynamodb.PutItemInput{TableName: table, Item: flag("a", 1), ConditionExpression: &text,
				ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	}
	for _, text := range []string{"SET #v = #v + :v", "REMOVE #v", "ADD #v :v REMOVE #v", "ADD #v :v, #v :v"} {
		_, errs["update "+text] = d.UpdateItem(ctx,
			&dynamodb.UpdateItemInput{TableName: table, Key: flagKey("a"), UpdateExpression: &text,
				ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	}
	_, errs["key condition"] = d.Query(ctx,
		&dynamodb.QueryInput{TableName: table, KeyConditionExpression: aws.String("#v < :v"),
			ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	_, errs["filter"] = d.Scan(ctx, &dynamodb.ScanInput{TableName: table, FilterExpression: aws.String("#v = :v")})
	_, errs["index"] = d.Query(ctx, &dynamodb.QueryInput{TableName: table, IndexName: aws.String("i")})
	_, errs["order"] = d.Query(ctx, &dynamodb.QueryInput{TableName: table, ScanIndexForward: aws.Bool(false)})
	_, errs["returned values"] = d.PutItem(ctx,
		&dynamodb.PutItemInput{TableName: table, Item: flag("a", 1), ReturnValues: types.ReturnValueAllOld})
	expected := map[string]types.ExpectedAttributeValue{"x": {}}
	_, errs["legacy"] = d.PutItem(ctx,
		&dynamodb.PutItemInput{TableName: table, Item: flag("a", 1), Expected: expected})
	boolean := attributes{"namespace": s("n"), "key": s("k"), "x": &types.AttributeValueMemberBOOL{}}
	_, errs["type"] = d.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: boolean})
	_, errs["schema"] = d.CreateTable(ctx,
		&dynamodb.CreateTableInput{TableName: aws.String("other"), BillingMode: types.BillingModePayPerRequest})
	errs["update in a transaction"] = transact(t, d, types.TransactWriteItem{Update: &types.Update{}})
	errs["returned values in a transaction"] = transact(t, d, types.TransactWriteItem{Put: &types.Put{
		TableName: table, Item: flag("a", 1),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}})
	_, errs["token"] = d.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("t")})
	stream, queue := aws.String(c.CreateFlagTable("flags")), aws.String("arn:aws:sqs:q")
	_, errs["iterator"] = c.Streams.GetShardIterator(ctx,
		&dynamodbstreams.GetShardIteratorInput{ShardIteratorType: "LATEST", StreamArn: stream})
	_, errs["enveloped delivery"] = c.SNS.Subscribe(ctx,
		&sns.SubscribeInput{TopicArn: newTopic(t, c), Protocol: aws.String("sqs"), Endpoint: queue})
	_, errs["FIFO topic"] = c.SNS.CreateTopic(ctx,
		&sns.CreateTopicInput{Name: aws.String("t"), Attributes: map[string]string{"FifoTopic": "true"}})
	_, errs["delay"] = c.SQS.SendMessage(ctx, &sqs.SendMessageInput{MessageBody: aws.String("x"), DelaySeconds: 1})
	_, errs["queue attribute"] = c.SQS.CreateQueue(ctx,
		&sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"DelaySeconds": "1"}})
	for name, err := range errs {
		var api smithy.APIError
		if assert.ErrorAs(t, err, &api, name) {
			assert.Contains(t, []string{"LocalAWSUnsupported", "ResourceNotFoundException"}, api.ErrorCode(), name)
			assert.NotContains(t, api.ErrorMessage(), "%!", name)
		}
	}
	assert.Nil(t, get(t, d, "a"), "nothing was written")
}
