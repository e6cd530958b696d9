package table_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/spy"
	"github.com/warmflags/warmflags/internal/table"
)

func TestEqualJSONIsUnchanged(t *testing.T) {
	api := spy.New()
	s := open(api, "")
	item := func(json string) []table.Collection {
		return []table.Collection{{Kind: features, Items: []table.Item{
			{Key: "a", Version: 1, JSON: json}}}}
	}
	require.NoError(t, initialize(t, s, item(`{"a": 1, "b": [2]}`)))
	for json, same := range map[string]bool{
		`{"b":[2],"a":1}`:  true,
		`{"b":[2],"a":2}`:  false,
		`not JSON`:         false,
		`{"a":1,"b":[2]}}`: false,
		`{"a":1}`:          false,
	} {
		d, err := s.Compare(t.Context(), item(json))
		require.NoError(t, err)
		assert.Equal(t, same, len(d.Unchanged) == 1, json)
		assert.Equal(t, !same, len(d.Updated) == 1, json)
	}
	big := `{"a":9007199254740993}`
	require.NoError(t, initialize(t, s, item(big)))
	d, err := s.Compare(t.Context(), item(`{"a":9007199254740992}`))
	require.NoError(t, err)
	assert.Len(t, d.Updated, 1, "different numbers that are equal as float64")
}

func TestCompareSaysWhatDiffers(t *testing.T) {
	api := spy.New()
	s := open(api, "")
	require.NoError(t, initialize(t, s, data("same:1", "newer:1", "lower:5", "gone:3", "gone2:1")))
	_, err := s.Upsert(t.Context(), features, tombstone("gone", 4))
	require.NoError(t, err)
	api.Reset()

	all := data("same:1", "newer:2", "lower:4", "added:1", "added:2")
	all[1].Items = append(all[1].Items, table.Item{Key: "huge", JSON: strings.Repeat("x", 400*1024)}, item("", 1),
		tombstone("deleted", 2))
	d, err := s.Compare(t.Context(), all)
	require.NoError(t, err)
	assert.Equal(t, 0, api.Writes())
	assert.Equal(t, []string{"everyone", "same"}, keys(d.Unchanged))
	assert.Equal(t,
		[]table.Entry{{Kind: "features", Key: "added", Version: 2, Was: -1},
			{Kind: "features", Key: "deleted", Version: 2, Was: -1, Deleted: true}},
		bare(d.Added), "of two items with one key, the last counts")
	assert.Equal(t, []table.Entry{{Kind: "features", Key: "newer", Version: 2, Was: 1}}, bare(d.Updated))
	assert.Equal(t, []table.Entry{{Kind: "features", Key: "lower", Version: 4, Was: 5}}, bare(d.Lower))
	assert.Equal(t, []table.Entry{
		{Kind: "features", Key: "gone", Version: -1, Was: 4, Deleted: true},
		{Kind: "features", Key: "gone2", Version: -1, Was: 1},
	}, bare(d.Removed))
	require.Len(t, d.Refused, 2)
	assert.Contains(t, d.Refused[0].Reason, "DynamoDB's limit is 409600")
	assert.Contains(t, d.Refused[1].Reason, "key is empty")

	written, err := s.Write(t.Context(), d, table.WriteOptions{})
	require.NoError(t, err)
	assert.Equal(t, table.Written{Transactions: 1}, written)
	assert.Equal(t, map[string]int{"same": 1, "newer": 2, "lower": 5, "added": 2, "deleted": 2}, flags(t, s),
		"lower is held back")
	require.NoError(t, initialize(t, s, data("lower:4")), "Init also writes lower versions")
	assert.Equal(t, map[string]int{"lower": 4}, flags(t, s))
}

