package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// StreamReader has the methods of *dynamodbstreams.Client and [*Streams] that [StreamMapping] needs.
type StreamReader interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput,
		...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput,
		...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput,
		...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// StreamMapping runs a Lambda handler on a stream, as Lambda's event source mapping does with TRIM_HORIZON and
// ReportBatchItemFailures. The stream must have one shard, as the streams of new and small tables do.
//
// If the handler reports failed records, the records before the first failed one are done, and the others are
// redelivered. If the handler reports a record without an identifier or one that is not in the batch, returns an
// error or panics, the whole batch is redelivered
// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html).
type StreamMapping struct {
	// Streams and StreamARN identify the stream. Both are required.
	Streams   StreamReader
	StreamARN string
	// Handler is required. Its context is Run's.
	Handler func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error)
	// Filter reports whether the handler gets a record, like an event filter; other records count as done. Nil: all.
	Filter func(events.DynamoDBEventRecord) bool
	// BatchSize is the maximum number of records in a batch, at most 1,000. Zero: 100. Negative: an error.
	BatchSize int
	// Poll is the pause if the stream has no new records, and before a failed batch or call is retried. Zero: 250 ms,
	// as in Lambda. Negative: an error.
	Poll time.Duration
	// MaximumRetries is how often a batch is retried before it is given up; the count starts again whenever a part of
	// the batch is done. Zero: it is retried until its records are 24 hours old, when the stream drops them. (The
	// mapping in template.yaml gives up after 23 hours, by MaximumRecordAgeInSeconds. This mapping has no such
	// limit.) Negative: it is not retried.
	MaximumRetries int
	// OnFailure gets the position of each batch, or part of a batch, that was given up, like an on-failure
	// destination. Nil: it is only logged.
	OnFailure func(context.Context, StreamFailure)
	// Logger gets a line for each failure. Nil: slog.Default().
	Logger *slog.Logger
}

// StreamFailure is what Lambda sends to a stream's on-failure destination: the position of the records, without the
// records. Its JSON is Lambda's (https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html).
type StreamFailure struct {
	RequestContext struct {
		// Condition is "RetryAttemptsExhausted" or "RecordAgeExpired".
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	Version   string            `json:"version"`
	Timestamp time.Time         `json:"timestamp"`
	Batch     StreamFailedBatch `json:"DDBStreamBatchInfo"`
}

// StreamFailedBatch is the position of a failed batch in a stream.
type StreamFailedBatch struct {
	ShardID                         string    `json:"shardId"`
	StartSequenceNumber             string    `json:"startSequenceNumber"`
	EndSequenceNumber               string    `json:"endSequenceNumber"`
	ApproximateArrivalOfFirstRecord time.Time `json:"approximateArrivalOfFirstRecord"`
	ApproximateArrivalOfLastRecord  time.Time `json:"approximateArrivalOfLastRecord"`
	BatchSize                       int       `json:"batchSize"`
	StreamARN                       string    `json:"streamArn"`
}

const defaultPoll = 250 * time.Millisecond

// Run delivers until ctx ends, waits for the handler and returns nil. Every call of Run begins at TRIM_HORIZON. It
// returns an error with all wrong options, or an error if the stream does not exist or does not have exactly one
// shard. Other failed calls are logged and retried.
func (m *StreamMapping) Run(ctx context.Context) error {
	r := streamRun{StreamMapping: *m, log: m.Logger}
	if err := r.setDefaults(); err != nil {
		return err
	}
	shard, err := r.findShard(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	return r.follow(ctx, shard)
}

// streamRun is one call of Run, with its options' defaults.
type streamRun struct {
	StreamMapping
	log *slog.Logger
}

func (r *streamRun) setDefaults() error {
	var errs []error
	if r.Streams == nil || r.StreamARN == "" || r.Handler == nil {
		errs = append(errs, errors.New("run stream mapping: Streams, StreamARN and Handler are required"))
	}
	if r.BatchSize < 0 || r.BatchSize > maxRecords {
		errs = append(errs,
			fmt.Errorf("run stream mapping: BatchSize is %d: use 1 to %d, or 0 for 100", r.BatchSize, maxRecords))
	}
	if r.Poll < 0 {
		errs = append(errs,
			fmt.Errorf("run stream mapping: Poll is %v: use a positive time, or 0 for %v", r.Poll, defaultPoll))
	}
	if r.BatchSize == 0 {
		r.BatchSize = 100
	}
	if r.Poll == 0 {
		r.Poll = defaultPoll
	}
	if r.log == nil {
		r.log = slog.Default()
	}
	return errors.Join(errs...)
}

// findShard returns the ID of the stream's shard. It retries until it succeeds or ctx ends.
func (r *streamRun) findShard(ctx context.Context) (string, error) {
	for ctx.Err() == nil {
		out, err := r.Streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &r.StreamARN})
		var missing *streamtypes.ResourceNotFoundException
		switch {
		case err == nil && len(out.StreamDescription.Shards) == 1:
			return aws.ToString(out.StreamDescription.Shards[0].ShardId), nil
		case err == nil:
			return "", fmt.Errorf("run stream mapping of %q: found %d shards; only streams of one shard are supported",
				r.StreamARN, len(out.StreamDescription.Shards))
		case errors.As(err, &missing):
			return "", fmt.Errorf("run stream mapping of %q: %w", r.StreamARN, err)
		case ctx.Err() == nil:
			r.log.Warn("cannot describe stream; retrying", "stream", r.StreamARN, "error", err)
			pause(ctx, r.Poll)
		}
	}
	return "", nil
}

// follow delivers the shard's records until ctx ends.
func (r *streamRun) follow(ctx context.Context, shard string) error {
	var at *string // the iterator; nil: request one
	last := ""     // the last sequence number that is done
	for ctx.Err() == nil {
		out, err := r.read(ctx, shard, at, last)
		if err != nil {
			if ctx.Err() == nil {
				r.log.Warn("cannot read stream; retrying", "stream", r.StreamARN, "shard", shard, "error", err)
			}
			at = nil
			pause(ctx, r.Poll)
			continue
		}
		if n := len(out.Records); n > 0 {
			r.deliver(ctx, shard, r.convert(out.Records))
			last = aws.ToString(out.Records[n-1].Dynamodb.SequenceNumber)
		} else {
			pause(ctx, r.Poll)
		}
		if at = out.NextShardIterator; at == nil {
			return fmt.Errorf("run stream mapping of %q: shard %q was closed; only streams of one shard are supported",
				r.StreamARN, shard)
		}
	}
	return nil
}

// read reads from an iterator, or after the last sequence number that is done if there is no iterator.
func (r *streamRun) read(ctx context.Context, shard string, at *string,
	last string) (*dynamodbstreams.GetRecordsOutput, error) {
	if at == nil {
		in := &dynamodbstreams.GetShardIteratorInput{StreamArn: &r.StreamARN, ShardId: &shard,
			ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon}
		if last != "" {
			in.ShardIteratorType, in.SequenceNumber = streamtypes.ShardIteratorTypeAfterSequenceNumber, &last
		}
		out, err := r.Streams.GetShardIterator(ctx, in)
		if err != nil {
			return nil, err
		}
		at = out.ShardIterator
	}
	return r.Streams.GetRecords(ctx,
		&dynamodbstreams.GetRecordsInput{ShardIterator: at, Limit: aws.Int32(int32(r.BatchSize))})
}
