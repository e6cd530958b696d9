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

	"github.com/warmflags/warmflags/internal/table/layout"
)

// A row of an item is {namespace: "[prefix:]kind", key, version, item}, where item is LaunchDarkly's JSON as a string.
// This includes tombstones. The row of a marker has its namespace as its key. Other programs write rows too, so
// versionOf and itemOf check an attribute before it is used.

// Limits of DynamoDB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const (
	maxRowBytes         = 400 * 1024
	maxKeyBytes         = 1024
	maxTransactionItems = 100
	maxTransactionBytes = 4*1024*1024 - 64*1024 // reserves space for the names in expressions
)

// The AWS SDK retries reads. withRetry retries writes until callLimit has passed.
const (
	rowReadLimit = 5 * time.Second       // for a read of one row
	callLimit    = 30 * time.Second      // for all other calls
	pauseFirst   = 25 * time.Millisecond // the maximum pause before the second attempt
	pauseMax     = 2 * time.Second
)

// row is a row of the table, or nil if there is none.
type row = map[string]*dynamodb.AttributeValue

// clientMaker returns the client, or an error with all problems of the options.
type clientMaker = func() (dynamodbiface.DynamoDBAPI, error)

// rows reads and writes one environment's rows. The caller encodes kinds and items, so rows needs no type parameters.
type rows struct {
	table, prefix string
	client        clientMaker
	refused       atomic.Int64 // items that were not written because they exceed DynamoDB's limits
}

// namespace returns the partition key of a kind or a marker.
func (r *rows) namespace(name string) string { return layout.Namespace(r.prefix, name) }

// read reads one row within rowReadLimit.
func (r *rows) read(namespace, key string) (row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), rowReadLimit)
	defer cancel()
	return r.readIn(ctx, namespace, key)
}

