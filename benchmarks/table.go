package benchmarks

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// FlagCount and SegmentCount are the numbers of flags and segments in the table.
const (
	FlagCount    = 500
	SegmentCount = 50
)

type rows = map[string]ldstoretypes.SerializedItemDescriptor

// Table is the shared table, in memory: it holds LaunchDarkly's JSON, and counts its reads.
type Table struct {
	rows           perKind[atomic.Pointer[rows]] // a published map never changes
	items, queries atomic.Int64                  // reads so far
	pause          time.Duration                 // the time of a read; never changes
}

// NewTable makes a full table whose reads take this long.
func NewTable(pause time.Duration) *Table {
	t := &Table{pause: pause}
	t.rows.features.Store(&rows{})
	t.rows.segments.Store(&rows{})
	for i := range FlagCount {
		t.PutFlag(i, 1)
	}
	for i := range SegmentCount {
		s := ldbuilders.NewSegmentBuilder(SegmentKey(i)).Version(1).Salt("salt").Included("a", "b", "c").Build()
		t.put(segments, s.Key, ldstoretypes.ItemDescriptor{Version: 1, Item: &s})
	}
	return t
}

// FlagKey returns the key of flag i: a new string at each call, because callers' strings are not the cache's own.
func FlagKey(i int) string { return fmt.Sprintf("checkout-feature-%03d", i) }

// SegmentKey returns the key of segment i, like [FlagKey].
func SegmentKey(i int) string { return fmt.Sprintf("segment-%03d", i) }

// Reference is one key of the rotation.
type Reference struct {
	Kind ldstoretypes.DataKind
	Key  string
}

// Rotation returns 500 keys of both kinds: every tenth is a segment.
func Rotation() []Reference {
	rotation := make([]Reference, FlagCount)
	for i := range rotation {
		rotation[i] = Reference{features, FlagKey(i)}
		if i%10 == 9 {
			rotation[i] = Reference{segments, SegmentKey(i / 10)}
		}
	}
	return rotation
}

// User is the context in which flags are evaluated.
func User() ldcontext.Context {
	return ldcontext.NewBuilder("user-12345").SetString("plan", "free").SetString("country", "DE").Build()
}

// PutFlag writes flag i. Every fifth has a rule on an attribute, every tenth one on a segment; none matches [User].
func (t *Table) PutFlag(i, version int) {
	b := ldbuilders.NewFlagBuilder(FlagKey(i)).Version(version).On(true).Salt("salt").
		Variations(ldvalue.Bool(false), ldvalue.Bool(true)).OffVariation(0).FallthroughVariation(1).
		AddTarget(0, "a", "b", "c")
	if i%5 == 0 {
		b.AddRule(ldbuilders.NewRuleBuilder().ID("rule-1").Variation(0).
			Clauses(ldbuilders.Clause("plan", ldmodel.OperatorIn, ldvalue.String("pro"), ldvalue.String("enterprise"))))
	}
	if i%10 == 0 {
		b.AddRule(ldbuilders.NewRuleBuilder().ID("rule-2").Variation(0).
			Clauses(ldbuilders.SegmentMatchClause(SegmentKey(i / 10))))
	}
	flag := b.Build()
	t.put(features, flag.Key, ldstoretypes.ItemDescriptor{Version: version, Item: &flag})
}

// put is not safe for concurrent use.
func (t *Table) put(kind ldstoretypes.DataKind, key string, item ldstoretypes.ItemDescriptor) {
	next := maps.Clone(*t.rows.of(kind).Load())
	next[key] = ldstoretypes.SerializedItemDescriptor{Version: item.Version, SerializedItem: kind.Serialize(item)}
	t.rows.of(kind).Store(&next)
}

// Reads returns the numbers of reads so far, of items and of whole collections.
func (t *Table) Reads() (items, queries int) { return int(t.items.Load()), int(t.queries.Load()) }

func (t *Table) read(kind ldstoretypes.DataKind, counter *atomic.Int64) rows {
	counter.Add(1)
	found := *t.rows.of(kind).Load()
	if t.pause > 0 {
		time.Sleep(t.pause)
	}
	return found
}

// Get implements [subsystems.PersistentDataStore].
func (t *Table) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.SerializedItemDescriptor, error) {
	if raw, ok := t.read(kind, &t.items)[key]; ok {
		return raw, nil
	}
	return ldstoretypes.SerializedItemDescriptor{}.NotFound(), nil
}

// GetAll implements [subsystems.PersistentDataStore].
func (t *Table) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, error) {
	found := t.read(kind, &t.queries)
	items := make([]ldstoretypes.KeyedSerializedItemDescriptor, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) { // in the order of DynamoDB
		items = append(items, ldstoretypes.KeyedSerializedItemDescriptor{Key: key, Item: found[key]})
	}
	return items, nil
}

// Build implements [subsystems.ComponentConfigurer].
func (t *Table) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	return t, nil
}

// Init implements [subsystems.PersistentDataStore]: daemon mode never calls it.
func (t *Table) Init([]ldstoretypes.SerializedCollection) error { return nil }

// Upsert implements [subsystems.PersistentDataStore]: daemon mode never calls it.
func (t *Table) Upsert(ldstoretypes.DataKind, string, ldstoretypes.SerializedItemDescriptor) (bool, error) {
	return false, nil
}

// IsInitialized implements [subsystems.PersistentDataStore].
func (t *Table) IsInitialized() bool { return true }

// IsStoreAvailable implements [subsystems.PersistentDataStore].
func (t *Table) IsStoreAvailable() bool { return true }

// Close implements [subsystems.PersistentDataStore].
func (t *Table) Close() error { return nil }
