package table

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// API is the part of [dynamodb.Client] that reading and writing a table needs.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput,
		...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput,
		...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

var _ API = (*dynamodb.Client)(nil)

// Environment is one LaunchDarkly environment in a table. It is safe for concurrent use, provided that its fields do
// not change after the first call of a method.
type Environment struct {
	// Client is the DynamoDB client, and Table the table's name. Both are required.
	Client API
	Table  string
	// Prefix identifies the environment within the table. It may be empty.
	Prefix string
	// Same reports whether the stored item equals a new item of the same version. Default, and nil: [SameJSON] of the
	// two.
	Same func(kind string, stored, item Item) bool
}

// Namespace returns the partition key of a kind, or of a marker, in the environment.
func (e *Environment) Namespace(kind string) string { return layout.Namespace(e.Prefix, kind) }

// ReadRow reads one row with a strongly consistent GetItem. It returns nil if the row does not exist.
func (e *Environment) ReadRow(ctx context.Context, kind, key string) (Row, error) {
	namespace := e.Namespace(kind)
	out, err := e.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &e.Table, Key: Key(namespace, key), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read row %q %q of table %q: %w", namespace, key, e.Table, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// ReadMarker reads a marker's row as [Environment.ReadRow] does.
func (e *Environment) ReadMarker(ctx context.Context, marker string) (Row, error) {
	return e.ReadRow(ctx, marker, e.Namespace(marker))
}

// EachRow reads all rows of a kind, strongly consistent and in the order of their keys, and calls yield for each. It
// reads page by page, so two pages can show different states of the table. Before an error, yield may have been
// called for some rows.
func (e *Environment) EachRow(ctx context.Context, kind string, yield func(key string, r Row)) error {
	return e.eachRow(ctx, kind, once, yield)
}

// eachRow is EachRow with a retrier, which is used for each page. Rows are yielded once, also after retries.
func (e *Environment) eachRow(ctx context.Context, kind string, try retrier, yield func(key string, r Row)) error {
	namespace := e.Namespace(kind)
	in := &dynamodb.QueryInput{
		TableName:                 &e.Table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#n = :n"),
		ExpressionAttributeNames:  map[string]string{"#n": layout.AttrNamespace},
		ExpressionAttributeValues: Row{":n": Text(namespace)},
	}
	for {
		var out *dynamodb.QueryOutput
		err := try(ctx, func(ctx context.Context) (err error) {
			out, err = e.Client.Query(ctx, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("read namespace %q of table %q: %w", namespace, e.Table, err)
		}
		for _, r := range out.Items {
			key, _ := textOf(r, layout.AttrKey) // part of the primary key: always a string
			yield(key, r)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		// A page can have any number of rows, even none. Only the last page has no LastEvaluatedKey.
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}
