package dynamostore_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldlogtest"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/storetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/table"
)

// LaunchDarkly's test suite for persistent stores.
func TestLaunchDarklySuite(t *testing.T) {
	errDown := errors.New("the table is down")
	for name, c := range map[string]struct {
		prefix   string
		pageSize int
	}{
		"no prefix":   {},
		"prefix":      {prefix: "test"},
		"small pages": {pageSize: 100},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := localaws.New()
			if c.pageSize > 0 {
				cloud.PageSize(c.pageSize)
			}
			cloud.CreateFlagTable(spy.Table)
			full := func(prefix string) string { return strings.Trim(c.prefix+"-"+prefix, "-") }
			factory := func(prefix string) subsystems.ComponentConfigurer[subsystems.PersistentDataStore] {
				return dynamostore.DataStore(spy.Table).Prefix(full(prefix)).Client(cloud.DynamoDB)
			}
			broken := spy.On(cloud.DynamoDB)
			broken.Before = func(string, int) error { return errDown }
			storetest.NewPersistentDataStoreTestSuite(factory, func(prefix string) error {
				return clearRows(t.Context(), cloud.DynamoDB, full(prefix))
			}).ErrorStoreFactory(dynamostore.DataStore(spy.Table).Client(broken), func(t assert.TestingT, err error) {
				assert.ErrorIs(t, err, errDown)
			}).ConcurrentModificationHook(func(s subsystems.PersistentDataStore, hook func()) {
				dynamostore.SetBeforeUpsert(s.(*dynamostore.Store), hook)
			}).Run(t)
		})
	}
}

// clearRows deletes all rows of a prefix.
func clearRows(ctx context.Context, db *localaws.DynamoDB, prefix string) error {
	out, err := db.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(spy.Table)})
	for err == nil {
		for _, r := range out.Items {
			namespace := r["namespace"].(*types.AttributeValueMemberS).Value
			before, _, found := strings.Cut(namespace, ":")
			if !found {
				before = ""
			}
			if before == prefix {
				_, err = db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
					TableName: aws.String(spy.Table),
					Key:       map[string]types.AttributeValue{"namespace": r["namespace"], "key": r["key"]},
				})
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			break
		}
		out, err = db.Scan(ctx,
			&dynamodb.ScanInput{TableName: aws.String(spy.Table), ExclusiveStartKey: out.LastEvaluatedKey})
	}
	return err
}

func TestRowsOfLaunchDarklysSchema(t *testing.T) {
	for prefix, namespace := range map[string]string{"": "features", "staging": "staging:features"} {
		api := spy.New()
		s := open(t, api, prefix)
		require.NoError(t, s.Init(data("a:7")))
		marker := strings.Replace(namespace, "features", "$inited", 1)
		assert.Equal(t, map[string]types.AttributeValue{
			"namespace": str(namespace), "key": str("a"), "version": num("7"),
			"item": str(`{"key":"a","version":7,"salt":"s"}`),
		}, api.Row(t, namespace, "a"))
		assert.Equal(t, map[string]types.AttributeValue{"namespace": str(marker), "key": str(marker)},
			api.Row(t, marker, marker))
	}
}

func TestANullItemIsATombstone(t *testing.T) {
	api := spy.New()
	s := open(t, api, "")
	require.NoError(t, s.Init(data("a:1")))
	api.Put(t, "features", "gone", map[string]types.AttributeValue{"version": num("5"), "item": str("null")})
	got, err := s.Get(features, "gone")
	require.NoError(t, err)
	assert.Equal(t, []any{5, true}, []any{got.Version, got.Deleted})
}

// If a row's version is text, a fraction or missing, LaunchDarkly's SDKs use the version in the JSON.
func TestRowsOfOtherWriters(t *testing.T) {
	for name, attributes := range map[string]table.Row{
		"text": {"version": str("7")}, "fraction": {"version": num("6.5")}, "missing": {},
	} {
		t.Run(name, func(t *testing.T) {
			api := spy.New()
			s := open(t, api, "")
			put := func() {
				row := table.Row{"item": str(`{"key":"a","version":7,"salt":"s"}`)}
				maps.Copy(row, attributes)
				api.Put(t, "features", "a", row)
			}
			put()
			got, err := s.Get(features, "a")
			require.NoError(t, err)
			assert.Equal(t, 7, got.Version)
			assert.Equal(t, map[string]int{"a": 7}, flags(t, s))
			assert.Zero(t, s.Stats().BrokenRows)

			updated, err := s.Upsert(features, "a", item("a", 8))
			require.NoError(t, err)
			assert.True(t, updated)
			put()
			require.NoError(t, open(t, api, "").Init(data("a:7")))
			assert.Equal(t, num("7"), api.Row(t, "features", "a")["version"],
				"the row counts as different and is rewritten")
		})
	}
}

