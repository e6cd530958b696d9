package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

const maxRecords = 1000 // in one GetRecords

// stream is a table's stream of new and old images, in one shard that is never closed. DynamoDB.mu guards it. It
// keeps all records. Record number n, from 1, is records[n-1].
type stream struct {
	arn, shard string
	records    []streamtypes.Record
}

func newStream(t *table, now time.Time) *stream {
	return &stream{
		arn:   t.arn + "/stream/" + now.UTC().Format("2006-01-02T15:04:05.000"),
		shard: fmt.Sprintf("shardId-%020d-%08x", now.UnixMilli(), 0),
	}
}

// sequence returns a record's sequence number: digits that have the same order as text and as numbers.
func sequence(number int) string { return fmt.Sprintf("1%020d", number) }

// append adds a record of one change. The old or the new image is nil if there was or is no item.
func (s *stream) append(k key, old, next item, now time.Time) {
	number := len(s.records) + 1
	name := streamtypes.OperationTypeModify
	switch {
	case old == nil:
		name = streamtypes.OperationTypeInsert
	case next == nil:
		name = streamtypes.OperationTypeRemove
	}
	s.records = append(s.records, streamtypes.Record{
		AwsRegion: aws.String(region),
		EventID:   aws.String(fmt.Sprintf("%016x%016x", newKey(s.arn, "").hash, number)), EventName: name,
		EventSource: aws.String("aws:dynamodb"), EventVersion: aws.String("1.1"),
		Dynamodb: &streamtypes.StreamRecord{
			ApproximateCreationDateTime: aws.Time(now.Truncate(time.Second)), Keys: streamItem(k.item()),
			NewImage: streamItem(next), OldImage: streamItem(old), SequenceNumber: aws.String(sequence(number)),
			SizeBytes:      aws.Int64(int64(ItemSize(k.item()) + ItemSize(old) + ItemSize(next))),
			StreamViewType: streamtypes.StreamViewTypeNewAndOldImages,
		},
	})
}

// streamItem converts an item to the stream's types; nil for nil.
func streamItem(i item) map[string]streamtypes.AttributeValue {
	if i == nil {
		return nil
	}
	converted := make(map[string]streamtypes.AttributeValue, len(i))
	for name, v := range i {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			converted[name] = &streamtypes.AttributeValueMemberS{Value: v.Value}
		case *types.AttributeValueMemberN:
			converted[name] = &streamtypes.AttributeValueMemberN{Value: v.Value}
		case *types.AttributeValueMemberSS:
			converted[name] = &streamtypes.AttributeValueMemberSS{Value: v.Value}
		}
	}
	return converted
}

// Streams has the methods of *dynamodbstreams.Client that [StreamMapping] calls, on the streams of the account's
// tables. A write that changes nothing has no record.
type Streams struct{ db *DynamoDB }

func streamsCall[I, O any](ctx context.Context, s *Streams, operation string, in *I,
	do func(*I) (*O, error)) (*O, error) {
	return call(ctx, s.db.cloud, "DynamoDB Streams", operation, in, func(in *I) (*O, error) {
		s.db.mu.Lock()
		defer s.db.mu.Unlock()
		return do(in)
	})
}

// find returns a table by its stream's ARN.
func (s *Streams) find(arn *string) (*table, error) {
	for _, t := range s.db.tables {
		if t.stream.arn == aws.ToString(arn) {
			return t, nil
		}
	}
	return nil, &streamtypes.ResourceNotFoundException{Message: aws.String("Requested resource not found: Stream: " +
		aws.ToString(arn) + " not found")}
}