// readIn reads one row, strongly consistent. It returns nil if there is none.
func (r *rows) readIn(ctx context.Context, namespace, key string) (row, error) {
	db, err := r.client()
	if err != nil || key == "" { // DynamoDB rejects an empty key
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
		ExpressionAttributeNames:  aws.StringMap(map[string]string{"#n": layout.AttrNamespace}),
		ExpressionAttributeValues: row{":n": text(namespace)},
	}
	for {
		out, err := db.QueryWithContext(ctx, in)
		if err != nil {
			return fmt.Errorf("read namespace %q of table %q: %w", namespace, r.table, err)
		}
		for _, one := range out.Items {
			yield(aws.StringValue(one[layout.AttrKey].S), one) // the sort key is always a string
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		// A page may be empty. Only the last page has no LastEvaluatedKey.
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// putNewer writes a row if the table has no row for its key or an older one. It replaces a row whose version is missing
// or not a number, because such a version cannot be compared.
func (r *rows) putNewer(one row) error {
	db, err := r.client()
	if err != nil {
		return err
	}
	// LaunchDarkly's updates can arrive out of order, so only a higher version is written.
	err = withRetry(func(ctx context.Context) error {
		_, err := db.PutItemWithContext(ctx, &dynamodb.PutItemInput{
			TableName:                 &r.table,
			Item:                      one,
			ConditionExpression:       aws.String("attribute_not_exists(#v) OR NOT attribute_type(#v, :N) OR #v < :v"),
			ExpressionAttributeNames:  aws.StringMap(map[string]string{"#v": layout.AttrVersion}),
			ExpressionAttributeValues: row{":v": one[layout.AttrVersion], ":N": text("N")},
		}, noSDKRetries)
		return err
	})
	// The condition also fails if an earlier attempt succeeded and its response was lost.
	var held *dynamodb.ConditionalCheckFailedException
	if err != nil && !errors.As(err, &held) {
		return fmt.Errorf("upsert row %q %q of table %q: %w", *one[layout.AttrNamespace].S, *one[layout.AttrKey].S,
			r.table, err)
	}
	return nil
}

// withRetry repeats a call until it succeeds, fails with an error that is not retryable, or callLimit has passed. It
// passes the call a context that ends then.
func withRetry(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := call(ctx)
		if err == nil || !isRetryable(err) {
			return err
		}
		if pause(ctx, attempt) != nil {
			// The call's own error is more specific than the context's.
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
}

// noSDKRetries disables the AWS SDK's own retries, which would multiply withRetry's.
func noSDKRetries(r *request.Request) { r.Retryer = client.NoOpRetryer{} }

// errAgain means that another attempt may complete a canceled transaction.
var errAgain = errors.New("rows are throttled or locked by other writers")

// isRetryable reports whether another attempt may succeed: after throttling, a conflict, a lost connection, or a server
// error.
func isRetryable(err error) bool {
	var conflict *dynamodb.TransactionConflictException
	var failure awserr.RequestFailure
	var e awserr.Error
	return errors.Is(err, errAgain) || errors.As(err, &conflict) ||
		errors.As(err, &failure) && failure.StatusCode() >= 500 ||
		errors.As(err, &e) && (request.IsErrorRetryable(e) || request.IsErrorThrottle(e))
}

// pause waits before the next attempt: exponential backoff with full jitter
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). It returns the context's error.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(rand.N(min(pauseFirst<<min(attempt-1, 10), pauseMax)))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// text returns a string attribute.
func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

// rowKey returns a row's key, which is also the whole row of a marker.
func rowKey(namespace, key string) row {
	return row{layout.AttrNamespace: text(namespace), layout.AttrKey: text(key)}
}

// newRow returns the row of an item.
func newRow(namespace, key string, version int, item string) row {
	r := rowKey(namespace, key)
	r[layout.AttrVersion] = &dynamodb.AttributeValue{N: aws.String(strconv.Itoa(version))}
	r[layout.AttrItem] = text(item)
	return r
}

// versionOf returns a row's version, which conditions compare. It returns an error for a row of another writer whose
// version attribute is missing, a string or a fraction. Such a row can be read, by the version in its JSON, and is
// never equal to another row.
func versionOf(r row) (int, error) {
	switch a := r[layout.AttrVersion]; {
	case a == nil:
		return 0, fmt.Errorf("attribute %q is missing", layout.AttrVersion)
	case a.N == nil:
		return 0, fmt.Errorf("attribute %q is not a number", layout.AttrVersion)
	default:
		version, err := strconv.Atoi(*a.N)
		if err != nil {
			return 0, fmt.Errorf("attribute %q is not a whole number: %w", layout.AttrVersion, err)
		}
		return version, nil
	}
}

// itemOf returns a row's JSON.
func itemOf(r row) (string, error) {
	switch a := r[layout.AttrItem]; {
	case a == nil:
		return "", fmt.Errorf("attribute %q is missing", layout.AttrItem)
	case a.S == nil:
		return "", fmt.Errorf("attribute %q is not a string", layout.AttrItem)
	default:
		return *a.S, nil
	}
}

// rowBytes returns a row's size as DynamoDB counts it, or slightly more
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

// refuses reports whether a row exceeds DynamoDB's limits. If so, it counts the row and logs a warning. It is called
// before anything is written, because DynamoDB would reject all other rows of the transaction as well.
func (r *rows) refuses(one row) bool {
	var reason string
	key := *one[layout.AttrKey].S
	switch size := rowBytes(one); {
	case key == "":
		reason = "its key is empty"
	case len(key) > maxKeyBytes:
		reason = fmt.Sprintf("its key has %d bytes, and DynamoDB's limit is %d", len(key), maxKeyBytes)
	case size > maxRowBytes:
		reason = fmt.Sprintf("it needs %d bytes, and DynamoDB's limit is %d", size, maxRowBytes)
	default:
		return false
	}
	r.refused.Add(1)
	slog.Warn("v4store: item not written; its old row is kept", "namespace", *one[layout.AttrNamespace].S, "key", key,
		"reason", reason)
	return true
}
