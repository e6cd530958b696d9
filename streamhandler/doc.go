// Package streamhandler announces what changed in the flag table: it is the Lambda function between the table's
// DynamoDB stream and an SNS topic.
//
//	handler := streamhandler.New(sns.NewFromConfig(cfg), streamhandler.TopicARN(arn))
//	lambda.Start(handler)
//
// From each batch of stream records it makes one [change.Message] for each prefix (more only where SNS's size
// limit asks for it), with one [change.Change] for each item, and publishes it as the body of an SNS message with
// the attributes "prefix" (a String; left out when it is empty, as SNS refuses empty values) and "kind" (a
// String.Array of the kinds in the message), for subscriptions that filter. docs/messages.md says all of it.
//
// It promises:
//
//   - Every record of an item is announced, by its own change or by a later one's of the same item: when
//     publishing fails part way, it reports the lowest sequence number that is not yet covered and Lambda
//     delivers the batch again from there. Publishing twice is harmless.
//   - A change carries a version only where the batch proves that the version rose, and 0 (unknown) otherwise.
//   - No record blocks the shard: what it cannot read it counts, logs by its sequence number, and passes over. Where
//     SNS refuses a message for what is in it, the empty message takes its place: anything may have changed.
//   - All other errors are tried again until the records expire: the event source mapping must say when, before the
//     stream drops them after a day (the stack's says 23 hours). Then Lambda reports where they were to a queue, whose
//     function, [Expired], publishes the empty message to each prefix in the table.
//   - It answers before the invocation's deadline, so that what was published is not published again.
//   - Messages and logs carry no flag data. A batch has one log line, whose counts are CloudWatch metrics.
//
// In the code a batch goes from file to file: decode.go and json.go (the event's JSON to records), row.go (a record to what it
// says of a row), batch.go (records to changes), message.go (changes to messages), publish.go, stats.go and log.go.
//
// The event source mapping must set FunctionResponseTypes to ReportBatchItemFailures
// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html). Any stream view type
// will do; NEW_AND_OLD_IMAGES is the one that gives versions.
package streamhandler
