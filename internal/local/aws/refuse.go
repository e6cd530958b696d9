package aws

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
)

// apiError returns an error with a code for which the SDK has no Go type.
func apiError(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message, Fault: smithy.FaultClient}
}

func validation(message string) error { return apiError("ValidationException", message) }

// unsupported returns the error for a feature of AWS that this package does not support. AWS has no such error.
func unsupported(format string, args ...any) error {
	return apiError("LocalAWSUnsupported", "internal/local/aws does not support "+fmt.Sprintf(format, args...))
}

// fields has the parameters of each operation that this package supports.
var fields = map[string]string{
	"CreateTable": "TableName KeySchema AttributeDefinitions BillingMode StreamSpecification",
	"GetItem":     "TableName Key ConsistentRead",
	"Query": "TableName KeyConditionExpression ExpressionAttributeNames ExpressionAttributeValues " +
		"ConsistentRead ExclusiveStartKey Limit",
	"Scan": "TableName ProjectionExpression ExpressionAttributeNames ConsistentRead ExclusiveStartKey " +
		"Limit",
	"PutItem":    "TableName Item ConditionExpression ExpressionAttributeNames ExpressionAttributeValues",
	"DeleteItem": "TableName Key ConditionExpression ExpressionAttributeNames ExpressionAttributeValues",
	"UpdateItem": "TableName Key UpdateExpression ConditionExpression ExpressionAttributeNames " +
		"ExpressionAttributeValues ReturnValues",
	"TransactWriteItems": "TransactItems",
	"Put":                "TableName Item ConditionExpression ExpressionAttributeNames ExpressionAttributeValues",
	"Delete":             "TableName Key ConditionExpression ExpressionAttributeNames ExpressionAttributeValues",
	"ConditionCheck":     "TableName Key ConditionExpression ExpressionAttributeNames ExpressionAttributeValues",

	"DescribeStream":   "StreamArn",
	"GetShardIterator": "StreamArn ShardId ShardIteratorType SequenceNumber",
	"GetRecords":       "ShardIterator Limit",

	"CreateTopic":               "Name",
	"DeleteTopic":               "TopicArn",
	"Publish":                   "TopicArn Message MessageAttributes",
	"PublishBatch":              "TopicArn PublishBatchRequestEntries",
	"Subscribe":                 "TopicArn Protocol Endpoint Attributes ReturnSubscriptionArn",
	"Unsubscribe":               "SubscriptionArn",
	"ListSubscriptionsByTopic":  "TopicArn",
	"GetSubscriptionAttributes": "SubscriptionArn",

	"CreateQueue":        "QueueName Attributes Tags",
	"DeleteQueue":        "QueueUrl",
	"GetQueueUrl":        "QueueName",
	"GetQueueAttributes": "QueueUrl AttributeNames",
	"SetQueueAttributes": "QueueUrl Attributes",
	"ListQueues":         "QueueNamePrefix MaxResults NextToken",
	"TagQueue":           "QueueUrl Tags",
	"ListQueueTags":      "QueueUrl",
	"SendMessage":        "QueueUrl MessageBody MessageAttributes MessageGroupId MessageDeduplicationId",
	"SendMessageBatch":   "QueueUrl Entries",
	"ReceiveMessage": "QueueUrl MaxNumberOfMessages WaitTimeSeconds MessageSystemAttributeNames " +
		"MessageAttributeNames",
	"DeleteMessage":           "QueueUrl ReceiptHandle",
	"DeleteMessageBatch":      "QueueUrl Entries",
	"ChangeMessageVisibility": "QueueUrl ReceiptHandle VisibilityTimeout",
}

// supported has the same parameters as lists.
var supported = func() map[string][]string {
	all := map[string][]string{}
	for operation, list := range fields {
		all[operation] = strings.Fields(list)
	}
	return all
}()

// checkFields returns an error if an input, a pointer to a struct, sets a parameter that is not in fields.
func checkFields(operation string, in any) error {
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.IsExported() && !v.Field(i).IsZero() && !slices.Contains(supported[operation], field.Name) {
			return unsupported("%s of %s", field.Name, operation)
		}
	}
	return nil
}
