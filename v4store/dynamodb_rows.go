package v4store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// A row of an item is {namespace: "[prefix:]kind", key, version, item}, where item is LaunchDarkly's JSON as a string,
// a tombstone's too. A marker's row has its namespace as its key. Other programs may have written anything: so a row is
// only believed after versionOf and itemOf.
const (
	attrNamespace = "namespace"
	attrKey       = "key"
	attrVersion   = "version"
	attrItem      = "item"

	markerInited = "$inited" // there is a data set: LaunchDarkly's marker
)

// Limits of DynamoDB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const (
	maxRowBytes         = 400 * 1024
	maxKeyBytes         = 1024
	maxTransactionItems = 100
	maxTransactionBytes = 4*1024*1024 - 64*1024 // less what the names in expressions need
)

// A read is made once (the AWS SDK retries it): whoever reads for an evaluation has a cache, which does not wait for long. A
// write is repeated for as long as callLimit.
const (
	readLimit  = 5 * time.Second       // of one row
	callLimit  = 30 * time.Second      // of all else
	pauseFirst = 25 * time.Millisecond // the most that is waited before the second attempt
	pauseMost  = 2 * time.Second
)

// row is a row of the table as it was read; nil when there is none.
type row = map[string]*dynamodb.AttributeValue

// clientMaker makes a client, or says what is wrong with the options.
type clientMaker = func() (dynamodbiface.DynamoDBAPI, error)

// rows reads and writes one environment's rows. It knows no kinds and no items, and so needs no type parameters.
type rows struct {
	table, prefix string
	client        clientMaker
}

// namespace is the partition key of a kind, or of a marker.
func (r *rows) namespace(name string) string {
	if r.prefix == "" {
		return name
	}
	return r.prefix + ":" + name
}

// read reads one row for an evaluation.
func (r *rows) read(namespace, key string) (row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return r.readIn(ctx, namespace, key)
}

