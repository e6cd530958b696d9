package dynamostore

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
)

var _ subsystems.PersistentDataStore = (*Store)(nil)

// readLimit is the timeout of a read in the methods of LaunchDarkly's interface that have no context.
const readLimit = 30 * time.Second

// Store reads and writes one LaunchDarkly environment in a table. Make it with [DataStore]. It is safe for concurrent
// use.
type Store struct {
	rows table.Environment
	warn func(format string, args ...any)

	inited       atomic.Bool  // the $inited marker was read or written; IsInitialized does not read it again
	brokenRows   atomic.Int64 // for Stats
	refusedItems atomic.Int64 // for Stats

	beforeUpsert func() // for tests: called before Upsert's write; set before the store is used
}

// Table returns the table's name.
func (s *Store) Table() string { return s.rows.Table }

// Prefix returns the prefix of the LaunchDarkly environment in the table. It may be empty.
func (s *Store) Prefix() string { return s.rows.Prefix }

// Stats holds counts since the store was made.
type Stats struct {
	// BrokenRows is how many rows GetAll skipped. A row counts each time it is skipped.
	BrokenRows int64
	// RefusedItems is how many items were not written because DynamoDB cannot hold them.
	RefusedItems int64
}

// Stats returns the store's counts.
func (s *Store) Stats() Stats {
	return Stats{BrokenRows: s.brokenRows.Load(), RefusedItems: s.refusedItems.Load()}
}

// Init makes the rows of the given kinds equal to the given items, whatever their versions, and marks the store as
// initialized. It writes only what differs. A row counts as equal if its version is equal and LaunchDarkly's SDK
// parses it to the same item, so that Init does not rewrite the rows that flagsync wrote as it received them. An item
// that DynamoDB cannot hold is refused: Init logs a warning with its key, leaves its old row in the table and writes
// the rest. Throttled calls are retried for up to 30 seconds each.
func (s *Store) Init(all []st.SerializedCollection) error {
	ctx := context.Background() // package table limits the time of each call
	environment := s.rows
	environment.Same = sameForSDK(all)
	d, err := environment.Compare(ctx, collections(all))
	if err != nil {
		return err
	}
	for _, i := range d.Refused {
		s.refuse(i.Kind, i.Key, i.Reason)
	}
	// By LaunchDarkly's contract, Init replaces all previous data, so lower versions are written too.
	if _, err = environment.Write(ctx, d, table.WriteOptions{Lower: true}); err != nil {
		return err
	}
	s.inited.Store(true)
	return nil
}

// collections converts the SDK's collections to the table's.
func collections(all []st.SerializedCollection) []table.Collection {
	converted := make([]table.Collection, len(all))
	for i, c := range all {
		converted[i] = table.Collection{Kind: c.Kind.GetName(), Items: make([]table.Item, len(c.Items))}
		for j, item := range c.Items {
			converted[i].Items[j] = newItem(item.Key, item.Item)
		}
	}
	return converted
}

func newItem(key string, item st.SerializedItemDescriptor) table.Item {
	return table.Item{Key: key, Version: item.Version, Deleted: item.Deleted, JSON: string(item.SerializedItem)}
}

// sameForSDK returns a function that compares an item with a row as the SDK parses the row: flagsync stores what
// LaunchDarkly sent, which can have fields, numbers and escapes that the SDK does not keep. It does not use
// withoutSurrogates, because the SDK's own stream does not either.
func sameForSDK(all []st.SerializedCollection) func(kind string, stored, item table.Item) bool {
	kinds := make(map[string]st.DataKind, len(all))
	for _, c := range all {
		kinds[c.Kind.GetName()] = c.Kind
	}
	return func(name string, stored, item table.Item) bool {
		if table.SameJSON(stored.JSON, item.JSON) {
			return true
		}
		kind := kinds[name]
		parsed, err := kind.Deserialize([]byte(stored.JSON))
		return err == nil && table.SameJSON(string(kind.Serialize(parsed)), item.JSON)
	}
}

// Get is [Store.GetContext] with a time limit of 30 seconds.
func (s *Store) Get(kind st.DataKind, key string) (st.SerializedItemDescriptor, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return s.GetContext(ctx, kind, key)
}

// GetContext reads one item with a strongly consistent read. An item that does not exist has version -1 and no JSON.
// A row that does not have LaunchDarkly's schema is an error that names the row.
func (s *Store) GetContext(ctx context.Context, kind st.DataKind, key string) (st.SerializedItemDescriptor, error) {
	notFound := st.SerializedItemDescriptor{}.NotFound()
	if key == "" {
		return notFound, nil // DynamoDB refuses to read an empty key, and no row has one
	}
	r, err := s.rows.ReadRow(ctx, kind.GetName(), key)
	if err != nil || r == nil {
		return notFound, err
	}
	item, err := table.ParseRow(r)
	if err != nil {
		return notFound, brokenRow{fmt.Errorf("read row %q %q of table %q: %w", s.rows.Namespace(kind.GetName()), key,
			s.rows.Table, err)}
	}
	return descriptor(item), nil
}

