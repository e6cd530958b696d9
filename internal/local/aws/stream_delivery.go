package aws

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// recordLife is the time for which a stream keeps a record and Lambda retries it.
const recordLife = 24 * time.Hour

// deliver calls the handler with a batch until all records are done or given up, or ctx ends.
func (r *streamRun) deliver(ctx context.Context, shard string, batch []events.DynamoDBEventRecord) {
	attempts := 0
	for len(batch) > 0 && ctx.Err() == nil {
		if n := expired(batch); n > 0 {
			r.giveUp(ctx, shard, "RecordAgeExpired", attempts, batch[:n])
			batch = batch[n:]
			continue
		}
		attempts++
		response, err := r.invoke(ctx, batch)
		failed := firstFailed(batch, response, err)
		if ctx.Err() != nil {
			return
		}
		if failed == len(batch) {
			return
		}
		r.log.Warn("stream batch failed", "stream", r.StreamARN, "shard", shard, "records", len(batch), "done",
			failed, "attempt", attempts, "error", err)
		if failed > 0 {
			batch, attempts = batch[failed:], 0
		}
		if r.MaximumRetries < 0 || r.MaximumRetries > 0 && attempts > r.MaximumRetries {
			r.giveUp(ctx, shard, "RetryAttemptsExhausted", attempts, batch)
			return
		}
		pause(ctx, r.Poll)
	}
}

// invoke calls the handler. It returns a panic as an error.
func (r *streamRun) invoke(ctx context.Context,
	batch []events.DynamoDBEventRecord) (response events.DynamoDBEventResponse, err error) {
	defer recovered(&err)
	return r.Handler(ctx, events.DynamoDBEvent{Records: append([]events.DynamoDBEventRecord{}, batch...)})
}

// recovered, when deferred, turns a panic into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
	}
}

// firstFailed returns the index of the first record that is not done.
func firstFailed(batch []events.DynamoDBEventRecord, response events.DynamoDBEventResponse, err error) int {
	if err != nil {
		return 0
	}
	places := make(map[string]int, len(batch))
	for i, record := range batch {
		places[record.Change.SequenceNumber] = i
	}
	first := len(batch)
	for _, f := range response.BatchItemFailures {
		place, ok := places[f.ItemIdentifier]
		if !ok {
			return 0
		}
		first = min(first, place)
	}
	return first
}

// expired returns the number of records at the start of the batch that the stream no longer keeps.
func expired(batch []events.DynamoDBEventRecord) int {
	n := 0
	for n < len(batch) && time.Since(batch[n].Change.ApproximateCreationDateTime.Time) > recordLife {
		n++
	}
	return n
}

// giveUp reports records that will not be redelivered.
func (r *streamRun) giveUp(ctx context.Context, shard, condition string, attempts int,
	batch []events.DynamoDBEventRecord) {
	first, last := batch[0].Change, batch[len(batch)-1].Change
	f := StreamFailure{Version: "1.0", Timestamp: time.Now(), Batch: StreamFailedBatch{
		ShardID: shard, StartSequenceNumber: first.SequenceNumber, EndSequenceNumber: last.SequenceNumber,
		ApproximateArrivalOfFirstRecord: first.ApproximateCreationDateTime.Time,
		ApproximateArrivalOfLastRecord:  last.ApproximateCreationDateTime.Time,
		BatchSize:                       len(batch), StreamARN: r.StreamARN,
	}}
	f.RequestContext.Condition, f.RequestContext.ApproximateInvokeCount = condition, attempts
	r.log.Error("stream batch given up after its last retry", "stream", r.StreamARN, "shard", shard,
		"condition", condition,
		"records", len(batch), "from", first.SequenceNumber, "to", last.SequenceNumber)
	if r.OnFailure != nil {
		r.OnFailure(ctx, f)
	}
}

// convert returns the records of a Lambda event, without those that the filter drops.
func (r *streamRun) convert(records []streamtypes.Record) []events.DynamoDBEventRecord {
	var batch []events.DynamoDBEventRecord
	for _, one := range records {
		record := eventRecord(one, r.StreamARN)
		if r.Filter == nil || r.Filter(record) {
			batch = append(batch, record)
		}
	}
	return batch
}

func eventRecord(r streamtypes.Record, streamARN string) events.DynamoDBEventRecord {
	record := events.DynamoDBEventRecord{
		AWSRegion: aws.ToString(r.AwsRegion), EventID: aws.ToString(r.EventID), EventName: string(r.EventName),
		EventSource: aws.ToString(r.EventSource), EventVersion: aws.ToString(r.EventVersion), EventSourceArn: streamARN,
	}
	if c := r.Dynamodb; c != nil {
		record.Change = events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: events.SecondsEpochTime{Time: aws.ToTime(c.ApproximateCreationDateTime)},
			Keys:                        eventItem(c.Keys), NewImage: eventItem(c.NewImage),
			OldImage:       eventItem(c.OldImage),
			SequenceNumber: aws.ToString(c.SequenceNumber), SizeBytes: aws.ToInt64(c.SizeBytes),
			StreamViewType: string(c.StreamViewType),
		}
	}
	return record
}

// eventItem converts an image to Lambda's types; nil for nil. Attributes of types that flag tables do not use become
// null.
func eventItem(i map[string]streamtypes.AttributeValue) map[string]events.DynamoDBAttributeValue {
	if len(i) == 0 {
		return nil // for a missing image, a client may return an empty map
	}
	converted := make(map[string]events.DynamoDBAttributeValue, len(i))
	for name, v := range i {
		switch v := v.(type) {
		case *streamtypes.AttributeValueMemberS:
			converted[name] = events.NewStringAttribute(v.Value)
		case *streamtypes.AttributeValueMemberN:
			converted[name] = events.NewNumberAttribute(v.Value)
		case *streamtypes.AttributeValueMemberSS:
			converted[name] = events.NewStringSetAttribute(v.Value)
		default:
			converted[name] = events.NewNullAttribute()
		}
	}
	return converted
}
