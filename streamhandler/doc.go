// Package streamhandler publishes the changes in the flag table. It is the Lambda function between the table's DynamoDB
// stream and an SNS topic.
//
//	handler := streamhandler.New(sns.NewFromConfig(cfg), streamhandler.TopicARN(arn))
//	lambda.Start(handler)
//
// From each batch of stream records it makes one [change.Message] for each prefix (more only if SNS's size limit
// requires it), with one [change.Change] for each item, and publishes it as the body of an SNS message. The message has
// the attributes "prefix" (String; omitted if empty, as SNS refuses empty values) and "kind" (String.Array of the kinds
// in the message) for subscriptions that filter. docs/messages.md specifies it.
//
// Promises:
//
//   - Every record of an item is published, as its own change or as part of a later change of the same item. If some
//     messages cannot be published, the handler returns the lowest sequence number that is not yet covered, and Lambda
//     redelivers from there.
//   - A change has a version only if the batch proves that the version rose. Otherwise its version is 0 (unknown).
//   - No record blocks the shard, and no prefix blocks another. A record that cannot be read is counted, logged by its
//     sequence number and skipped. A message that SNS refuses because of its content is replaced by the empty message.
//   - Other errors are retried until the records expire. The event source mapping must discard records before the
//     stream drops them, which it does after a day; template.yaml sets 23 hours. Lambda then reports the discarded
//     records to a queue. That queue's function, [FailureHandler], publishes the empty message for each prefix in the
//     table.
//   - The handler answers before the invocation's deadline, so that published messages are not published again.
//   - Messages and logs carry no flag data. A batch has one log line, whose counts are CloudWatch metrics.
//
// A batch is processed in the order of these files: decode.go (the event's JSON to records), row.go (a record to a
// row), batch.go (rows to changes), message.go (changes to messages), publish.go, stats.go and log.go.
//
// The event source mapping must set FunctionResponseTypes to ReportBatchItemFailures
// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html). Every stream view type works;
// only NEW_AND_OLD_IMAGES provides versions.
package streamhandler
