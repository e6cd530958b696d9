package suite

import (
	"fmt"
	"log"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
)

// Table is an empty table of LaunchDarkly's schema.
type Table struct {
	Name string
	// API is dynamostore's client of the table.
	API dynamostore.API
	// V4 returns the store under test, for the environment with this prefix. The store's client calls beforeWrite,
	// unless it is nil, before each call that writes.
	V4 func(prefix string, beforeWrite func()) ld.FeatureStore
}

// fixture is one environment in its own table.
type fixture struct {
	Table
	prefix string
	store  ld.FeatureStore
}

// Run runs all cases, without a prefix and with one. Each case gets its own table.
func Run(t *testing.T, newTable func(*testing.T) Table) {
	cases := map[string]func(*testing.T, *fixture){
		"initialized":                initialized,
		"init replaces all":          initReplaces,
		"init of many":               initOfMany,
		"get":                        get,
		"all omits deleted items":    all,
		"upsert":                     upsert,
		"delete":                     deletes,
		"prefixes are independent":   prefixes,
		"concurrent upserts":         upsertsRace,
		"upsert during an init":      initAgainstUpsert,
		"deletion during an init":    initAgainstDeletion,
		"item that is too large":     tooLarge,
		"v7 reads what v4 wrote":     v7ReadsV4,
		"v4 reads what v7 wrote":     v4ReadsV7,
		"v4 and v7 alternate":        inTurns,
		"escaped characters":         escapes,
		"v4 and v7 evaluate equally": evaluateAlike,
		"v4's and v7's Init":         initsInTurns,
	}
	for _, prefix := range []string{"", "test"} {
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			t.Run(fmt.Sprintf("prefix %q/%s", prefix, name), func(t *testing.T) {
				table := newTable(t)
				cases[name](t, &fixture{Table: table, prefix: prefix, store: table.V4(prefix, nil)})
			})
		}
	}
}

// data is the parameter of Init.
type data = map[ld.VersionedDataKind]map[string]ld.VersionedData

// environment returns flags, given as "key:version", and the segment "s".
func environment(flags ...string) data {
	all := data{ld.Segments: {"s": &ld.Segment{Key: "s", Version: 1, Included: []string{"alice"}}}, ld.Features: {}}
	for _, word := range flags {
		f := flag(word)
		all[ld.Features][f.Key] = f
	}
	return all
}

// flag returns a flag, given as "key:version".
func flag(word string) *ld.Flag {
	key, number, _ := strings.Cut(word, ":")
	f := &ld.Flag{Key: key, Salt: "s", Variations: []interface{}{"off", "on"}}
	_, _ = fmt.Sscan(number, &f.Version)
	return f
}

// flags returns a store's flags as "key:version", in order. It checks that Get returns the same items.
func flags(t *testing.T, store ld.FeatureStore) []string {
	t.Helper()
	items, err := store.All(ld.Features)
	require.NoError(t, err)
	words := []string{}
	for key, item := range items {
		require.Equal(t, key, item.GetKey())
		same, err := store.Get(ld.Features, key)
		require.NoError(t, err)
		require.Equal(t, item, same)
		words = append(words, fmt.Sprintf("%s:%d", key, item.GetVersion()))
	}
	slices.Sort(words)
	return words
}

// isNil reports whether an item is nil for go-client.v4, which compares interfaces: a nil *Flag would be an item.
func isNil(item ld.VersionedData) bool { return item == nil }

// once returns a hook that calls f before a store's first write only.
func once(f func()) func() {
	done := false
	return func() {
		if !done {
			done = true
			f()
		}
	}
}

func initialized(t *testing.T, f *fixture) {
	assert.False(t, f.store.Initialized())
	require.NoError(t, f.store.Upsert(ld.Features, flag("a:1")))
	assert.False(t, f.store.Initialized(), "a single item is not a data set")
	require.NoError(t, f.V4(f.prefix, nil).Init(environment()))
	assert.True(t, f.V4(f.prefix, nil).Initialized(), "by another process; f.store may have cached false")
	assert.False(t, f.V4("other", nil).Initialized())
}

