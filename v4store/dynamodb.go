package v4store

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Table is one LaunchDarkly environment in a DynamoDB table, as a [FeatureStore]. It reads and writes the same rows as
// dynamostore and LaunchDarkly's own stores. It has no cache; see [Cached]. A read of one row takes 5 seconds at most,
// including retries of the AWS SDK. A read of all rows of a kind takes 30 seconds at most, and so does each
// transaction. A Table is safe for concurrent use.
type Table[K Kind[I], I Item] struct {
	rows   *rows
	inited atomic.Bool  // the $inited marker was read or written; Initialized then makes no call
	broken atomic.Int64 // rows that All skipped
}

// TableOption is an option of [DynamoDB].
type TableOption func(*rows)

// Prefix sets the prefix of the LaunchDarkly environment in the table. The default is no prefix.
func Prefix(prefix string) TableOption { return func(r *rows) { r.prefix = prefix } }

// Client sets the DynamoDB client, for example dynamodb.New(session, config). The default is a client of the
// environment's session with shared configuration, which the first call creates. Nil is an error.
func Client(client dynamodbiface.DynamoDBAPI) TableOption {
	return func(r *rows) { r.client = func() (dynamodbiface.DynamoDBAPI, error) { return client, nil } }
}

// DynamoDB returns a store on a table of LaunchDarkly's schema: the partition key "namespace" and the sort key "key",
// both strings. It makes no call. All invalid options are reported together, by each method that can return an error.
func DynamoDB[K Kind[I], I Item](table string, options ...TableOption) *Table[K, I] {
	r := &rows{table: table, client: environmentClient}
	for _, o := range options {
		o(r)
	}
	r.client = sync.OnceValues(checked(table, r.client))
	return &Table[K, I]{rows: r}
}

// checked returns a clientMaker that also checks the options. It runs once, in the first call of any method.
func checked(table string, client clientMaker) clientMaker {
	return func() (dynamodbiface.DynamoDBAPI, error) {
		var problems []error
		if table == "" {
			problems = append(problems, errors.New("the table's name is empty; pass one to DynamoDB"))
		}
		c, err := client()
		switch {
		case err != nil:
			problems = append(problems, err)
		case c == nil:
			problems = append(problems, errors.New("option Client: is nil; omit it to use the environment's client"))
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("configure store on table %q: %w", table, errors.Join(problems...))
		}
		return c, nil
	}
}

func environmentClient() (dynamodbiface.DynamoDBAPI, error) {
	s, err := session.NewSessionWithOptions(session.Options{SharedConfigState: session.SharedConfigEnable})
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	if aws.StringValue(s.Config.Region) == "" {
		return nil, errors.New("no AWS region; set AWS_REGION, or a region in the profile")
	}
	return dynamodb.New(s), nil
}

// TableStats are the counts of a [Table] since it was created.
type TableStats struct {
	// BrokenRows counts rows that All skipped, once per call.
	BrokenRows int64
	// RefusedItems counts items that were not written because they exceed DynamoDB's limits.
	RefusedItems int64
}

// Stats returns the table's counts.
func (t *Table[K, I]) Stats() TableStats {
	return TableStats{BrokenRows: t.broken.Load(), RefusedItems: t.rows.refused.Load()}
}

// Get reads one item, strongly consistent. An item that is missing or deleted is the zero I and no error. If the row is
// not in LaunchDarkly's format, it returns an error that names the row.
func (t *Table[K, I]) Get(kind K, key string) (none I, err error) {
	namespace := t.rows.namespace(kind.GetNamespace())
	r, err := t.rows.read(namespace, key)
	if err != nil || r == nil {
		return none, err
	}
	item, err := decode[K, I](kind, r)
	if err != nil {
		return none, &brokenRowError{fmt.Errorf("read row %q %q of table %q: %w", namespace, key, t.rows.table, err)}
	}
	if item.IsDeleted() {
		return none, nil
	}
	return item, nil
}

// All reads all items of a kind that are not deleted, each strongly consistent. It skips rows that are not in
// LaunchDarkly's format, logs one warning that names them, and counts them in [TableStats].
func (t *Table[K, I]) All(kind K) (map[string]I, error) {
	items, broken, err := t.AllAndBroken(kind)
	if len(broken) > 0 { // one log line for all rows, because All may be called often
		slog.Warn("v4store: rows skipped", "table", t.rows.table, "namespace", t.rows.namespace(kind.GetNamespace()),
			"rows", listBroken(broken))
	}
	return items, err
}

