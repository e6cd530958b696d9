// Package localaws is an AWS account in memory: DynamoDB tables with streams, SNS topics, SQS queues, and the event
// source mappings that Lambda runs between them. It is the engine of the demo and of the simulations.
//
// [New] makes an empty account. Its services have the methods of the AWS SDK's clients, with the same signatures, so
// anything that is written against a small interface of such a client runs on either. They behave as AWS documents
// it: the same validation, limits, error types, delivery guarantees. Every error is wrapped in a
// [github.com/aws/smithy-go.OperationError], as the SDK's are.
//
//	cloud := localaws.New()
//	defer cloud.Close()
//	cloud.CreateFlagTable("flags")
//	cloud.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{...})
//
// [StreamMapping] and [QueueMapping] run a Lambda handler on a stream or a queue, and need only the real clients'
// interfaces: they work against emulators of AWS too.
//
// For tests there are [Cloud.Intercept] to fail, delay or observe any call, [Cloud.Calls] to count them,
// [Cloud.PageSize] to force paging, [Cloud.BetweenItems] to look into a transaction, and [Cloud.RollShard].
//
// Time is package time's, so an account that is made inside of a testing/synctest bubble has virtual time.
// Not there, and refused rather than ignored: secondary indexes, legacy (pre-expression) parameters, filter policies.
package aws