func initReplaces(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("a:1", "b:7", "c:1")))
	assert.Equal(t, []string{"a:1", "b:7", "c:1"}, flags(t, f.store))
	next := environment("b:2", "d:1")
	next[ld.Segments] = map[string]ld.VersionedData{"z": &ld.Segment{Key: "z", Version: 3}}
	require.NoError(t, f.store.Init(next))
	assert.Equal(t, []string{"b:2", "d:1"}, flags(t, f.store), "including a lower version")
	segments, err := f.store.All(ld.Segments)
	require.NoError(t, err)
	assert.Equal(t, map[string]ld.VersionedData{"z": &ld.Segment{Key: "z", Version: 3}}, segments)

	changed := flag("b:2")
	changed.Salt = "another"
	next[ld.Features]["b"] = changed
	require.NoError(t, f.store.Init(next))
	got, err := f.store.Get(ld.Features, "b")
	require.NoError(t, err)
	assert.Equal(t, changed, got, "including another item with the same version")
	require.NoError(t, f.store.Init(data{ld.Features: {}, ld.Segments: {}}))
	assert.Empty(t, flags(t, f.store))
	assert.True(t, f.store.Initialized())
}

func initOfMany(t *testing.T, f *fixture) {
	words := func(from, to, version int) (all []string) {
		for i := from; i < to; i++ {
			all = append(all, fmt.Sprintf("flag-%03d:%d", i, version))
		}
		return all
	}
	require.NoError(t, f.store.Init(environment(words(0, 250, 1)...)))
	assert.Equal(t, words(0, 250, 1), flags(t, f.store))
	require.NoError(t, f.store.Init(environment(words(140, 260, 2)...)))
	assert.Equal(t, words(140, 260, 2), flags(t, f.store))
}

func get(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("a:1")))
	got, err := f.store.Get(ld.Features, "a")
	require.NoError(t, err)
	assert.Equal(t, flag("a:1"), got)
	for _, key := range []string{"none", "s", ""} {
		got, err = f.store.Get(ld.Features, key)
		require.NoError(t, err, "key %q", key)
		assert.True(t, isNil(got), "key %q", key)
	}
	got, err = f.store.Get(ld.Segments, "s")
	require.NoError(t, err)
	assert.Equal(t, []string{"alice"}, got.(*ld.Segment).Included)
}

func all(t *testing.T, f *fixture) {
	items, err := f.store.All(ld.Features)
	require.NoError(t, err)
	assert.Empty(t, items)
	withTombstone := environment("a:1", "b:1")
	withTombstone[ld.Features]["c"] = ld.Features.MakeDeletedItem("c", 4)
	require.NoError(t, f.store.Init(withTombstone))
	require.NoError(t, f.store.Delete(ld.Features, "b", 2))
	assert.Equal(t, []string{"a:1"}, flags(t, f.store))
	for _, key := range []string{"b", "c"} {
		got, err := f.store.Get(ld.Features, key)
		require.NoError(t, err)
		assert.True(t, isNil(got))
	}
	require.NoError(t, f.store.Upsert(ld.Features, flag("c:3")))
	assert.Equal(t, []string{"a:1"}, flags(t, f.store), "Init's tombstone is newer")
}

func upsert(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("a:5")))
	for _, step := range []struct {
		item, why string
		want      []string
	}{
		{"a:4", "older", []string{"a:5"}},
		{"a:6", "newer", []string{"a:6"}},
		{"b:1", "new", []string{"a:6", "b:1"}},
	} {
		require.NoError(t, f.store.Upsert(ld.Features, flag(step.item)))
		assert.Equal(t, step.want, flags(t, f.store), step.why)
	}
	same := flag("a:6")
	same.Salt = "another"
	require.NoError(t, f.store.Upsert(ld.Features, same))
	got, err := f.store.Get(ld.Features, "a")
	require.NoError(t, err)
	assert.Equal(t, flag("a:6"), got, "the same version")
	require.NoError(t, f.store.Upsert(ld.Segments, &ld.Segment{Key: "a", Version: 1}))
	assert.Equal(t, []string{"a:6", "b:1"}, flags(t, f.store), "another kind")
}

