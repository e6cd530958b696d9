package aws

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

// recordLife is how long a stream keeps a record.
const recordLife = 24 * time.Hour

// stream is a table's stream. It is guarded by DynamoDB.mu.
type stream struct {
	arn, label string
	table      *table
	view       types.StreamViewType
	created    time.Time
	shards     []*shard // each the child of the one before it; all but the last are closed
	next       int64    // the next record's number
}

// shard holds records by rising numbers.
type shard struct {
	id      string
	first   int64 // its first record's number, if it ever had one
	end     int64 // one more than its last record's number; 0 while it is open
	horizon int64 // records before this number are trimmed
	records []record
}

type record struct {
	number int64
	at     time.Time
	size   int
	record streamtypes.Record
}

func newStream(t *table, view types.StreamViewType, now time.Time) *stream {
	s := &stream{table: t, view: view, created: now, next: 1, label: now.UTC().Format("2006-01-02T15:04:05.000")}
	s.arn = t.arn + "/stream/" + s.label
	s.roll()
	return s
}

// roll closes the open shard, if there is one, and opens its child.
func (s *stream) roll() {
	if n := len(s.shards); n > 0 {
		s.shards[n-1].end = s.next
	}
	id := fmt.Sprintf("shardId-%020d-%08x", s.created.UnixMilli(), len(s.shards))
	s.shards = append(s.shards, &shard{id: id, first: s.next, horizon: s.next})
}

// sequence is a record's number as its sequence number: digits that are in order as text and as numbers.
func sequence(number int64) string { return fmt.Sprintf("1%020d", number) }

func parseSequence(s string) (int64, error) {
	var number int64
	if len(s) != 21 || s[0] != '1' {
		return 0, validation("Invalid SequenceNumber: " + s)
	}
	if _, err := fmt.Sscanf(s[1:], "%d", &number); err != nil {
		return 0, validation("Invalid SequenceNumber: " + s)
	}
	return number, nil
}

// append adds a record of one change. Either image is nil when there was, or is, no item.
func (s *stream) append(t *table, old, next item, now time.Time) {
	name, keys := streamtypes.OperationTypeModify, next
	switch {
	case old == nil:
		name = streamtypes.OperationTypeInsert
	case next == nil:
		name, keys = streamtypes.OperationTypeRemove, old
	}
	keys = t.keyItem(keys)
	size := expression.Size(keys)
	change := &streamtypes.StreamRecord{
		ApproximateCreationDateTime: aws.Time(now.Truncate(time.Second)),
		Keys:                        streamItem(keys),
		SequenceNumber:              aws.String(sequence(s.next)),
		StreamViewType:              streamtypes.StreamViewType(s.view),
	}
	if s.view == types.StreamViewTypeNewImage || s.view == types.StreamViewTypeNewAndOldImages {
		change.NewImage = streamItem(next)
		size += expression.Size(next)
	}
	if s.view == types.StreamViewTypeOldImage || s.view == types.StreamViewTypeNewAndOldImages {
		change.OldImage = streamItem(old)
		size += expression.Size(old)
	}
	change.SizeBytes = aws.Int64(int64(size))
	open := s.shards[len(s.shards)-1]
	open.trim(now)
	open.records = append(open.records, record{s.next, now, size, streamtypes.Record{
		AwsRegion: aws.String(region), Dynamodb: change, EventID: aws.String(fmt.Sprintf("%016x%016x", hashOf(s.arn), s.next)), EventName: name,
		EventSource: aws.String("aws:dynamodb"), EventVersion: aws.String("1.1"),
	}})
	s.next++
}

// trim forgets records that are too old.
func (s *shard) trim(now time.Time) {
	n := 0
	for n < len(s.records) && now.Sub(s.records[n].at) > recordLife {
		s.horizon = s.records[n].number + 1
		n++
	}
	s.records = slices.Delete(s.records, 0, n)
}

// streamItem converts an item to the stream's types; nil for nil.
func streamItem(i item) map[string]streamtypes.AttributeValue {
	if i == nil {
		return nil
	}
	converted := make(map[string]streamtypes.AttributeValue, len(i))
	for name, v := range i {
		converted[name] = streamValue(v)
	}
	return converted
}

func streamValue(v types.AttributeValue) streamtypes.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return &streamtypes.AttributeValueMemberS{Value: v.Value}
	case *types.AttributeValueMemberN:
		return &streamtypes.AttributeValueMemberN{Value: v.Value}
	case *types.AttributeValueMemberB:
		return &streamtypes.AttributeValueMemberB{Value: v.Value}
	case *types.AttributeValueMemberBOOL:
		return &streamtypes.AttributeValueMemberBOOL{Value: v.Value}
	case *types.AttributeValueMemberNULL:
		return &streamtypes.AttributeValueMemberNULL{Value: v.Value}
	case *types.AttributeValueMemberM:
		return &streamtypes.AttributeValueMemberM{Value: streamItem(v.Value)}
	case *types.AttributeValueMemberL:
		list := make([]streamtypes.AttributeValue, len(v.Value))
		for i, e := range v.Value {
			list[i] = streamValue(e)
		}
		return &streamtypes.AttributeValueMemberL{Value: list}
	case *types.AttributeValueMemberSS:
		return &streamtypes.AttributeValueMemberSS{Value: v.Value}
	case *types.AttributeValueMemberNS:
		return &streamtypes.AttributeValueMemberNS{Value: v.Value}
	case *types.AttributeValueMemberBS:
		return &streamtypes.AttributeValueMemberBS{Value: v.Value}
	}
	return nil
}