func TestBrokenRowsAreNamedAndHideNoOtherRow(t *testing.T) {
	for name, attributes := range map[string]map[string]types.AttributeValue{
		`attribute "version" is missing`:            {"item": str("{}")},
		`attribute "item" is missing`:               {"version": num("1")},
		`attribute "version" is not a number`:       {"version": str("1"), "item": str("{}")},
		`attribute "version" is not a whole number`: {"version": num("1.5"), "item": str("{}")},
		`attribute "item" is not a string`:          {"version": num("1"), "item": num("2")},
		`attribute "item"`:                          {},
	} {
		t.Run(name, func(t *testing.T) {
			api, log := spy.New(), ldlogtest.NewMockLog()
			built, err := dynamostore.DataStore(spy.Table).Client(api).Build(
				subsystems.BasicClientContext{Logging: subsystems.LoggingConfiguration{Loggers: log.Loggers}})
			require.NoError(t, err)
			s := built.(*dynamostore.Store)
			require.NoError(t, s.Init(data("good:1")))
			api.Put(t, "features", "bad", attributes)

			_, err = s.Get(features, "bad")
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, `"features" "bad"`)
			require.ErrorAs(t, err, new(interface{ BrokenRow() }))
			assert.Equal(t, map[string]int{"good": 1}, flags(t, s))
			assert.Equal(t, int64(1), s.Stats().BrokenRows)
			require.Len(t, log.GetOutput(ldlog.Warn), 1)
			assert.Contains(t, log.GetOutput(ldlog.Warn)[0], `"bad": attribute`)

			cold, err := cachedstore.New(dynamostore.DataStore(spy.Table).Client(api)).Build(
				subsystems.BasicClientContext{Logging: subsystems.LoggingConfiguration{Loggers: log.Loggers}})
			require.NoError(t, err)
			for range 3 { // the first reads all rows; later ones may read the bad row alone
				all, err := cold.GetAll(features)
				require.NoError(t, err)
				require.Len(t, all, 1)
				_, err = cold.Get(features, "bad")
				require.ErrorContains(t, err, name)
			}
			require.NoError(t, cold.Close())

			require.NoError(t, s.Init(data("good:1", "bad:1")), "Init rewrites the row")
			assert.Equal(t, map[string]int{"good": 1, "bad": 1}, flags(t, s))
			api.Put(t, "features", "bad", attributes)
			require.NoError(t, s.Init(data("good:1")), "Init removes the row")
			assert.Empty(t, api.Row(t, "features", "bad"))
		})
	}
}

func TestUpsertRefusesItemsThatDoNotFit(t *testing.T) {
	s := open(t, spy.New(), "")
	require.NoError(t, s.Init(data("a:1")))
	big := st.SerializedItemDescriptor{Version: 2, SerializedItem: []byte(strings.Repeat("x", 400*1024))}
	updated, err := s.Upsert(features, "a", big)
	require.NoError(t, err)
	assert.False(t, updated)
	assert.Equal(t, map[string]int{"a": 1}, flags(t, s))
	assert.Equal(t, dynamostore.Stats{RefusedItems: 1}, s.Stats())
}

func TestInitializedIsRememberedOnceTrue(t *testing.T) {
	api := spy.New()
	s := open(t, api, "")
	assert.False(t, s.IsInitialized())
	assert.False(t, s.IsInitialized())
	assert.Equal(t, 2, api.Calls())
	require.NoError(t, open(t, api, "").Init(data()))
	api.Reset()
	assert.True(t, s.IsInitialized())
	assert.True(t, s.IsInitialized())
	assert.Equal(t, 1, api.Calls())
}

func TestReadsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := spy.New()
		s := open(t, api, "")
		require.NoError(t, s.Init(data("a:1")))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		api.Before = func(string, int) error { return ctx.Err() }
		_, err := s.GetContext(ctx, features, "a")
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.GetAllContext(ctx, features)
		require.ErrorIs(t, err, context.Canceled)
		assert.False(t, s.IsStoreAvailable())
	})
}

func TestConfiguration(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	_, err := dynamostore.DataStore("").Prefix(strings.Repeat("p", 513)).Open(t.Context())
	require.ErrorContains(t, err, "table's name is empty", "all problems at once")
	require.ErrorContains(t, err, "the prefix has 513 bytes")
	require.ErrorContains(t, err, "AWS_REGION is not set")
	require.ErrorContains(t, err, "AWS_ACCESS_KEY_ID is not set")
	_, err = dynamostore.DataStore(spy.Table).Client(spy.New()).AWSConfig(aws.Config{}).Open(t.Context())
	require.ErrorContains(t, err, "both set")

	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	_, err = dynamostore.DataStore(spy.Table).Open(t.Context())
	require.NoError(t, err, "region, endpoint and credentials from the environment")
	_, err = dynamostore.DataStore(spy.Table).AWSConfig(aws.Config{Region: "eu-west-1"}).Open(t.Context())
	require.NoError(t, err)
	assert.Equal(t, ldvalue.String("DynamoDB"),
		dynamostore.DataStore(spy.Table).DescribeConfiguration(subsystems.BasicClientContext{}))
}
