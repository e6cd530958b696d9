package aws

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// DynamoDB has the methods of *dynamodb.Client that warmflags calls, on flag tables in memory. A table is active as
// soon as it is created. The methods ignore their options.
type DynamoDB struct {
	cloud *Cloud

	mu     sync.Mutex // guards the tables, their items and their streams
	tables map[string]*table
}

func dynamoCall[I, O any](ctx context.Context, d *DynamoDB, operation string, in *I,
	do func(*I) (*O, error)) (*O, error) {
	return call(ctx, d.cloud, "DynamoDB", operation, in, do)
}

// CreateFlagTable creates a table with LaunchDarkly's schema (partition key "namespace", sort key "key", both
// strings) and a stream of new and old images, and returns the stream's ARN. If the table exists, it is not changed.
// It panics if name is not valid: 3 to 255 letters, digits, "_", "-", ".".
func (c *Cloud) CreateFlagTable(name string) string {
	c.DynamoDB.mu.Lock()
	defer c.DynamoDB.mu.Unlock()
	if t := c.DynamoDB.tables[name]; t != nil {
		return t.stream.arn
	}
	t, err := c.DynamoDB.create(name)
	if err != nil {
		panic(fmt.Errorf("create flag table %q: %w", name, err))
	}
	return t.stream.arn
}

// create creates a table. The caller must hold mu.
func (d *DynamoDB) create(name string) (*table, error) {
	if !validName(name, 3, 255, "_-.") {
		return nil, validation(fmt.Sprintf("Invalid table name %q: it must be 3 to 255 letters, digits, '_', '-' "+
			"and '.'", name))
	}
	d.tables[name] = newTable(name, time.Now())
	return d.tables[name], nil
}

// CreateTable creates a table as [Cloud.CreateFlagTable] does, and refuses all other schemas.
func (d *DynamoDB) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	return dynamoCall(ctx, d, "CreateTable", in,
		func(in *dynamodb.CreateTableInput) (*dynamodb.CreateTableOutput, error) {
			name := aws.ToString(in.TableName)
			if !reflect.DeepEqual(in, flagTable(name)) {
				return nil, unsupported("tables of another schema than CreateFlagTable's")
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.tables[name] != nil {
				return nil, &types.ResourceInUseException{Message: aws.String("Table already exists: " + name)}
			}
			t, err := d.create(name)
			if err != nil {
				return nil, err
			}
			return &dynamodb.CreateTableOutput{TableDescription: &types.TableDescription{
				TableName: &name, TableArn: &t.arn, TableStatus: types.TableStatusActive,
				LatestStreamArn: &t.stream.arn,
			}}, nil
		})
}

// table returns a table by its name. It locks mu.
func (d *DynamoDB) table(name *string) (*table, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tables[aws.ToString(name)]; t != nil {
		return t, nil
	}
	return nil, &types.ResourceNotFoundException{Message: aws.String("Requested resource not found")}
}
