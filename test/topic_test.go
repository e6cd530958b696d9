package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/streamfilter"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/test/emulator"
)

var (
	_ streamhandler.Publisher      = (*faultyTopic)(nil)
	_ streamhandler.BatchPublisher = (*faultyTopic)(nil)
)

// faultyTopic is a client of a topic. At random it refuses a call, accepts a part of a batch, accepts all without
// confirming it, or ends the function before it can return.
type faultyTopic struct {
	*sns.Client
	recovered atomic.Bool  // no more faults
	published atomic.Int64 // messages that the topic accepted
	calls     atomic.Int64 // calls with a fault

	mu    sync.Mutex // guards first and rng
	first []int      // faults of the first calls; rng chooses the others
	rng   *rand.Rand
}

var errThrottled = &smithy.GenericAPIError{Code: "Throttling"}

// nextFault returns the fault of a call, from 0 to 3, or -1 for none.
func (d *faultyTopic) nextFault() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	fault := d.rng.IntN(8)
	if len(d.first) > 0 {
		fault, d.first = d.first[0], d.first[1:]
	}
	if d.recovered.Load() || fault > 3 {
		return -1
	}
	d.calls.Add(1)
	return fault
}

func (d *faultyTopic) Publish(ctx context.Context, in *sns.PublishInput, o ...func(*sns.Options)) (*sns.PublishOutput,
	error) {
	fault := d.nextFault()
	if fault == 0 || fault == 1 {
		return nil, errThrottled
	}
	out, err := d.Client.Publish(ctx, in, o...)
	if err == nil {
		d.published.Add(1)
	}
	return out, errors.Join(err, afterwards(fault))
}

func (d *faultyTopic) PublishBatch(ctx context.Context, in *sns.PublishBatchInput,
	o ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	fault := d.nextFault()
	switch fault {
	case 0:
		return nil, errThrottled
	case 1: // accepts a part; its answer does not mention the rest
		part := *in
		part.PublishBatchRequestEntries = in.PublishBatchRequestEntries[:len(in.PublishBatchRequestEntries)/2]
		in = &part
	}
	out, err := d.Client.PublishBatch(ctx, in, o...)
	if err == nil {
		d.published.Add(int64(len(out.Successful)))
	}
	return out, errors.Join(err, afterwards(fault))
}

// afterwards applies the faults that follow a successful call.
func afterwards(fault int) error {
	switch fault {
	case 2:
		return &smithy.GenericAPIError{Code: "RequestTimeout"}
	case 3:
		panic("killed") // the mapping treats this as a function that ended without an answer
	}
	return nil
}

// streamOf returns the ARN of a table's stream.
func streamOf(t *testing.T, table string) string {
	t.Helper()
	out, err := emulator.DynamoDB().DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	require.NoError(t, err)
	return *out.Table.LatestStreamArn
}

// templateFilter returns the filter of template.yaml.
var templateFilter = sync.OnceValue(func() streamfilter.Filter {
	filter, err := streamfilter.Template()
	if err != nil {
		panic(err)
	}
	return filter
})

// invokesStreamhandler reports whether a record passes the filter of template.yaml.
func invokesStreamhandler(r events.DynamoDBEventRecord) bool { return templateFilter().Match(r) }

func keyOf(n rowName) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"namespace": &types.AttributeValueMemberS{
			Value: n.namespace,
		},
		"key": &types.AttributeValueMemberS{Value: n.key},
	}
}

// readRows returns the item of each row of a table; "" if the row has none.
func readRows(ctx context.Context, table string) (map[rowName]string, error) {
	rows := map[rowName]string{}
	pages := dynamodb.NewScanPaginator(emulator.DynamoDB(), &dynamodb.ScanInput{TableName: &table,
		ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Items {
			n := rowName{
				r["namespace"].(*types.AttributeValueMemberS).Value,
				r["key"].(*types.AttributeValueMemberS).Value,
			}
			rows[n] = ""
			if item, ok := r["item"].(*types.AttributeValueMemberS); ok {
				rows[n] = item.Value
			}
		}
	}
	return rows, nil
}

// put writes a row; with version 0 it has no item, like warmflags' own rows.
func (f *fanout) put(n rowName, version int, item string) {
	f.t.Helper()
	row := keyOf(n)
	if version > 0 {
		row["version"] = &types.AttributeValueMemberN{Value: fmt.Sprint(version)}
		row["item"] = &types.AttributeValueMemberS{Value: item}
	}
	require.NoError(f.t, putRow(f.t, f.table, row))
}

func (f *fanout) delete(n rowName) {
	f.t.Helper()
	_, err := emulator.DynamoDB().DeleteItem(
		f.t.Context(),
		&dynamodb.DeleteItemInput{TableName: &f.table, Key: keyOf(n)},
	)
	require.NoError(f.t, err)
}
