package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	lddynamodb "github.com/launchdarkly/go-server-sdk-dynamodb/v4"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/test/emulator"
)

// LaunchDarkly's own DynamoDB store and dynamostore write and read the same rows, on DynamoDB Local.

// openTheirs opens LaunchDarkly's store on a table.
func openTheirs(t *testing.T, table, prefix string) subsystems.PersistentDataStore {
	t.Helper()
	store, err := lddynamodb.DataStore(table).Prefix(prefix).DynamoClient(emulator.DynamoDB()).Build(
		subsystems.BasicClientContext{Logging: subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

// parsed returns a store's flags as the SDK parses them: by key the version, or "version deleted" for a tombstone.
func parsed(t *testing.T, s subsystems.PersistentDataStore) map[string]string {
	t.Helper()
	items, err := s.GetAll(features)
	require.NoError(t, err)
	flags := map[string]string{}
	for _, i := range items {
		item, err := features.Deserialize(i.Item.SerializedItem)
		require.NoError(t, err)
		flags[i.Key] = fmt.Sprint(item.Version)
		if item.Item == nil {
			flags[i.Key] += " deleted"
		}
		one, err := s.Get(features, i.Key)
		require.NoError(t, err)
		assert.Equal(t, i.Item, one)
	}
	return flags
}

// rowsOf returns all rows of a table, as text by namespace and key.
func rowsOf(t *testing.T, table string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	pages := dynamodb.NewScanPaginator(
		emulator.DynamoDB(),
		&dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)},
	)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, r := range page.Items {
			var version, item string
			if n, ok := r["version"].(*types.AttributeValueMemberN); ok {
				version = n.Value
			}
			if s, ok := r["item"].(*types.AttributeValueMemberS); ok {
				item = s.Value
			}
			key := r["namespace"].(*types.AttributeValueMemberS).Value + " " +
				r["key"].(*types.AttributeValueMemberS).Value
			rows[key] = version + " " + item
		}
	}
	return rows
}

// eachDirection runs f twice, on a new table each: with either store as the writer and the other one as the reader.
func eachDirection(t *testing.T, f func(t *testing.T, table string, writer, reader subsystems.PersistentDataStore)) {
	for _, prefix := range []string{"", "staging"} {
		for _, theirsWrites := range []bool{true, false} {
			t.Run(fmt.Sprintf("prefix %q, theirs writes %v", prefix, theirsWrites), func(t *testing.T) {
				table := newFlagTable(t)
				var writer subsystems.PersistentDataStore = openTheirs(t, table, prefix)
				var reader subsystems.PersistentDataStore = openStore(t, table, prefix)
				if !theirsWrites {
					writer, reader = reader, writer
				}
				f(t, table, writer, reader)
			})
		}
	}
}

func TestLaunchDarklysStoreAndDynamostoreReadEachOthersRows(t *testing.T) {
	eachDirection(t, func(t *testing.T, _ string, writer, reader subsystems.PersistentDataStore) {
		assert.False(t, reader.IsInitialized())
		data := environment("a:1", "b:2")
		data[1].Items = append(data[1].Items, st.KeyedSerializedItemDescriptor{Key: "gone", Item: tombstone(3)})
		require.NoError(t, writer.Init(data))
		assert.True(t, reader.IsInitialized())
		want := map[string]string{"a": "1", "b": "2", "gone": "3 deleted"}
		assert.Equal(t, want, parsed(t, reader))
		assert.Equal(t, want, parsed(t, writer))

		for _, step := range []struct {
			store   subsystems.PersistentDataStore
			item    st.SerializedItemDescriptor
			written bool
			want    string
		}{
			{writer, item("a", 5), true, "5"},
			{reader, item("a", 5), false, "5"},
			{reader, tombstone(6), true, "6 deleted"},
			{writer, item("a", 6), false, "6 deleted"},
			{writer, item("a", 7), true, "7"},
		} {
			written, err := step.store.Upsert(features, "a", step.item)
			require.NoError(t, err)
			assert.Equal(t, step.written, written)
			assert.Equal(t, step.want, parsed(t, reader)["a"])
			assert.Equal(t, step.want, parsed(t, writer)["a"])
		}
	})
}

