package contract

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func streamCases() map[string]func(T, Account) {
	return map[string]func(T, Account){
		"records come in the order of writes":   recordsInOrder,
		"a write that changes nothing is none":  recordsOfNothing,
		"transactions are records":              recordsOfTransactions,
		"iterators begin at their type's place": iteratorsBegin,
		"a stream that does not exist":          noStream,
		"limits and iterators are checked":      streamRefusals,
	}
}

// iterator requests an iterator on the stream's first shard.
func (t *table) iterator(kind streamtypes.ShardIteratorType, after *string) (*string, error) {
	described, err := t.streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: t.stream})
	require.NoError(t, err)
	require.NotEmpty(t, described.StreamDescription.Shards)
	out, err := t.streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn: t.stream, ShardId: described.StreamDescription.Shards[0].ShardId, ShardIteratorType: kind,
		SequenceNumber: after,
	})
	if err != nil {
		return nil, err
	}
	return out.ShardIterator, nil
}

// all is more records than a case makes.
const all = 1000

// read reads from an iterator, at most limit records at a time, until it has count records or a response has none.
func (t *table) read(at *string, count int, limit *int32) (records []streamtypes.Record, next *string) {
	t.Helper()
	for len(records) < count {
		out, err := t.streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: at, Limit: limit})
		require.NoError(t, err)
		if limit != nil {
			assert.LessOrEqual(t, len(out.Records), int(*limit))
		}
		records, at = append(records, out.Records...), out.NextShardIterator
		if len(out.Records) == 0 {
			break
		}
	}
	return records, at
}

// records reads the stream from its beginning to its end.
func (t *table) records() []streamtypes.Record {
	t.Helper()
	at, err := t.iterator(streamtypes.ShardIteratorTypeTrimHorizon, nil)
	require.NoError(t, err)
	records, _ := t.read(at, all, nil)
	return records
}

// summary is a record as "EVENT key old>new".
func summary(r streamtypes.Record) string {
	version := func(image map[string]streamtypes.AttributeValue) string {
		if n, ok := image["version"].(*streamtypes.AttributeValueMemberN); ok {
			return n.Value
		}
		return ""
	}
	k := r.Dynamodb.Keys["key"].(*streamtypes.AttributeValueMemberS).Value
	return string(r.EventName) + " " + k + " " + version(r.Dynamodb.OldImage) + ">" + version(r.Dynamodb.NewImage)
}

func summaries(records []streamtypes.Record) []string {
	list := []string{}
	for _, r := range records {
		list = append(list, summary(r))
	}
	return list
}

func recordsInOrder(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1), flag("b", 1), flag("a", 2), flag("a", 1))
	tab.remove("b")
	tab.put(flag("b", 5))
	add := expr("ADD #v :one")
	_, err := tab.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: tab.name, Key: key("token"), UpdateExpression: &add.text, ExpressionAttributeNames: add.names,
		ExpressionAttributeValues: add.values,
	})
	require.NoError(t, err)
	records := tab.records()
	assert.Equal(t,
		[]string{"INSERT a >1", "INSERT b >1", "MODIFY a 1>2", "MODIFY a 2>1", "REMOVE b 1>", "INSERT b >5",
			"INSERT token >1"}, summaries(records))
	last := ""
	for _, r := range records {
		n := *r.Dynamodb.SequenceNumber
		assert.True(t, len(n) > len(last) || len(n) == len(last) && n > last, "%s after %s", n, last)
		last = n
		assert.Len(t, r.Dynamodb.Keys, 2)
		assert.NotEmpty(t, r.EventID)
		assert.NotNil(t, r.Dynamodb.ApproximateCreationDateTime)
		assert.Positive(t, *r.Dynamodb.SizeBytes)
	}
	item := records[0].Dynamodb.NewImage["item"]
	assert.Equal(t, &streamtypes.AttributeValueMemberS{Value: `{"key":"a"}`}, item)
	assert.Len(t, records[0].Dynamodb.NewImage, 4, "an image has all attributes")
}

