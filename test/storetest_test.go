package test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/storetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/test/emulator"
)

// LaunchDarkly's test suite for persistent stores, on DynamoDB Local.
func TestLaunchDarklyStoreSuite(t *testing.T) {
	for name, outer := range map[string]string{"no prefix": "", "prefix": "test"} {
		t.Run(name, func(t *testing.T) {
			table := newFlagTable(t)
			full := func(prefix string) string { return strings.Trim(outer+"-"+prefix, "-") }
			factory := func(prefix string) subsystems.ComponentConfigurer[subsystems.PersistentDataStore] {
				return hookedStores{table, full(prefix)}
			}
			storetest.NewPersistentDataStoreTestSuite(factory, func(prefix string) error {
				return clearRows(t.Context(), table, full(prefix))
			}).ErrorStoreFactory(dynamostore.DataStore("no-such-table").Client(emulator.DynamoDB()), func(
				t assert.TestingT, err error,
			) {
				var missing *types.ResourceNotFoundException
				assert.ErrorAs(t, err, &missing)
			}).ConcurrentModificationHook(func(s subsystems.PersistentDataStore, hook func()) {
				s.(*hookedStore).client.beforePut = hook
			}).Run(t)
		})
	}
}

// hookedStores builds stores that call a hook before each conditional put.
type hookedStores struct{ table, prefix string }

type hookedStore struct {
	subsystems.PersistentDataStore
	client *hookedClient
}

type hookedClient struct {
	*dynamodb.Client
	beforePut func()
}

func (h hookedStores) Build(c subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	client := &hookedClient{Client: emulator.DynamoDB()}
	store, err := dynamostore.DataStore(h.table).Prefix(h.prefix).Client(client).Build(c)
	return &hookedStore{store, client}, err
}

func (c *hookedClient) PutItem(
	ctx context.Context,
	in *dynamodb.PutItemInput,
	o ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if c.beforePut != nil {
		c.beforePut()
	}
	return c.Client.PutItem(ctx, in, o...)
}

// clearRows deletes all rows of a prefix.
func clearRows(ctx context.Context, table, prefix string) error {
	db := emulator.DynamoDB()
	pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			before, _, found := strings.Cut(r["namespace"].(*types.AttributeValueMemberS).Value, ":")
			if found && before == prefix || !found && prefix == "" {
				_, deleteErr := db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
					TableName: &table,
					Key:       map[string]types.AttributeValue{"namespace": r["namespace"], "key": r["key"]},
				})
				err = errors.Join(err, deleteErr)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newFlagTable makes a table of LaunchDarkly's schema, with a stream, on DynamoDB Local.
func newFlagTable(t *testing.T) string {
	t.Helper()
	name := uniqueName(t)
	_, err := emulator.DynamoDB().CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("namespace"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("key"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("namespace"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS},
		},
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled:  aws.Bool(true),
			StreamViewType: types.StreamViewTypeNewAndOldImages,
		},
	})
	require.NoError(t, err)
	return name
}