func deletes(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("a:5", "b:5")))
	require.NoError(t, f.store.Delete(ld.Features, "a", 4))
	assert.Equal(t, []string{"a:5", "b:5"}, flags(t, f.store), "older")
	require.NoError(t, f.store.Delete(ld.Features, "a", 6))
	assert.Equal(t, []string{"b:5"}, flags(t, f.store), "newer")
	require.NoError(t, f.store.Upsert(ld.Features, flag("a:6")))
	assert.Equal(t, []string{"b:5"}, flags(t, f.store), "the deletion is kept")
	require.NoError(t, f.store.Upsert(ld.Features, flag("a:7")))
	assert.Equal(t, []string{"a:7", "b:5"}, flags(t, f.store), "a newer version is written")
	require.NoError(t, f.store.Delete(ld.Features, "unknown", 3))
	require.NoError(t, f.store.Upsert(ld.Features, flag("unknown:2")))
	assert.Equal(t, []string{"a:7", "b:5"}, flags(t, f.store), "the deletion of an unknown flag is kept")
}

func prefixes(t *testing.T, f *fixture) {
	other := f.V4("other", nil)
	require.NoError(t, f.store.Init(environment("a:1", "b:1")))
	require.NoError(t, other.Init(environment("b:9", "c:1")))
	require.NoError(t, other.Delete(ld.Features, "c", 2))
	require.NoError(t, other.Upsert(ld.Features, flag("a:8")))
	assert.Equal(t, []string{"a:1", "b:1"}, flags(t, f.store))
	require.NoError(t, f.store.Init(environment()))
	assert.Equal(t, []string{"a:8", "b:9"}, flags(t, other))
}

func upsertsRace(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("a:1")))
	slow := f.V4(f.prefix, once(func() { require.NoError(t, f.store.Upsert(ld.Features, flag("a:3"))) }))
	require.NoError(t, slow.Upsert(ld.Features, flag("a:2")))
	assert.Equal(t, []string{"a:3"}, flags(t, f.store))
	slow = f.V4(f.prefix, once(func() { require.NoError(t, f.store.Upsert(ld.Features, flag("a:4"))) }))
	require.NoError(t, slow.Upsert(ld.Features, flag("a:5")))
	assert.Equal(t, []string{"a:5"}, flags(t, f.store))
}

// Other processes write between Init's reads and its transaction. Items that are at least as new as Init's are kept;
// older ones are replaced.
func initAgainstUpsert(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("older:1", "newer:1", "gone:1", "gone-newer:1")))
	slow := f.V4(f.prefix, once(func() {
		for _, word := range []string{"older:4", "newer:6", "new:6", "gone-newer:2"} {
			require.NoError(t, f.store.Upsert(ld.Features, flag(word)))
		}
	}))
	require.NoError(t, slow.Init(environment("older:5", "newer:5", "new:5", "more:5")))
	assert.Equal(t, []string{"gone-newer:2", "more:5", "new:6", "newer:6", "older:5"}, flags(t, f.store))
}

func initAgainstDeletion(t *testing.T, f *fixture) {
	require.NoError(t, f.store.Init(environment("a:1", "b:1")))
	slow := f.V4(f.prefix, once(func() {
		require.NoError(t, f.store.Delete(ld.Features, "a", 6))
		require.NoError(t, f.store.Init(environment("a:6"))) // removes b's row
	}))
	require.NoError(t, slow.Init(environment("a:5", "b:5")))
	assert.Equal(t, []string{"a:6", "b:5"}, flags(t, f.store))
}

// If an item is too large for DynamoDB, its old row is kept and the other items are written.
func tooLarge(t *testing.T, f *fixture) {
	was, out := slog.Default(), log.Writer()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // a warning is logged; SetDefault also redirects package log
	t.Cleanup(func() { slog.SetDefault(was); log.SetOutput(out) })
	require.NoError(t, f.store.Init(environment("a:1", "b:1")))
	large := environment("b:2")
	a := flag("a:2")
	a.Salt = strings.Repeat("x", 400*1024)
	large[ld.Features]["a"] = a
	require.NoError(t, f.store.Init(large))
	assert.Equal(t, []string{"a:1", "b:2"}, flags(t, f.store))
	require.NoError(t, f.store.Upsert(ld.Features, a))
	assert.Equal(t, []string{"a:1", "b:2"}, flags(t, f.store))
}
