package test

import (
	"context"
	"errors"
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
	_ streamhandler.Publisher      = (*disturbed)(nil)
	_ streamhandler.BatchPublisher = (*disturbed)(nil)
)

// disturbed is a client of a topic that at times refuses, takes a part, takes all and does not say so, or is killed
// with its function before it can.
type disturbed struct {
	*sns.Client
	well      atomic.Bool  // it is itself again
	published atomic.Int64 // messages that the topic has
	calls     atomic.Int64 // calls that were disturbed

	mu    sync.Mutex // guards first and rng
	first []int      // fates of the first calls; those of the others are rng's
	rng   *rand.Rand
}

var errThrottled = &smithy.GenericAPIError{Code: "Throttling"}

// fate is what happens to a call: 0 to 3, or nothing.
func (d *disturbed) fate() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	fate := d.rng.IntN(8)
	if len(d.first) > 0 {
		fate, d.first = d.first[0], d.first[1:]
	}
	if d.well.Load() || fate > 3 {
		return -1
	}
	d.calls.Add(1)
	return fate
}

func (d *disturbed) Publish(ctx context.Context, in *sns.PublishInput, o ...func(*sns.Options)) (*sns.PublishOutput,
	error) {
	fate := d.fate()
	if fate <= 1 && fate >= 0 {
		return nil, errThrottled
	}
	out, err := d.Client.Publish(ctx, in, o...)
	if err == nil {
		d.published.Add(1)
	}
	return out, errors.Join(err, afterwards(fate))
}

func (d *disturbed) PublishBatch(ctx context.Context, in *sns.PublishBatchInput,
	o ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	fate := d.fate()
	switch fate {
	case 0:
		return nil, errThrottled
	case 1: // it takes a part: the others are not in its answer
		part := *in
		part.PublishBatchRequestEntries = in.PublishBatchRequestEntries[:len(in.PublishBatchRequestEntries)/2]
		in = &part
	}
	out, err := d.Client.PublishBatch(ctx, in, o...)
	if err == nil {
		d.published.Add(int64(len(out.Successful)))
	}
	return out, errors.Join(err, afterwards(fate))
}

// afterwards is what happens when the topic has the messages.
func afterwards(fate int) error {
	switch fate {
	case 2:
		return &smithy.GenericAPIError{Code: "RequestTimeout"}
	case 3:
		panic("killed") // the mapping takes it for a function that ended without an answer
	}
	return nil
}

// streamOf is the ARN of a table's stream.
func streamOf(t *testing.T, table string) string {
	t.Helper()
	out, err := emulator.DynamoDB().DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	require.NoError(t, err)
	return *out.Table.LatestStreamArn
}

// templateFilter is the filter of template.yaml.
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
		"namespace": &types.AttributeValueMemberS{Value: n.namespace}, "key": &types.AttributeValueMemberS{Value: n.key},
	}
}

// readRows are all of a table's rows: their items, or nothing.
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
			n := rowName{r["namespace"].(*types.AttributeValueMemberS).Value, r["key"].(*types.AttributeValueMemberS).Value}
			rows[n] = ""
			if item, ok := r["item"].(*types.AttributeValueMemberS); ok {
				rows[n] = item.Value
			}
		}
	}
	return rows, nil
}
