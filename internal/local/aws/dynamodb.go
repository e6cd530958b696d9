package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// DynamoDB has the methods of *dynamodb.Client that are listed here, as AWS documents them, on tables in memory. A
// table is active as soon as it is created. Options are ignored.
type DynamoDB struct {
	cloud *Cloud

	mu     sync.Mutex // guards the tables, with all that is in them and their streams, and the tokens
	tables map[string]*table
	tokens map[string]*token // TransactWriteItems by ClientRequestToken
}

func dynamoCall[I, O any](ctx context.Context, d *DynamoDB, operation string, in *I, do func(*I) (*O, error)) (*O, error) {
	return call(ctx, d.cloud, "DynamoDB", operation, in, do)
}

// CreateFlagTable makes a table with LaunchDarkly's schema (partition key "namespace", sort key "key", both strings)
// and a stream of new and old images, and returns the stream's ARN; a table that is there is left as it is. A name
// that is no table's name (3 to 255 letters, digits, "_", "-", ".") panics.
func (c *Cloud) CreateFlagTable(name string) string {
	d := c.DynamoDB
	if _, err := d.createTable(&dynamodb.CreateTableInput{
		TableName: aws.String(name),
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("namespace"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("key"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("namespace"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS},
		},
		BillingMode:         types.BillingModePayPerRequest,
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	}); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if t := d.tables[name]; t != nil {
			return aws.ToString(t.description.LatestStreamArn)
		}
		panic(fmt.Errorf("create flag table %q: %w", name, err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return aws.ToString(d.tables[name].description.LatestStreamArn)
}

// CreateTable makes a table, without secondary indexes.
func (d *DynamoDB) CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error) {
	return dynamoCall(ctx, d, "CreateTable", in, d.createTable)
}

// DescribeTable describes a table; its item count and size are exact.
func (d *DynamoDB) DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return dynamoCall(ctx, d, "DescribeTable", in, func(in *dynamodb.DescribeTableInput) (*dynamodb.DescribeTableOutput, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		t, err := d.describedTable(in.TableName)
		if err != nil {
			return nil, err
		}
		return &dynamodb.DescribeTableOutput{Table: t.describe()}, nil
	})
}

// DeleteTable deletes a table at once, with its stream.
func (d *DynamoDB) DeleteTable(ctx context.Context, in *dynamodb.DeleteTableInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteTableOutput, error) {
	return dynamoCall(ctx, d, "DeleteTable", in, func(in *dynamodb.DeleteTableInput) (*dynamodb.DeleteTableOutput, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		t, err := d.describedTable(in.TableName)
		if err != nil {
			return nil, err
		}
		delete(d.tables, t.name)
		description := t.describe()
		description.TableStatus = types.TableStatusDeleting
		return &dynamodb.DeleteTableOutput{TableDescription: description}, nil
	})
}

// describedTable finds a table for the operations on tables themselves, whose error names it. It needs mu.
func (d *DynamoDB) describedTable(name *string) (*table, error) {
	if t := d.tables[aws.ToString(name)]; t != nil {
		return t, nil
	}
	return nil, &types.ResourceNotFoundException{Message: aws.String("Requested resource not found: Table: " + aws.ToString(name) + " not found")}
}

// table finds a table for the operations on items.
func (d *DynamoDB) table(name *string) (*table, error) {
	if name == nil {
		return nil, validation("1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tables[*name]; t != nil {
		return t, nil
	}
	return nil, &types.ResourceNotFoundException{Message: aws.String("Requested resource not found")}
}

func (d *DynamoDB) createTable(in *dynamodb.CreateTableInput) (*dynamodb.CreateTableOutput, error) {
	t, err := newTable(in, time.Now())
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[t.name] != nil {
		return nil, &types.ResourceInUseException{Message: aws.String("Table already exists: " + t.name)}
	}
	d.tables[t.name] = t
	return &dynamodb.CreateTableOutput{TableDescription: t.describe()}, nil
}

func newTable(in *dynamodb.CreateTableInput, now time.Time) (*table, error) {
	name := aws.ToString(in.TableName)
	if !validName(name, 3, 255, "_-.") {
		return nil, validation(fmt.Sprintf("Invalid table name %q: it must be 3 to 255 letters, digits, '_', '-' and '.'", name))
	}
	if len(in.GlobalSecondaryIndexes) > 0 || len(in.LocalSecondaryIndexes) > 0 {
		return nil, unsupported("secondary indexes")
	}
	t := &table{name: name, arn: fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", region, accountID, name), pending: map[key]bool{}}
	if err := t.setKeys(in.KeySchema, in.AttributeDefinitions); err != nil {
		return nil, err
	}
	billing := in.BillingMode
	if billing == "" {
		billing = types.BillingModeProvisioned
	}
	if (billing == types.BillingModeProvisioned) != (in.ProvisionedThroughput != nil) {
		return nil, validation("One or more parameter values were invalid: ProvisionedThroughput must be given when BillingMode is PROVISIONED, and only then")
	}
	t.description = types.TableDescription{
		TableName: aws.String(name), TableArn: aws.String(t.arn), TableStatus: types.TableStatusActive,
		KeySchema: slices.Clone(in.KeySchema), AttributeDefinitions: slices.Clone(in.AttributeDefinitions),
		CreationDateTime: aws.Time(now), BillingModeSummary: &types.BillingModeSummary{BillingMode: billing},
	}
	if s := in.StreamSpecification; s != nil && aws.ToBool(s.StreamEnabled) {
		t.stream = newStream(t, s.StreamViewType, now)
		t.description.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: s.StreamViewType}
		t.description.LatestStreamArn, t.description.LatestStreamLabel = aws.String(t.stream.arn), aws.String(t.stream.label)
	}
	return t, nil
}

func (t *table) setKeys(schema []types.KeySchemaElement, definitions []types.AttributeDefinition) error {
	dataTypes := map[string]string{}
	for _, a := range definitions {
		dataTypes[aws.ToString(a.AttributeName)] = string(a.AttributeType)
	}
	for i, e := range schema {
		a := keyAttribute{name: aws.ToString(e.AttributeName), dataType: dataTypes[aws.ToString(e.AttributeName)]}
		switch {
		case a.dataType == "":
			return validation(fmt.Sprintf("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: %v", a.name, slices.Sorted(maps.Keys(dataTypes))))
		case i == 0 && e.KeyType == types.KeyTypeHash:
			a.maxSize, a.sizeError = maxPartitionKeySize, "Size of hashkey has exceeded the maximum size limit of2048 bytes"
			t.partitionKey = a
		case i == 1 && e.KeyType == types.KeyTypeRange && a.name != t.partitionKey.name:
			a.maxSize, a.sizeError = maxSortKeySize, "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
			t.sortKey = a
		default:
			return validation("Invalid KeySchema: the first element must be of type HASH, and a second one another attribute of type RANGE")
		}
	}
	if t.partitionKey.name == "" {
		return validation("Invalid KeySchema: it is empty")
	}
	if len(dataTypes) != len(schema) {
		return validation("One or more parameter values were invalid: Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	return nil
}

// validName says whether a resource's name has a valid length and only letters, digits and these other characters.
func validName(name string, shortest, longest int, others string) bool {
	if len(name) < shortest || len(name) > longest {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !slices.Contains([]byte(others), c) {
			return false
		}
	}
	return true
}
