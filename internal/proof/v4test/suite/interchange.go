package suite

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	sdk "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/internal/table"
)

var features, segments = ldstoreimpl.Features(), ldstoreimpl.Segments()

// v7 returns a dynamostore of the same environment.
func (f *fixture) v7(t *testing.T) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.DataStore(f.Name).Prefix(f.prefix).Client(f.API).Open(t.Context())
	require.NoError(t, err)
	return s
}

// readV7 returns a kind's items as LaunchDarkly's SDK v7 decodes them. A tombstone is nil.
func readV7(t *testing.T, s *dynamostore.Store, kind st.DataKind) map[string]any {
	t.Helper()
	rows, err := s.GetAll(kind)
	require.NoError(t, err)
	items := map[string]any{}
	for _, row := range rows {
		parsed, err := kind.Deserialize(row.Item.SerializedItem)
		require.NoError(t, err)
		require.Equal(t, row.Item.Version, parsed.Version)
		items[row.Key] = parsed.Item
	}
	return items
}

// serialized returns an item as LaunchDarkly's SDK v7 passes it to a store. A nil item becomes a tombstone.
func serialized(kind st.DataKind, version int, item any) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{
		Version: version, Deleted: item == nil,
		SerializedItem: kind.Serialize(st.ItemDescriptor{Version: version, Item: item}),
	}
}

// collections returns the segment "s" and flags that depend on it, in v7's types.
func collections(words ...string) []st.SerializedCollection {
	segment := ldbuilders.NewSegmentBuilder("s").Version(1).Included("alice").Build()
	all := []st.SerializedCollection{
		{Kind: segments, Items: []st.KeyedSerializedItemDescriptor{{Key: "s",
			Item: serialized(segments, 1, &segment)}}},
		{Kind: features},
	}
	for _, word := range words {
		f := flag(word)
		item := flagV7(f.Key, f.Version)
		all[1].Items = append(all[1].Items,
			st.KeyedSerializedItemDescriptor{Key: f.Key, Item: serialized(features, f.Version, &item)})
	}
	return all
}

// flagV7 returns a flag that is "in" for users in the segment "s", and "out" for all others.
func flagV7(key string, version int) ldmodel.FeatureFlag {
	return ldbuilders.NewFlagBuilder(key).Version(version).Salt("s").On(true).
		Variations(ldvalue.String("out"), ldvalue.String("in")).
		OffVariation(0).FallthroughVariation(0).
		AddRule(ldbuilders.NewRuleBuilder().ID("r").Variation(1).Clauses(ldbuilders.SegmentMatchClause("s"))).Build()
}

// flagV4 returns the same flag in v4's types.
func flagV4(key string, version int) *ld.Flag {
	out, in := 0, 1
	return &ld.Flag{
		Key: key, Version: version, On: true, OffVariation: &out, Salt: "s", Variations: []interface{}{"out", "in"},
		Fallthrough: ld.Variation{Variation: &out},
		Rules: []ld.Rule{{
			Variation: ld.Variation{Variation: &in}, ID: "r",
			Clauses: []ld.Clause{{Op: "segmentMatch", Values: []interface{}{"s"}}},
		}},
	}
}

func v7ReadsV4(t *testing.T, f *fixture) {
	v7 := f.v7(t)
	assert.False(t, v7.IsInitialized())
	written := environment("b:1")
	written[ld.Features]["a"] = flagV4("a", 3)
	written[ld.Features]["gone"] = ld.Features.MakeDeletedItem("gone", 2)
	require.NoError(t, f.store.Init(written))
	require.NoError(t, f.store.Delete(ld.Features, "b", 2))
	require.NoError(t, f.store.Upsert(ld.Segments, &ld.Segment{Key: "t", Version: 1, Excluded: []string{"bob"}}))
	require.NoError(t, f.store.Delete(ld.Segments, "t", 2))
	assert.True(t, v7.IsInitialized())

	items := readV7(t, v7, features)
	require.Len(t, items, 3)
	assert.Nil(t, items["b"])
	assert.Nil(t, items["gone"])
	a := items["a"].(*ldmodel.FeatureFlag)
	assert.True(t, a.On)
	assert.Equal(t, []ldvalue.Value{ldvalue.String("out"), ldvalue.String("in")}, a.Variations)
	assert.Equal(t, ldmodel.OperatorSegmentMatch, a.Rules[0].Clauses[0].Op)
	items = readV7(t, v7, segments)
	require.Len(t, items, 2)
	assert.Nil(t, items["t"])
	assert.Equal(t, []string{"alice"}, items["s"].(*ldmodel.Segment).Included)
}

func v4ReadsV7(t *testing.T, f *fixture) {
	v7 := f.v7(t)
	all := collections("a:3", "b:1")
	all[1].Items = append(all[1].Items,
		st.KeyedSerializedItemDescriptor{Key: "gone", Item: serialized(features, 2, nil)})
	require.NoError(t, v7.Init(all))
	_, err := v7.Upsert(features, "b", serialized(features, 2, nil))
	require.NoError(t, err)
	_, err = v7.Upsert(segments, "t", serialized(segments, 1, nil))
	require.NoError(t, err)
	assert.True(t, f.store.Initialized())

	assert.Equal(t, []string{"a:3"}, flags(t, f.store))
	for _, key := range []string{"b", "gone"} {
		got, err := f.store.Get(ld.Features, key)
		require.NoError(t, err)
		assert.True(t, isNil(got))
	}
	items, err := f.store.All(ld.Segments)
	require.NoError(t, err)
	require.Len(t, items, 1)
	assert.Equal(t, []string{"alice"}, items["s"].(*ld.Segment).Included)
}

