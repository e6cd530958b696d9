package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

const (
	maxRecords   = 1000 // in one GetRecords
	iteratorLife = 15 * time.Minute
)

// Streams has the methods of *dynamodbstreams.Client, on the streams of the account's tables. A record is kept for
// 24 hours; a write that changes nothing has none.
type Streams struct{ db *DynamoDB }

func streamsCall[I, O any](ctx context.Context, s *Streams, operation string, in *I, do func(*I) (*O, error)) (*O, error) {
	return call(ctx, s.db.cloud, "DynamoDB Streams", operation, in, func(in *I) (*O, error) {
		s.db.mu.Lock()
		defer s.db.mu.Unlock()
		return do(in)
	})
}

// RollShard closes the open shard of a table's stream and opens its child, as AWS does from time to time. It says
// whether there is such a stream.
func (c *Cloud) RollShard(tableName string) bool {
	c.DynamoDB.mu.Lock()
	defer c.DynamoDB.mu.Unlock()
	t := c.DynamoDB.tables[tableName]
	if t == nil || t.stream == nil {
		return false
	}
	t.stream.roll()
	return true
}

// find returns a stream by its ARN.
func (s *Streams) find(arn *string) (*stream, error) {
	for _, t := range s.db.tables {
		if t.stream != nil && t.stream.arn == aws.ToString(arn) {
			return t.stream, nil
		}
	}
	return nil, &streamtypes.ResourceNotFoundException{Message: aws.String("Requested resource not found: Stream: " + aws.ToString(arn) + " not found")}
}

func (s *stream) shard(id string) (*shard, error) {
	for _, one := range s.shards {
		if one.id == id {
			return one, nil
		}
	}
	return nil, &streamtypes.ResourceNotFoundException{Message: aws.String("Requested resource not found: Shard: " + id + " in Stream: " + s.arn + " not found")}
}

// ListStreams lists all streams, or one table's, in one page.
func (s *Streams) ListStreams(ctx context.Context, in *dynamodbstreams.ListStreamsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.ListStreamsOutput, error) {
	return streamsCall(ctx, s, "ListStreams", in, func(in *dynamodbstreams.ListStreamsInput) (*dynamodbstreams.ListStreamsOutput, error) {
		out := &dynamodbstreams.ListStreamsOutput{Streams: []streamtypes.Stream{}}
		for _, name := range slices.Sorted(maps.Keys(s.db.tables)) {
			t := s.db.tables[name]
			if t.stream != nil && (in.TableName == nil || *in.TableName == name) {
				out.Streams = append(out.Streams, streamtypes.Stream{StreamArn: aws.String(t.stream.arn), StreamLabel: aws.String(t.stream.label), TableName: aws.String(name)})
			}
		}
		return out, nil
	})
}

// DescribeStream lists a stream's shards, parents first, from ExclusiveStartShardId on.
func (s *Streams) DescribeStream(ctx context.Context, in *dynamodbstreams.DescribeStreamInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error) {
	return streamsCall(ctx, s, "DescribeStream", in, func(in *dynamodbstreams.DescribeStreamInput) (*dynamodbstreams.DescribeStreamOutput, error) {
		st, err := s.find(in.StreamArn)
		if err != nil {
			return nil, err
		}
		if in.ShardFilter != nil {
			return nil, unsupported("ShardFilter")
		}
		d := &streamtypes.StreamDescription{
			StreamArn: aws.String(st.arn), StreamLabel: aws.String(st.label), StreamStatus: streamtypes.StreamStatusEnabled,
			StreamViewType: streamtypes.StreamViewType(st.view), TableName: aws.String(st.table.name),
			CreationRequestDateTime: aws.Time(st.created), Shards: []streamtypes.Shard{},
		}
		for _, k := range st.table.description.KeySchema {
			d.KeySchema = append(d.KeySchema, streamtypes.KeySchemaElement{AttributeName: k.AttributeName, KeyType: streamtypes.KeyType(k.KeyType)})
		}
		limit := int(aws.ToInt32(in.Limit))
		if limit <= 0 || limit > 100 {
			limit = 100
		}
		after := in.ExclusiveStartShardId == nil
		for i, one := range st.shards {
			if after && len(d.Shards) == limit {
				d.LastEvaluatedShardId = d.Shards[limit-1].ShardId
				break
			}
			if after {
				d.Shards = append(d.Shards, st.describeShard(i))
			}
			after = after || one.id == *in.ExclusiveStartShardId
		}
		return &dynamodbstreams.DescribeStreamOutput{StreamDescription: d}, nil
	})
}

func (s *stream) describeShard(i int) streamtypes.Shard {
	one := s.shards[i]
	d := streamtypes.Shard{ShardId: aws.String(one.id), SequenceNumberRange: &streamtypes.SequenceNumberRange{StartingSequenceNumber: aws.String(sequence(one.first))}}
	if i > 0 {
		d.ParentShardId = aws.String(s.shards[i-1].id)
	}
	if one.end > 0 {
		d.SequenceNumberRange.EndingSequenceNumber = aws.String(sequence(max(one.first, one.end-1)))
	}
	return d
}