// readIn reads one row, strongly consistent; nil when there is none.
func (r *rows) readIn(ctx context.Context, namespace, key string) (row, error) {
	db, err := r.client()
	if err != nil || key == "" { // DynamoDB refuses to look for an empty key
		return nil, err
	}
	out, err := db.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName: &r.table, Key: rowKey(namespace, key), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read row %q %q of table %q: %w", namespace, key, r.table, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// each reads all rows of a namespace, strongly consistent, page by page.
func (r *rows) each(namespace string, yield func(key string, one row)) error {
	db, err := r.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	in := &dynamodb.QueryInput{
		TableName:                 &r.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#n = :n"),
		ExpressionAttributeNames:  aws.StringMap(map[string]string{"#n": attrNamespace}),
		ExpressionAttributeValues: row{":n": text(namespace)},
	}
	for {
		out, err := db.QueryWithContext(ctx, in)
		if err != nil {
			return fmt.Errorf("read namespace %q of table %q: %w", namespace, r.table, err)
		}
		for _, one := range out.Items {
			yield(aws.StringValue(one[attrKey].S), one) // the table's own key: always a string
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		// A page may end anywhere, even without a row: only the last has no such key.
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// putNewer writes a row if there is none, or an older one. A row without a version is broken: this heals it.
func (r *rows) putNewer(one row) error {
	db, err := r.client()
	if err != nil {
		return err
	}
	// LaunchDarkly's updates can arrive out of order: only a higher version is written.
	err = patiently(func(ctx context.Context) error {
		_, err := db.PutItemWithContext(ctx, &dynamodb.PutItemInput{
			TableName:                 &r.table,
			Item:                      one,
			ConditionExpression:       aws.String("attribute_not_exists(#v) OR #v < :v"),
			ExpressionAttributeNames:  aws.StringMap(map[string]string{"#v": attrVersion}),
			ExpressionAttributeValues: row{":v": one[attrVersion]},
		}, noSDKRetries)
		return err
	})
	// That also happens when an earlier attempt was made and only its answer was lost: the row is in the table then.
	var held *dynamodb.ConditionalCheckFailedException
	if err != nil && !errors.As(err, &held) {
		return fmt.Errorf("upsert row %q %q of table %q: %w", *one[attrNamespace].S, *one[attrKey].S, r.table, err)
	}
	return nil
}

// patiently makes a call until it succeeds, fails for good, or callLimit has passed. The call says by its context how
// long it may take.
func patiently(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := call(ctx)
		if err == nil || !isRetryable(err) {
			return err
		}
		if pause(ctx, attempt) != nil {
			// The call's own error says more than that time is up.
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
}

// noSDKRetries turns the AWS SDK's own retries off, where ours would multiply with them.
func noSDKRetries(r *request.Request) { r.Retryer = client.NoOpRetryer{} }

// errAgain says that time, and another attempt, may heal what a canceled transaction left to do.
var errAgain = errors.New("rows are held up by throttling or by other writers")

// isRetryable says whether time may heal an error: throttling, a conflict, a connection, a server's own error.
func isRetryable(err error) bool {
	var conflict *dynamodb.TransactionConflictException
	var failure awserr.RequestFailure
	var e awserr.Error
	return errors.Is(err, errAgain) || errors.As(err, &conflict) ||
		errors.As(err, &failure) && failure.StatusCode() >= 500 ||
		errors.As(err, &e) && (request.IsErrorRetryable(e) || request.IsErrorThrottle(e))
}

// pause waits before the next attempt, exponentially and with full jitter
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Its error is the context's.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(rand.N(min(pauseFirst<<min(attempt-1, 10), pauseMost)))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// text is a string attribute.
func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

// rowKey is a row's key, and a marker's whole row.
func rowKey(namespace, key string) row {
	return row{attrNamespace: text(namespace), attrKey: text(key)}
}

// newRow is the row of an item.
func newRow(namespace, key string, version int, item string) row {
	r := rowKey(namespace, key)
	r[attrVersion] = &dynamodb.AttributeValue{N: aws.String(strconv.Itoa(version))}
	r[attrItem] = text(item)
	return r
}

// versionOf is a row's version, or what is wrong with it.
func versionOf(r row) (int, error) {
	switch a := r[attrVersion]; {
	case a == nil:
		return 0, fmt.Errorf("attribute %q is missing", attrVersion)
	case a.N == nil:
		return 0, fmt.Errorf("attribute %q is not a number", attrVersion)
	default:
		version, err := strconv.Atoi(*a.N)
		if err != nil {
			return 0, fmt.Errorf("attribute %q is not a whole number: %w", attrVersion, err)
		}
		return version, nil
	}
}

// itemOf is a row's JSON, or what is wrong with it.
func itemOf(r row) (string, error) {
	switch a := r[attrItem]; {
	case a == nil:
		return "", fmt.Errorf("attribute %q is missing", attrItem)
	case a.S == nil:
		return "", fmt.Errorf("attribute %q is not a string", attrItem)
	default:
		return *a.S, nil
	}
}

// rowBytes is a row's size as DynamoDB counts it, or a little more
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func rowBytes(r row) int {
	n := 0
	for name, a := range r {
		n += len(name) + len(aws.StringValue(a.S))
		if a.N != nil {
			n += len(*a.N)/2 + 2
		}
	}
	return n
}

// refusals counts the items that DynamoDB could not hold.
type refusals struct{ count atomic.Int64 }

// refuses says whether DynamoDB could not hold a row, and then warns. It is asked before anything is written: in a
// transaction, DynamoDB would refuse all other rows with this one.
func (f *refusals) refuses(r row) bool {
	var reason string
	key := *r[attrKey].S
	switch size := rowBytes(r); {
	case key == "":
		reason = "its key is empty"
	case len(key) > maxKeyBytes:
		reason = fmt.Sprintf("its key has %d bytes, and DynamoDB's limit is %d", len(key), maxKeyBytes)
	case size > maxRowBytes:
		reason = fmt.Sprintf("it needs %d bytes, and DynamoDB's limit is %d", size, maxRowBytes)
	default:
		return false
	}
	f.count.Add(1)
	slog.Warn("v4store: an item is not written, its old row stays", "namespace", *r[attrNamespace].S, "key", key, "reason", reason)
	return true
}
