package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// StreamReader is what [StreamMapping] needs of *dynamodbstreams.Client or [*Streams].
type StreamReader interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// StreamMapping runs a Lambda handler on a stream as Lambda's event source mapping does, from TRIM_HORIZON and with
// ReportBatchItemFailures: a shard's records in order, a child shard after its parent, different shards concurrently.
//
// When the handler reports failed records, those before the first of them are done, and the rest is delivered again
// from there. When it reports a record without identifier or one that is not in the batch, returns an error or
// panics, the whole batch is delivered again (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html).
type StreamMapping struct {
	// Streams and StreamARN are the stream. Both are required.
	Streams   StreamReader
	StreamARN string
	// Handler is required. Its context is Run's.
	Handler func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error)
	// Filter says which records the handler gets, as an event filter does; the others are done. Nil: all.
	Filter func(events.DynamoDBEventRecord) bool
	// BatchSize is the most records in a batch, at most 1,000. Zero: 100. Negative ones are refused.
	BatchSize int
	// Poll is how long to wait when a shard has nothing new, and before a failed batch or call is tried again.
	// Zero: 250 ms, as Lambda. Negative ones are refused.
	Poll time.Duration
	// MaximumRetries is how often a batch is tried again, counted anew whenever a part of it is done; then it is given
	// up. Zero: until its records are 24 hours old, when the stream drops them. (The mapping in template.yaml gives up
	// after 23, see MaximumRecordAgeInSeconds there. This one has no such limit.) Negative: never.
	MaximumRetries int
	// OnFailure gets the position of each batch, or part of one, that was given up, as an on-failure destination does.
	// Nil: only the log says so.
	OnFailure func(context.Context, StreamFailure)
	// Logger gets what failed. Nil: slog.Default().
	Logger *slog.Logger
}

// StreamFailure is what Lambda sends to a stream's on-failure destination: where the records are, not the records. Its
// JSON is Lambda's (https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html).
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

// StreamFailedBatch says where a failed batch is.
type StreamFailedBatch struct {
	ShardID                         string    `json:"shardId"`
	StartSequenceNumber             string    `json:"startSequenceNumber"`
	EndSequenceNumber               string    `json:"endSequenceNumber"`
	ApproximateArrivalOfFirstRecord time.Time `json:"approximateArrivalOfFirstRecord"`
	ApproximateArrivalOfLastRecord  time.Time `json:"approximateArrivalOfLastRecord"`
	BatchSize                       int       `json:"batchSize"`
	StreamARN                       string    `json:"streamArn"`
}

const (
	defaultPoll       = 250 * time.Millisecond
	discoveryInterval = 10 * time.Second // how soon an unexpected shard is found
)

// Run delivers until ctx ends, and then returns nil once the handler has returned. Every call of Run begins at
// TRIM_HORIZON. Its error names wrong options, all of them, or a stream that does not exist. Other failed calls are
// logged and tried again.
func (m *StreamMapping) Run(ctx context.Context) error {
	r := streamRun{StreamMapping: *m, log: m.Logger}
	if err := r.setDefaults(); err != nil {
		return err
	}
	return r.run(ctx)
}

// streamRun is one Run, its options complete.
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
		errs = append(errs, fmt.Errorf("run stream mapping: BatchSize is %d: use 1 to %d, or 0 for 100", r.BatchSize, maxRecords))
	}
	if r.Poll < 0 {
		errs = append(errs, fmt.Errorf("run stream mapping: Poll is %v: use a positive time, or 0 for %v", r.Poll, defaultPoll))
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

// run starts a goroutine for each shard whose parent is done, until ctx ends, and waits for them.
func (r *streamRun) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var shards sync.WaitGroup
	defer shards.Wait()
	defer cancel()
	ended := make(chan string)
	done, running := map[string]bool{}, map[string]bool{}
	for ctx.Err() == nil {
		list, err := r.discover(ctx)
		var missing *streamtypes.ResourceNotFoundException
		if errors.As(err, &missing) {
			return fmt.Errorf("run stream mapping of %q: %w", r.StreamARN, err)
		} else if err != nil && ctx.Err() == nil {
			r.log.Warn("describing a stream: trying again", "stream", r.StreamARN, "error", err)
		}
		listed := map[string]bool{}
		for _, s := range list {
			listed[aws.ToString(s.ShardId)] = true
		}
		for _, s := range list {
			id, parent := aws.ToString(s.ShardId), aws.ToString(s.ParentShardId)
			if done[id] || running[id] || listed[parent] && !done[parent] {
				continue
			}
			running[id] = true
			shards.Go(func() {
				r.shard(ctx, id)
				select {
				case ended <- id:
				case <-ctx.Done():
				}
			})
		}
		wait := discoveryInterval
		if len(running) == 0 {
			wait = r.Poll
		}
		select {
		case id := <-ended:
			done[id] = true
			delete(running, id)
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// discover lists all shards.
func (r *streamRun) discover(ctx context.Context) ([]streamtypes.Shard, error) {
	var list []streamtypes.Shard
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(r.StreamARN)}
	for {
		out, err := r.Streams.DescribeStream(ctx, in)
		if err != nil {
			return nil, err
		}
		list = append(list, out.StreamDescription.Shards...)
		in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId
		if in.ExclusiveStartShardId == nil {
			return list, nil
		}
	}
}

// shard delivers a shard's records until the shard or ctx ends.
func (r *streamRun) shard(ctx context.Context, id string) {
	var at *string // the iterator, or nil to ask for one
	last := ""     // the last sequence number that is done
	for first := true; ctx.Err() == nil; first = false {
		if at == nil && !first {
			pause(ctx, r.Poll)
		}
		out, err := r.read(ctx, id, at, last)
		if err != nil {
			var trimmed *streamtypes.TrimmedDataAccessException
			if errors.As(err, &trimmed) {
				r.log.Error("records of a stream are lost: they were trimmed before they were read", "stream", r.StreamARN, "shard", id, "after", last)
				last = ""
			} else if ctx.Err() == nil {
				r.log.Warn("reading a stream: trying again", "stream", r.StreamARN, "shard", id, "error", err)
			}
			at = nil
			continue
		}
		if n := len(out.Records); n > 0 {
			r.deliver(ctx, id, r.convert(out.Records))
			last = aws.ToString(out.Records[n-1].Dynamodb.SequenceNumber)
		}
		if out.NextShardIterator == nil {
			return
		}
		at = out.NextShardIterator
		if len(out.Records) == 0 {
			pause(ctx, r.Poll)
		}
	}
}

// read reads from an iterator, or else after the last sequence number that is done.
func (r *streamRun) read(ctx context.Context, shard string, at *string, last string) (*dynamodbstreams.GetRecordsOutput, error) {
	if at == nil {
		in := &dynamodbstreams.GetShardIteratorInput{StreamArn: aws.String(r.StreamARN), ShardId: aws.String(shard), ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon}
		if last != "" {
			in.ShardIteratorType, in.SequenceNumber = streamtypes.ShardIteratorTypeAfterSequenceNumber, aws.String(last)
		}
		out, err := r.Streams.GetShardIterator(ctx, in)
		if err != nil {
			return nil, err
		}
		at = out.ShardIterator
	}
	return r.Streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: at, Limit: aws.Int32(int32(r.BatchSize))})
}