// GetShardIterator returns an iterator, which is valid for 15 minutes.
func (s *Streams) GetShardIterator(ctx context.Context, in *dynamodbstreams.GetShardIteratorInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error) {
	return streamsCall(ctx, s, "GetShardIterator", in, func(in *dynamodbstreams.GetShardIteratorInput) (*dynamodbstreams.GetShardIteratorOutput, error) {
		st, err := s.find(in.StreamArn)
		if err != nil {
			return nil, err
		}
		one, err := st.shard(aws.ToString(in.ShardId))
		if err != nil {
			return nil, err
		}
		now := time.Now()
		one.trim(now)
		at := iterator{arn: st.arn, shard: one.id, issued: now}
		switch in.ShardIteratorType {
		case streamtypes.ShardIteratorTypeTrimHorizon:
		case streamtypes.ShardIteratorTypeLatest:
			at.number = st.next
		case streamtypes.ShardIteratorTypeAtSequenceNumber, streamtypes.ShardIteratorTypeAfterSequenceNumber:
			if at.number, err = parseSequence(aws.ToString(in.SequenceNumber)); err != nil {
				return nil, err
			}
			if in.ShardIteratorType == streamtypes.ShardIteratorTypeAfterSequenceNumber {
				at.number++
			}
			if at.number < one.horizon {
				return nil, trimmed()
			}
		default:
			return nil, unsupported("ShardIteratorType " + string(in.ShardIteratorType))
		}
		return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: at.text()}, nil
	})
}

func trimmed() error {
	return &streamtypes.TrimmedDataAccessException{Message: aws.String("The operation attempted to read past the oldest stream record in a shard.")}
}

// iterator is a place in a shard: the number of the next record to read, or 0 for the oldest.
type iterator struct {
	arn, shard string
	number     int64
	issued     time.Time
}

func (i iterator) text() *string {
	return aws.String(fmt.Sprintf("%s|%s|%d|%d", i.arn, i.shard, i.number, i.issued.UnixNano()))
}

func parseIterator(text *string) (i iterator, err error) {
	parts := strings.Split(aws.ToString(text), "|")
	if len(parts) != 4 {
		return i, validation("Invalid ShardIterator")
	}
	var issued int64
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "%d %d", &i.number, &issued); err != nil {
		return i, validation("Invalid ShardIterator")
	}
	i.arn, i.shard, i.issued = parts[0], parts[1], time.Unix(0, issued)
	return i, nil
}

// GetRecords returns records in order, at most 1,000 or one page of bytes. The next iterator is nil after a closed
// shard's last record.
func (s *Streams) GetRecords(ctx context.Context, in *dynamodbstreams.GetRecordsInput, _ ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error) {
	limit := s.db.cloud.page()
	return streamsCall(ctx, s, "GetRecords", in, func(in *dynamodbstreams.GetRecordsInput) (*dynamodbstreams.GetRecordsOutput, error) {
		at, err := parseIterator(in.ShardIterator)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if now.Sub(at.issued) > iteratorLife {
			return nil, &streamtypes.ExpiredIteratorException{Message: aws.String("Iterator expired. The iterator was created too long ago.")}
		}
		st, err := s.find(&at.arn)
		if err != nil {
			return nil, err
		}
		one, err := st.shard(at.shard)
		if err != nil {
			return nil, err
		}
		one.trim(now)
		if at.number == 0 {
			at.number = one.horizon
		}
		if at.number < one.horizon {
			return nil, trimmed()
		}
		count := int(aws.ToInt32(in.Limit))
		if in.Limit == nil {
			count = maxRecords
		}
		if count < 1 || count > maxRecords {
			return nil, validation("1 validation error detected: Value at 'limit' failed to satisfy constraint: Member must have value between 1 and 1000")
		}
		out := &dynamodbstreams.GetRecordsOutput{Records: one.read(&at.number, count, limit)}
		if one.end == 0 || at.number < one.end {
			at.issued = now
			out.NextShardIterator = at.text()
		}
		return out, nil
	})
}

// read returns records from *number on and moves it behind them.
func (s *shard) read(number *int64, count, limit int) []streamtypes.Record {
	from, _ := slices.BinarySearchFunc(s.records, *number, func(r record, n int64) int { return int(r.number - n) })
	list, bytes := []streamtypes.Record{}, 0
	for _, r := range s.records[from:] {
		if len(list) == count || len(list) > 0 && bytes+r.size > limit {
			break
		}
		list = append(list, copyRecord(r.record))
		bytes += r.size
		*number = r.number + 1
	}
	return list
}

// copyRecord keeps callers from changing what the stream holds. Values inside of images stay shared: they are never written.
func copyRecord(r streamtypes.Record) streamtypes.Record {
	change := *r.Dynamodb
	change.Keys, change.OldImage, change.NewImage = maps.Clone(change.Keys), maps.Clone(change.OldImage), maps.Clone(change.NewImage)
	r.Dynamodb = &change
	return r
}
