// Package aws is the part of AWS that warmflags uses, in memory: a flag table with its stream, an SNS topic, SQS
// queues, and the event source mappings that Lambda runs between them. The demo, the simulations and the fast tests run
// on it. Importers call it localaws.
//
// [New] makes an empty account. Its services have the methods of the AWS SDK's clients, with the same signatures, so
// code that is written against a small interface of such a client runs on either. They check what AWS checks of what
// warmflags sends: limits, conditions, error types. Every error is wrapped in a
// [github.com/aws/smithy-go.OperationError], as the SDK's are.
//
//	cloud := localaws.New()
//	defer cloud.Close()
//	cloud.CreateFlagTable("flags")
//	cloud.DynamoDB.PutItem(ctx, &dynamodb.PutItemInput{...})
//
// What no caller needs is refused with the error code LocalAWSUnsupported, never ignored: other operations, parameters,
// attribute types, table schemas and expressions than those in use. internal/proof/contract runs the same cases on this
// package, on DynamoDB Local and on MiniStack.
//
// [StreamMapping] and [QueueMapping] run a Lambda handler on a stream or a queue, and need only the real clients'
// interfaces: they work on emulators of AWS too.
//
// For tests there are [Cloud.Intercept] to fail, delay or observe any call, [Cloud.Calls] to count them,
// [Cloud.PageSize] to force paging, and [Cloud.BetweenItems] to read while a transaction is half applied.
//
// Time is package time's, so an account that is created in a testing/synctest bubble has virtual time.
package aws
