// Package aws implements the part of AWS that warmflags uses, in memory: a flag table with its stream, an SNS topic,
// SQS queues, and the event source mappings that Lambda runs between them. The demo, the simulations and the fast
// tests use it. Import it as localaws.
//
// [New] makes an empty account. Its services have the methods of the AWS SDK's clients, with the same signatures:
// code that uses a small interface of such a client runs on both. Like AWS, they check the requests' limits and
// conditions, and return AWS's error types. Every error is wrapped in a [github.com/aws/smithy-go.OperationError], as
// the SDK's errors are.
//
//	cloud := localaws.New()
//	defer cloud.Close()
//	cloud.CreateFlagTable("flags")
//	cloud.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{...})
//
// Operations, parameters, attribute types, table schemas and expressions that warmflags does not use are refused with
// the error code LocalAWSUnsupported; they are never ignored. internal/proof/contract runs the same cases on this
// package, on DynamoDB Local and on MiniStack.
//
// [StreamMapping] and [QueueMapping] run a Lambda handler on a stream or a queue. They need only the interfaces of
// the real clients, so they also work on emulators of AWS.
//
// Tests use [Cloud.Intercept] to fail, delay or observe any call, [Cloud.Calls] to count calls, [Cloud.PageSize] to
// force paging, and [Cloud.BetweenItems] to read while a transaction is being applied.
//
// The package uses only package time, so an account that is created in a testing/synctest bubble has virtual time.
package aws