// DescribeStream describes a stream and its shard.
func (s *Streams) DescribeStream(ctx context.Context, in *dynamodbstreams.DescribeStreamInput,
	_ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	return streamsCall(ctx, s, "DescribeStream", in,
		func(in *dynamodbstreams.DescribeStreamInput) (*dynamodbstreams.DescribeStreamOutput, error) {
			t, err := s.find(in.StreamArn)
			if err != nil {
				return nil, err
			}
			return &dynamodbstreams.DescribeStreamOutput{StreamDescription: &streamtypes.StreamDescription{
				StreamArn: &t.stream.arn, StreamStatus: streamtypes.StreamStatusEnabled, TableName: &t.name,
				StreamViewType: streamtypes.StreamViewTypeNewAndOldImages,
				Shards: []streamtypes.Shard{{
					ShardId: &t.stream.shard,
					SequenceNumberRange: &streamtypes.SequenceNumberRange{
						StartingSequenceNumber: aws.String(sequence(1)),
					},
				}},
			}}, nil
		})
}

// GetShardIterator returns an iterator that starts at the first record, or after a sequence number. It never expires.
func (s *Streams) GetShardIterator(ctx context.Context, in *dynamodbstreams.GetShardIteratorInput,
	_ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	return streamsCall(ctx, s, "GetShardIterator", in,
		func(in *dynamodbstreams.GetShardIteratorInput) (*dynamodbstreams.GetShardIteratorOutput, error) {
			t, err := s.find(in.StreamArn)
			if err != nil {
				return nil, err
			}
			if aws.ToString(in.ShardId) != t.stream.shard {
				return nil, &streamtypes.ResourceNotFoundException{Message: aws.String("Requested resource not " +
					"found: Shard: " + aws.ToString(in.ShardId) + " in Stream: " + t.stream.arn + " not found")}
			}
			after := 0
			switch in.ShardIteratorType {
			case streamtypes.ShardIteratorTypeTrimHorizon:
			case streamtypes.ShardIteratorTypeAfterSequenceNumber:
				after = slices.IndexFunc(t.stream.records, func(r streamtypes.Record) bool {
					return *r.Dynamodb.SequenceNumber == aws.ToString(in.SequenceNumber)
				}) + 1
				if after == 0 {
					return nil, validation("Invalid SequenceNumber: " + aws.ToString(in.SequenceNumber))
				}
			default:
				return nil, unsupported("ShardIteratorType %s", in.ShardIteratorType)
			}
			return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: t.stream.iterator(after)}, nil
		})
}

// iterator returns an iterator that starts after a number of records.
func (s *stream) iterator(after int) *string { return aws.String(fmt.Sprintf("%s|%d", s.arn, after)) }

// GetRecords returns records in order, at most 1,000 or one page of bytes.
func (s *Streams) GetRecords(ctx context.Context, in *dynamodbstreams.GetRecordsInput,
	_ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	limit := s.db.cloud.page()
	return streamsCall(ctx, s, "GetRecords", in,
		func(in *dynamodbstreams.GetRecordsInput) (*dynamodbstreams.GetRecordsOutput, error) {
			arn, place, _ := strings.Cut(aws.ToString(in.ShardIterator), "|")
			after := 0
			if _, err := fmt.Sscanf(place, "%d", &after); err != nil {
				return nil, validation("Invalid ShardIterator")
			}
			t, err := s.find(&arn)
			if err != nil {
				return nil, err
			}
			count := maxRecords
			if in.Limit != nil {
				count = int(*in.Limit)
			}
			if count < 1 || count > maxRecords {
				return nil, validation("1 validation error detected: Value at 'limit' failed to satisfy constraint: " +
					"Member must have value between 1 and 1000")
			}
			out, bytes := &dynamodbstreams.GetRecordsOutput{Records: []streamtypes.Record{}}, 0
			for _, r := range t.stream.records[after:] {
				bytes += int(*r.Dynamodb.SizeBytes)
				if n := len(out.Records); n == count || n > 0 && bytes > limit {
					break
				}
				out.Records = append(out.Records, r)
			}
			out.NextShardIterator = t.stream.iterator(after + len(out.Records))
			return out, nil
		})
}