func TestLaunchDarklysStoreAndDynamostoreInitOverEachOthersRows(t *testing.T) {
	eachDirection(t, func(t *testing.T, table string, writer, reader subsystems.PersistentDataStore) {
		require.NoError(t, writer.Init(environment("a:1", "b:2")))
		before := rowsOf(t, table)
		require.NoError(t, reader.Init(environment("a:1", "b:2")))
		assert.Equal(t, before, rowsOf(t, table), "the same data makes the same rows")

		for key, version := range map[string]string{"$sync": "7", "$journal/eu-west-1/0": "8"} { // warmflags' own rows
			_, err := emulator.DynamoDB().PutItem(
				t.Context(),
				&dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
					"namespace": &types.AttributeValueMemberS{
						Value: key,
					},
					"key":     &types.AttributeValueMemberS{Value: key},
					"version": &types.AttributeValueMemberN{Value: version},
				}},
			)
			require.NoError(t, err)
		}
		require.NoError(t, reader.Init(environment("b:1", "c:1")))
		want := map[string]string{"b": "1", "c": "1"}
		assert.Equal(t, want, parsed(t, writer), "Init writes lower versions too")
		assert.Equal(t, want, parsed(t, reader))
		rows := rowsOf(t, table)
		assert.Contains(t, rows, "$sync $sync")
		assert.Contains(t, rows, "$journal/eu-west-1/0 $journal/eu-west-1/0")
		assert.Len(t, rows, 6, "two flags, a segment, three markers")
	})
}

// docs/migrating.md: LaunchDarkly's store limits an item to 400,000 bytes; dynamostore's limit is DynamoDB's 409,600.
func TestAnItemAboveLaunchDarklysLimitIsRemovedByItsInit(t *testing.T) {
	table := newFlagTable(t)
	theirs, ours := openTheirs(t, table, ""), openStore(t, table, "")
	data := environment("a:1")
	big := st.SerializedItemDescriptor{Version: 1, SerializedItem: fmt.Appendf(nil,
		`{"key":"big","version":1,"salt":%q}`, strings.Repeat("x", 405_000))}
	data[1].Items = append(data[1].Items, st.KeyedSerializedItemDescriptor{Key: "big", Item: big})
	require.NoError(t, ours.Init(data))
	assert.Equal(t, map[string]string{"a": "1", "big": "1"}, parsed(t, theirs), "they read it")
	require.NoError(t, theirs.Init(data))
	assert.Equal(t, map[string]string{"a": "1"}, parsed(t, ours), "LaunchDarkly's store removes it")
}

// A row whose attribute "version" is a string is read by all stores, with the version in its JSON.
func TestARowWithTextForAVersionIsReadByAllStores(t *testing.T) {
	table := newFlagTable(t)
	_, err := emulator.DynamoDB().PutItem(
		t.Context(),
		&dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
			"namespace": &types.AttributeValueMemberS{
				Value: "features",
			},
			"key":     &types.AttributeValueMemberS{Value: "a"},
			"version": &types.AttributeValueMemberS{Value: "7"},
			"item":    &types.AttributeValueMemberS{Value: `{"key":"a","version":7,"salt":"s"}`},
		}},
	)
	require.NoError(t, err)
	want := map[string]string{"a": "7"}
	assert.Equal(t, want, parsed(t, openTheirs(t, table, "")))
	assert.Equal(t, want, parsed(t, openStore(t, table, "")))
	v4 := v4Table(t, table, "", nil)
	flag, err := v4.Get(ld.Features, "a")
	require.NoError(t, err)
	assert.Equal(t, 7, flag.GetVersion())
	require.NoError(t, v4.Upsert(ld.Features, &ld.Flag{Key: "a", Version: 8}))
	assert.Equal(t, map[string]string{"a": "8"}, parsed(t, openStore(t, table, "")))
}