// The newer version is kept, no matter which SDK wrote it.
func inTurns(t *testing.T, f *fixture) {
	v7 := f.v7(t)
	upsertV7 := func(version int) bool {
		t.Helper()
		item := flagV7("a", version)
		written, err := v7.Upsert(features, "a", serialized(features, version, &item))
		require.NoError(t, err)
		return written
	}
	require.NoError(t, v7.Init(collections("a:5", "b:5")))
	require.NoError(t, f.store.Upsert(ld.Features, flag("a:4")))
	assert.Equal(t, []string{"a:5", "b:5"}, flags(t, f.store))
	require.NoError(t, f.store.Upsert(ld.Features, flag("a:6")))
	assert.False(t, upsertV7(6))
	assert.True(t, upsertV7(7))
	require.NoError(t, f.store.Delete(ld.Features, "a", 8))
	assert.False(t, upsertV7(8), "v4's deletion is kept")
	assert.True(t, upsertV7(9))
	_, err := v7.Upsert(features, "a", serialized(features, 10, nil))
	require.NoError(t, err)
	require.NoError(t, f.store.Upsert(ld.Features, flag("a:10")))
	assert.Equal(t, []string{"b:5"}, flags(t, f.store), "v7's deletion")
}

// Init removes rows that the other SDK wrote. It does not change warmflags' own rows.
func initsInTurns(t *testing.T, f *fixture) {
	v7 := f.v7(t)
	environment7 := &table.Environment{Client: f.API, Table: f.Name, Prefix: f.prefix}
	token, err := environment7.TakeToken(t.Context())
	require.NoError(t, err)
	require.NoError(t, f.store.Init(environment("a:5", "b:5")))
	require.NoError(t, v7.Init(collections("b:6", "c:1")))
	assert.Equal(t, []string{"b:6", "c:1"}, flags(t, f.store))
	require.NoError(t, f.store.Init(environment("c:1", "d:1")))
	items := readV7(t, v7, features)
	require.Len(t, items, 2)
	assert.Contains(t, items, "c")
	assert.Contains(t, items, "d")
	next, err := environment7.TakeToken(t.Context())
	require.NoError(t, err)
	assert.Equal(t, token+1, next, "v4's Init does not change the fencing token")
}

// SDKs for other languages escape different characters than Go.
func escapes(t *testing.T, f *fixture) {
	const value, escaped = "😀 & <b> \u2028 é", `\ud83d\ude00 & \u003cb\u003e \u2028 \u00e9`
	namespace := "features"
	if f.prefix != "" {
		namespace = f.prefix + ":" + namespace
	}
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	_, err := f.API.PutItem(t.Context(),
		&dynamodb.PutItemInput{TableName: &f.Name, Item: map[string]types.AttributeValue{
			"namespace": text(namespace), "key": text("a"), "version": &types.AttributeValueMemberN{Value: "1"},
			"item": text(`{"key": "a", "version": 1, "variations": ["` + escaped + `"],
				"offVariation": 0, "salt": "s"}`),
		}})
	require.NoError(t, err)
	got, err := ld.Evaluate(f.store, "a", "alice")
	require.NoError(t, err)
	assert.Equal(t, value, got)

	item, err := f.store.Get(ld.Features, "a")
	require.NoError(t, err)
	item.(*ld.Flag).Version = 2
	require.NoError(t, f.store.Upsert(ld.Features, item))
	read := readV7(t, f.v7(t), features)["a"].(*ldmodel.FeatureFlag)
	assert.Equal(t, ldvalue.String(value), read.Variations[0])
	assert.Equal(t, 2, read.Version)
}

// Both SDKs evaluate a flag to the same value, no matter which one wrote it.
func evaluateAlike(t *testing.T, f *fixture) {
	v7 := f.v7(t)
	require.NoError(t, v7.Init(collections("by-v7:1", "by-both:1")))
	require.NoError(t, f.store.Upsert(ld.Features, flagV4("by-v4", 1)))
	require.NoError(t, f.store.Upsert(ld.Features, flagV4("by-both", 2)))
	require.NoError(t, f.store.Upsert(ld.Features,
		&ld.Flag{Key: "off", Version: 1, Variations: []interface{}{true}, OffVariation: new(int)}))

	client := NewV7Client(t,
		ldcomponents.PersistentDataStore(dynamostore.DataStore(f.Name).Prefix(f.prefix).Client(f.API)).NoCaching())
	for _, key := range []string{"by-v7", "by-both", "by-v4", "off", "none"} {
		for _, user := range []string{"alice", "bob"} {
			v4, err := ld.Evaluate(f.store, key, user)
			require.NoError(t, err)
			want, err := json.Marshal(v4)
			require.NoError(t, err)
			assert.Equal(t, string(want), Evaluate(client, key, user), "flag %q for %s", key, user)
		}
	}
	assert.Equal(t, `"in"`, Evaluate(client, "by-v4", "alice"))
	assert.Equal(t, `"out"`, Evaluate(client, "by-v4", "bob"))
}

// NewV7Client returns a client of LaunchDarkly's SDK v7 in daemon mode. It is closed at the end of the test.
func NewV7Client(t *testing.T, store subsystems.ComponentConfigurer[subsystems.DataStore]) *sdk.LDClient {
	t.Helper()
	client, err := sdk.MakeCustomClient("sdk-key", sdk.Config{
		DataSource: ldcomponents.ExternalUpdatesOnly(), DataStore: store, Events: ldcomponents.NoEvents(),
		DiagnosticOptOut: true, Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Evaluate returns a flag's value in v7 for a user, as JSON, or "null" if there is no such flag.
func Evaluate(client *sdk.LDClient, key, user string) string {
	// the only possible error: there is no such flag
	value, _ := client.JSONVariation(key, ldcontext.New(user), ldvalue.Null())
	return value.JSONString()
}