// AllAndBroken is [Table.All] that also returns, by key, why rows were skipped, and logs nothing. [Cached] uses it to
// serve the last known values of such rows, and to log them without delaying a call.
func (t *Table[K, I]) AllAndBroken(kind K) (items map[string]I, broken map[string]error, err error) {
	items, broken = map[string]I{}, map[string]error{}
	err = t.rows.each(t.rows.namespace(kind.GetNamespace()), func(key string, r row) {
		switch item, err := decode[K, I](kind, r); {
		case err != nil:
			broken[key] = err
		case !item.IsDeleted():
			items[key] = item
		}
	})
	if err != nil {
		return nil, nil, err
	}
	t.broken.Add(int64(len(broken)))
	return items, broken, nil
}

// listBroken returns the keys in order, each with the reason why its row is broken.
func listBroken(broken map[string]error) string {
	var rows []string
	for _, key := range slices.Sorted(maps.Keys(broken)) {
		rows = append(rows, fmt.Sprintf("%q: %v", key, broken[key]))
	}
	return strings.Join(rows, "; ")
}

// brokenRowError is the error of a Get whose row is not in LaunchDarkly's format. The table was reached.
type brokenRowError struct{ error }

// Unwrap returns what is wrong with the row.
func (e *brokenRowError) Unwrap() error { return e.error }

// Upsert writes an item if the table has no row for its key or one with a lower version; otherwise it does nothing. An
// item that exceeds DynamoDB's limits is not written: it is logged and counted in [TableStats], and its old row is
// kept. Throttling and conflicts are retried for 30 seconds at most.
func (t *Table[K, I]) Upsert(kind K, item I) error { return t.upsert(kind, item.GetKey(), item) }

// Delete is [Table.Upsert] of a tombstone.
func (t *Table[K, I]) Delete(kind K, key string, version int) error {
	return t.upsert(kind, key, kind.MakeDeletedItem(key, version))
}

func (t *Table[K, I]) upsert(kind K, key string, item I) error {
	if _, err := t.rows.client(); err != nil {
		return err
	}
	r, err := encode(t.rows.namespace(kind.GetNamespace()), key, item)
	if err != nil || t.rows.refuses(r) {
		return err
	}
	return t.rows.putNewer(r)
}

// Initialized reports whether the table holds a data set for this environment. Once true, it makes no more calls. If
// the table cannot be read, it returns false and logs a warning.
func (t *Table[K, I]) Initialized() bool {
	if t.inited.Load() {
		return true
	}
	found, err := t.HasMarker()
	if err != nil {
		slog.Warn("v4store: cannot read the marker; the table counts as not initialized", "error", err)
	}
	return found
}

// HasMarker reads the marker of a complete data set, strongly consistent, at each call. [Cached] uses it to distinguish
// a removed item from a table that was emptied.
func (t *Table[K, I]) HasMarker() (bool, error) {
	marker := t.rows.namespace(layout.MarkerInited)
	r, err := t.rows.read(marker, marker)
	if r != nil {
		t.inited.Store(true)
	}
	return r != nil, err
}

// encode returns the row of an item. The item may be a tombstone, whose JSON has "deleted".
func encode[I Item](namespace, key string, item I) (row, error) {
	text, err := json.Marshal(item)
	if err != nil {
		return nil, fmt.Errorf("encode item %q of namespace %q: %w", key, namespace, err)
	}
	return newRow(namespace, key, item.GetVersion(), string(text)), nil
}

// decode returns the item of a row, which may be a tombstone. It uses the version in the JSON, which every writer keeps
// equal to the attribute. So it can read a row of another writer whose version attribute is a string, a fraction or
// missing. Writers in other languages may escape any character; encoding/json combines surrogate pairs, so no character
// is lost.
func decode[K Kind[I], I Item](kind K, r row) (none I, err error) {
	text, err := itemOf(r)
	if err != nil {
		return none, err
	}
	into := kind.GetDefaultItem()
	if err := json.Unmarshal([]byte(text), &into); err != nil { // decodes into the pointer; null makes it nil
		return none, fmt.Errorf("attribute %q is not its JSON: %w", layout.AttrItem, err)
	}
	if into == nil { // a tombstone by LaunchDarkly's Java or .NET store: only the attribute has the version
		version, _ := versionOf(r)
		return kind.MakeDeletedItem(aws.StringValue(r[layout.AttrKey].S), version), nil
	}
	item, ok := into.(I)
	if !ok {
		return none, fmt.Errorf("the default item of kind %q is a %T, which does not implement Item",
			kind.GetNamespace(), into)
	}
	return item, nil
}