// Another program may write the version as text, as a fraction, or not at all. LaunchDarkly's SDKs then use the
// version in the JSON.
func TestRowsOfOtherWriters(t *testing.T) {
	for name, version := range map[string]table.Row{
		"text":     {"version": table.Text("5")},
		"fraction": {"version": &types.AttributeValueMemberN{Value: "5.5"}},
		"missing":  {},
	} {
		t.Run(name, func(t *testing.T) {
			api := spy.New()
			e := open(api, "")
			put := func() {
				row := table.Row{"item": table.Text(item("a", 5).JSON)}
				maps.Copy(row, version)
				api.Put(t, features, "a", row)
			}
			put()
			r, err := e.ReadRow(t.Context(), features, "a")
			require.NoError(t, err)
			got, err := table.ParseRow(r)
			require.NoError(t, err)
			assert.Equal(t, 5, got.Version)

			d, err := e.Compare(t.Context(), data("a:5"))
			require.NoError(t, err)
			assert.Equal(t, []table.Entry{{Kind: features, Key: "a", Version: 5, Was: 5}},
				bare(d.Updated), "never equal")
			d, err = e.Compare(t.Context(), data("a:4"))
			require.NoError(t, err)
			assert.Equal(t, []string{"a"}, keys(d.Lower))
			require.NoError(t, initialize(t, e, data("a:5")))
			assert.Equal(t, table.Number(5), api.Row(t, features, "a")["version"])
			put()
			updated, err := e.Upsert(t.Context(), features, item("a", 6))
			require.NoError(t, err)
			assert.True(t, updated)
			assert.Equal(t, table.Number(6), api.Row(t, features, "a")["version"])
		})
	}
}

func TestAFractionIsComparedAsANumber(t *testing.T) {
	api := spy.New()
	api.Put(t, features, "a",
		table.Row{"version": &types.AttributeValueMemberN{Value: "5.5"}, "item": table.Text("{}")})
	for version, want := range map[int]bool{5: false, 6: true} {
		updated, err := open(api, "").Upsert(t.Context(), features, item("a", version))
		require.NoError(t, err)
		assert.Equal(t, want, updated)
		api.Put(t, features, "a",
			table.Row{"version": &types.AttributeValueMemberN{Value: "5.5"}, "item": table.Text("{}")})
	}
}

// A key that was created again starts at version 1, below its tombstone.
func TestATombstoneIsReplacedByALowerVersion(t *testing.T) {
	for name, dead := range map[string]table.Row{
		"an SDK's": {"version": table.Number(7),
			"item": table.Text(`{"key":"$deleted","version":7,"deleted":true}`)},
		"Java's":         {"version": table.Number(7), "item": table.Text("null")},
		"with an escape": {"version": table.Number(7), "item": table.Text(`{"\u0064eleted":true}`)},
	} {
		t.Run(name, func(t *testing.T) {
			api := spy.New()
			e := open(api, "")
			api.Put(t, features, "a", dead)
			lower, err := e.CompareItems(t.Context(),
				[]table.Collection{{Kind: features, Items: []table.Item{tombstone("a", 3)}}})
			require.NoError(t, err)
			assert.Len(t, lower.Lower, 1, "a lower tombstone is not written over a tombstone")
			d, err := e.Compare(t.Context(), data("a:1"))
			require.NoError(t, err)
			assert.Equal(t, []table.Entry{{Kind: features, Key: "a", Version: 1, Was: 7}}, bare(d.Updated))
			_, err = e.Write(t.Context(), d, table.WriteOptions{})
			require.NoError(t, err)
			assert.Equal(t, map[string]int{"a": 1}, flags(t, e))
		})
	}
}

// An item with a Reason is refused, and its old row is not removed.
func TestAReasonKeepsTheOldRow(t *testing.T) {
	e := open(spy.New(), "")
	require.NoError(t, initialize(t, e, data("a:1", "b:1")))
	all := data("b:2")
	all[1].Items = append(all[1].Items, table.Item{Key: "a", Reason: "it has no version"})
	d, err := e.Compare(t.Context(), all)
	require.NoError(t, err)
	assert.Equal(t, "it has no version", d.Refused[0].Reason)
	_, err = e.Write(t.Context(), d, table.WriteOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 2}, flags(t, e))
}
