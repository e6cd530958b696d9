package operate_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
)

// shelf is a table of the embedded engine, with one environment.
type shelf struct {
	*table.Environment
	cloud *localaws.Cloud
}

func newShelf(t *testing.T) *shelf {
	cloud := localaws.New()
	t.Cleanup(cloud.Close)
	cloud.CreateFlagTable("flags")
	return &shelf{&table.Environment{Client: cloud.DynamoDB, Table: "flags"}, cloud}
}

func (s *shelf) put(t *testing.T, kind, key string, version int, json string) {
	row := table.Key(s.Namespace(kind), key)
	row[layout.AttrVersion], row[layout.AttrItem] = table.Number(int64(version)), table.Text(json)
	_, err := s.cloud.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: row})
	require.NoError(t, err)
}

func (s *shelf) find(t *testing.T, launchDarkly ...table.Item) *operate.Item {
	i, err := operate.FindItem(t.Context(), s.Environment, "eu-west-1", operate.Features, "f",
		[]table.Collection{{Kind: operate.Features, Items: launchDarkly}})
	require.NoError(t, err)
	return i
}

func TestFindItemComparesWithLaunchDarkly(t *testing.T) {
	const (
		v1      = `{"key":"f","version":1,"on":true}`
		v1Other = `{"key":"f","version":1,"on":false}`
		v2      = `{"key":"f","version":2}`
		deleted = `{"key":"f","version":2,"deleted":true}`
	)
	for name, c := range map[string]struct {
		row, there string // empty: none
		want       string // part of the difference; empty: equal
	}{
		"equal":               {v1, `{"version":1,"on":true,"key":"f"}`, ""},
		"older":               {v1, v2, "the table is older"},
		"newer":               {v2, v1, "the table is newer"},
		"other content":       {v1, v1Other, "the versions are equal and the content differs"},
		"not in the table":    {"", v1, "the table lacks it"},
		"only in the table":   {v1, "", "LaunchDarkly does not have it"},
		"neither":             {"", "", ""},
		"tombstone":           {deleted, "", ""},
		"tombstone and again": {deleted, v2, "the table lacks it"},
		"both tombstones":     {deleted, deleted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			if c.row != "" {
				version, err := table.VersionOf(c.row)
				require.NoError(t, err)
				s.put(t, operate.Features, "f", version, c.row)
			}
			var there []table.Item
			if c.there != "" {
				there = append(there, table.NewItem("f", c.there))
			}
			before := s.cloud.Calls("GetItem")
			i := s.find(t, there...)
			assert.Equal(t, 2, s.cloud.Calls("GetItem")-before, "the row and the journal")
			assert.Equal(t, c.want == "", *i.Equal)
			assert.Contains(t, i.Difference, c.want)
			assert.Equal(t, c.row == "", !i.Row.Exists)
		})
	}
	s := newShelf(t)
	i, err := operate.FindItem(t.Context(), s.Environment, "eu-west-1", operate.Features, "f", nil)
	require.NoError(t, err)
	assert.Nil(t, i.Equal, "LaunchDarkly was not asked")
}

func TestFindItemSaysWhatTheJournalAnnounced(t *testing.T) {
	s := newShelf(t)
	assert.Nil(t, s.find(t).Journal.Announced)
	assert.Contains(t, s.find(t).Journal.Words, "there is no journal")
	writer := journal.Writer{Client: s.cloud.DynamoDB, Table: "flags", Region: "eu-west-1"}
	announce := func(changes ...change.Change) {
		require.NoError(t, writer.Append(t.Context(), []change.Message{{Changes: changes}}))
	}
	announce(change.Change{Kind: change.KindFeatures, Key: "another", Version: 1},
		change.Change{Kind: operate.Segments, Key: "f", Version: 3})
	s.put(t, operate.Features, "f", 3, `{"key":"f","version":3}`)
	assert.Nil(t, s.find(t).Journal.Announced, "a segment of that key is another item")
	announce(change.Change{Kind: change.KindFeatures, Key: "f", Version: 2})
	assert.False(t, *s.find(t).Journal.Announced)
	announce(change.Change{Kind: change.KindFeatures, Key: "f", Version: 3})
	found := s.find(t).Journal
	assert.True(t, *found.Announced)
	assert.EqualValues(t, 4, found.Seq)
	announce(change.Change{Kind: change.KindFeatures, Key: "f"})
	found = s.find(t).Journal
	assert.Nil(t, found.Announced, "an invalidation by hand, or a stream without versions")
	assert.EqualValues(t, 5, found.Seq)
	assert.Equal(t, "a change of unknown version is announced: change 5 of 5", found.Words)
	announce(change.Change{Kind: change.KindFeatures, Key: "f", Version: 4, Deleted: true})
	assert.False(t, *s.find(t).Journal.Announced)
	s.put(t, operate.Features, "f", 4, `{"key":"f","version":4,"deleted":true}`)
	assert.True(t, *s.find(t).Journal.Announced)
	announce(change.Change{Kind: change.KindFeatures, Key: "f", Deleted: true})
	assert.True(t, *s.find(t).Journal.Announced, "a deletion needs no version")
	announce(change.Change{Kind: change.KindFeatures, Key: "f"})
	assert.Nil(t, s.find(t).Journal.Announced, "the stream has no versions and no tombstones")
}

func TestClosest(t *testing.T) {
	names := []string{"checkout-v2", "checkout-v1", "new-search", "search", "dark-mode", "x"}
	for mistyped, want := range map[string][]string{
		"chekout-v2": {"checkout-v2", "checkout-v1"},
		"SEARCH":     {"search", "new-search"},
		"darkmode":   {"dark-mode"},
		"billing":    {},
		"checkout":   {"checkout-v1", "checkout-v2"},
	} {
		assert.Equal(t, want, operate.Closest(mistyped, names), mistyped)
	}
}