func recordsOfNothing(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1), flag("a", 1))
	tab.remove("none")
	tab.put(with(flag("a", 1), attributes{"version": number("1.0")}))
	absent := expr("attribute_not_exists(#v)")
	_, err := tab.PutItem(t.Context(),
		&dynamodb.PutItemInput{TableName: tab.name, Item: flag("a", 9), ConditionExpression: &absent.text,
			ExpressionAttributeNames: absent.names})
	require.Error(t, err)
	_, err = tab.transact(tab.putting(flag("a", 1)),
		types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("none")}})
	require.NoError(t, err)
	assert.Equal(t, []string{"INSERT a >1"}, summaries(tab.records()))
}

// recordsOfTransactions: one for each write that changed something, none for a check or a canceled transaction.
func recordsOfTransactions(t T, a Account) {
	tab := newTable(t, a)
	check := func(condition string) types.TransactWriteItem {
		e := expr(condition)
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: tab.name, Key: key("none"),
			ConditionExpression: &e.text, ExpressionAttributeNames: e.names}}
	}
	_, err := tab.transact(tab.putting(flag("a", 1)), check("attribute_not_exists(#v)"), tab.putting(flag("b", 1)))
	require.NoError(t, err)
	_, err = tab.transact(tab.putting(flag("a", 2)), check("attribute_exists(#v)"))
	require.Error(t, err)
	_, err = tab.transact(tab.putting(flag("c", 1)),
		types.TransactWriteItem{Delete: &types.Delete{TableName: tab.name, Key: key("a")}})
	require.NoError(t, err)
	got := summaries(tab.records())
	assert.ElementsMatch(t, []string{"INSERT a >1", "INSERT b >1", "INSERT c >1", "REMOVE a 1>"}, got,
		"order is promised for each item only")
}

func iteratorsBegin(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1), flag("a", 2), flag("a", 3))
	second := tab.records()[1].Dynamodb.SequenceNumber
	at, err := tab.iterator(streamtypes.ShardIteratorTypeAfterSequenceNumber, second)
	require.NoError(t, err)
	records, next := tab.read(at, all, nil)
	assert.Equal(t, []string{"MODIFY a 2>3"}, summaries(records))
	require.NotNil(t, next, "the shard goes on")
	again, _ := tab.read(at, all, nil)
	assert.Equal(t, summaries(records), summaries(again), "an iterator can be used again")
	tab.put(flag("a", 4))
	records, _ = tab.read(next, 1, nil)
	assert.Equal(t, []string{"MODIFY a 3>4"}, summaries(records))

	first, err := tab.iterator(streamtypes.ShardIteratorTypeTrimHorizon, nil)
	require.NoError(t, err)
	records, _ = tab.read(first, all, aws.Int32(2))
	assert.Len(t, records, 4, "in steps of two")
}

func noStream(t T, a Account) {
	arn := aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/" + newName("none") +
		"/stream/2026-01-01T00:00:00.000")
	errs := map[string]error{}
	_, errs["describe"] = a.Streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	_, errs["iterator"] = a.Streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn: arn, ShardId: aws.String("shardId-00000000000000000000-00000000"),
		ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
	})
	refused(t, "ResourceNotFoundException", errs)
}

func streamRefusals(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1))
	errs := map[string]error{}
	at, err := tab.iterator(streamtypes.ShardIteratorTypeTrimHorizon, nil)
	require.NoError(t, err)
	_, errs["limit over 1,000"] = a.Streams.GetRecords(t.Context(),
		&dynamodbstreams.GetRecordsInput{ShardIterator: at, Limit: aws.Int32(1001)})
	_, errs["no sequence number"] = tab.iterator(streamtypes.ShardIteratorTypeAfterSequenceNumber, nil)
	_, errs["a broken iterator"] = a.Streams.GetRecords(t.Context(),
		&dynamodbstreams.GetRecordsInput{ShardIterator: aws.String("broken")})
	refused(t, "ValidationException", errs)
}