// brokenRow is the error of a row that was read but does not have LaunchDarkly's schema.
type brokenRow struct{ error }

func (err brokenRow) Unwrap() error { return err.error }

// BrokenRow distinguishes the error from a failed read, for package cachedstore.
func (brokenRow) BrokenRow() {}

// GetAll is [Store.GetAllContext] with a time limit of 30 seconds.
func (s *Store) GetAll(kind st.DataKind) ([]st.KeyedSerializedItemDescriptor, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return s.GetAllContext(ctx, kind)
}

// GetAllContext reads all items of a kind, including tombstones, with strongly consistent reads. Rows that do not
// have LaunchDarkly's schema are skipped: one warning names them, and [Stats] counts them.
func (s *Store) GetAllContext(ctx context.Context, kind st.DataKind) ([]st.KeyedSerializedItemDescriptor, error) {
	items, _, err := s.GetAllAndBroken(ctx, kind)
	return items, err
}

// GetAllAndBroken is [Store.GetAllContext] and also returns the skipped rows' errors by key; nil if no row was
// skipped. With them, package cachedstore serves the last known values of these items.
func (s *Store) GetAllAndBroken(
	ctx context.Context, kind st.DataKind,
) (items []st.KeyedSerializedItemDescriptor, broken map[string]error, err error) {
	var rows []string
	// No retries: a cache waits for this read and handles failures itself.
	err = s.rows.EachRow(ctx, kind.GetName(), func(key string, r table.Row) {
		item, err := table.ParseRow(r)
		if err != nil {
			if broken == nil {
				broken = map[string]error{}
			}
			broken[key] = err
			rows = append(rows, fmt.Sprintf("%q: %v", key, err))
			return
		}
		items = append(items, st.KeyedSerializedItemDescriptor{Key: key, Item: descriptor(item)})
	})
	if err != nil {
		return nil, nil, err
	}
	if len(broken) > 0 {
		s.brokenRows.Add(int64(len(broken)))
		s.warn("skipped %d rows of namespace %q in table %q: %s", len(broken), s.rows.Namespace(kind.GetName()),
			s.rows.Table, strings.ReplaceAll(strings.Join(rows, "; "), "\n", ", "))
	}
	return items, broken, nil
}

// Upsert writes an item, or the tombstone of a deleted item, if its version is higher than the row's, and reports
// whether it did. An item that DynamoDB cannot hold is refused with a warning, and its old row stays.
func (s *Store) Upsert(kind st.DataKind, key string, item st.SerializedItemDescriptor) (bool, error) {
	converted := newItem(key, item)
	if reason := s.rows.Refusal(kind.GetName(), converted); reason != "" {
		// Not an error: the SDK would treat the store as unavailable, and write all its data again afterwards.
		s.refuse(kind.GetName(), key, reason)
		return false, nil
	}
	if s.beforeUpsert != nil {
		s.beforeUpsert()
	}
	return s.rows.Upsert(context.Background(), kind.GetName(), converted)
}

// descriptor converts an item to the SDK's type. A tombstone keeps its JSON, by which the SDK recognizes it.
func descriptor(i table.Item) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{Version: i.Version, Deleted: i.Deleted,
		SerializedItem: []byte(withoutSurrogates(i.JSON))}
}

// IsInitialized reports whether the table holds a complete data set of this environment. It returns false if the
// table cannot be read. After it returned true, it makes no more calls to DynamoDB.
func (s *Store) IsInitialized() bool {
	if s.inited.Load() {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	r, err := s.rows.ReadMarker(ctx, layout.MarkerInited)
	if err != nil {
		s.warn("read the initialized marker: %v", err)
		return false
	}
	if r != nil {
		s.inited.Store(true)
	}
	return r != nil
}

// HasMarker reads the $inited marker with a strongly consistent read, each time that it is called, and reports
// whether it exists. Package cachedstore uses it to distinguish a removed item from a table that was emptied.
func (s *Store) HasMarker(ctx context.Context) (bool, error) {
	r, err := s.rows.ReadMarker(ctx, layout.MarkerInited)
	if r != nil {
		s.inited.Store(true)
	}
	return r != nil, err
}

// IsStoreAvailable reports whether the table can be read within 30 seconds. It costs half a read unit: it makes an
// eventually consistent read of the marker, whether or not the marker exists.
func (s *Store) IsStoreAvailable() bool {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	marker := s.rows.Namespace(layout.MarkerInited)
	_, err := s.rows.Client.GetItem(ctx,
		&dynamodb.GetItemInput{TableName: &s.rows.Table, Key: table.Key(marker, marker)})
	return err == nil
}

// Close does nothing: the store has no goroutines and no connections of its own.
func (s *Store) Close() error { return nil }

// refuse counts an item that is not written, and logs a warning without the item's value.
func (s *Store) refuse(kind, key, reason string) {
	s.refusedItems.Add(1)
	s.warn("item %q of kind %q is not written: %s; its old row stays", key, kind, reason)
}
