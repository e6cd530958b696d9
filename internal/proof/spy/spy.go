// Package spy is a DynamoDB client for tests. It uses the embedded engine, counts the calls and can make them fail.
package spy

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/table"
)

// Table is the name of the flag table.
const Table = "flags"

// Client is the client. It is safe for concurrent use, but its fields must not be changed during a call.
type Client struct {
	table.API
	// Before and After are called before and after each call, with the number of the call, from 1. The call returns
	// their error. If Before returns an error, the operation is not executed.
	Before, After func(operation string, call int) error
	// Alter may change a transaction before it is sent.
	Alter func(*dynamodb.TransactWriteItemsInput)

	mu         sync.Mutex // guards calls and operations
	calls      int
	operations map[string]int
}

// New returns a client of a new embedded engine with an empty flag table.
func New() *Client {
	cloud := localaws.New()
	cloud.CreateFlagTable(Table)
	return On(cloud.DynamoDB)
}

// On returns a client that forwards calls to api.
func On(api table.API) *Client { return &Client{API: api, operations: map[string]int{}} }

// call counts a call and executes it.
func call[In, Out any](
	ctx context.Context, c *Client, operation string, in In,
	do func(context.Context, In, ...func(*dynamodb.Options)) (Out, error),
) (out Out, err error) {
	c.mu.Lock()
	c.calls++
	n := c.calls
	c.operations[operation]++
	c.mu.Unlock()
	if c.Before != nil {
		if err := c.Before(operation, n); err != nil {
			return out, err
		}
	}
	out, err = do(ctx, in)
	if err == nil && c.After != nil {
		err = c.After(operation, n)
	}
	return out, err
}

// GetItem counts the call and forwards it.
func (c *Client) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	return call(ctx, c, "GetItem", in, c.API.GetItem)
}

// Query counts the call and forwards it.
func (c *Client) Query(
	ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options),
) (*dynamodb.QueryOutput, error) {
	return call(ctx, c, "Query", in, c.API.Query)
}

// PutItem counts the call and forwards it.
func (c *Client) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	return call(ctx, c, "PutItem", in, c.API.PutItem)
}

// UpdateItem counts the call and forwards it.
func (c *Client) UpdateItem(
	ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.UpdateItemOutput, error) {
	return call(ctx, c, "UpdateItem", in, c.API.UpdateItem)
}

// TransactWriteItems counts the call and forwards it.
func (c *Client) TransactWriteItems(
	ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	if c.Alter != nil {
		c.Alter(in)
	}
	return call(ctx, c, "TransactWriteItems", in, c.API.TransactWriteItems)
}

// Calls returns the number of calls since New or Reset.
func (c *Client) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// Operations returns the number of calls of each operation since New or Reset.
func (c *Client) Operations() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.operations)
}

// Writes returns the number of calls of writing operations since New or Reset.
func (c *Client) Writes() int {
	made := c.Operations()
	return made["PutItem"] + made["UpdateItem"] + made["TransactWriteItems"]
}

// Reset sets all counts to zero.
func (c *Client) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.operations = 0, map[string]int{}
}

// Put writes a row like another program would. It is not counted.
func (c *Client) Put(t *testing.T, namespace, key string, attributes table.Row) {
	t.Helper()
	r := table.Key(namespace, key)
	maps.Copy(r, attributes)
	_, err := c.API.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(Table), Item: r})
	require.NoError(t, err)
}

// Row reads a row, or returns nil if there is none. It is not counted.
func (c *Client) Row(t *testing.T, namespace, key string) table.Row {
	t.Helper()
	out, err := c.API.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(Table), ConsistentRead: aws.Bool(true), Key: table.Key(namespace, key),
	})
	require.NoError(t, err)
	return out.Item
}
