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

// Table is one LaunchDarkly environment in a DynamoDB table, as a [FeatureStore]. Its rows are those of dynamostore and
// of LaunchDarkly's own stores: what one of them writes, all others read. Nothing is cached: that is what [Cached] is
// for. One row is read within 5 seconds, retries of the AWS SDK included; whatever reads or writes more has 30 seconds for
// all rows of a kind, and for each transaction. It is safe for concurrent use.
type Table[K Kind[I], I Item] struct {
	rows   *rows
	inited atomic.Bool  // the $inited marker was seen, or written: it is never asked for again
	broken atomic.Int64 // for Stats
}

// TableOption is an option of [DynamoDB].
type TableOption func(*rows)

// Prefix sets the name of the LaunchDarkly environment within the table. Default: "", no prefix.
func Prefix(prefix string) TableOption { return func(r *rows) { r.prefix = prefix } }

// Client sets the DynamoDB client; dynamodb.New(session, config) makes one. Default: one of the environment's session
// (shared configuration enabled), which is made at the first call.
func Client(client dynamodbiface.DynamoDBAPI) TableOption {
	return func(r *rows) { r.client = func() (dynamodbiface.DynamoDBAPI, error) { return client, nil } }
}

// DynamoDB makes a store on a table of LaunchDarkly's schema: the partition key "namespace" and the sort key "key",
// both strings. It calls nobody, and fails never: go-client.v4's configuration takes a store, and no error with it. So
// wrong options are reported by each method that can return an error, all at once.
func DynamoDB[K Kind[I], I Item](table string, options ...TableOption) *Table[K, I] {
	r := &rows{table: table, client: environmentClient}
	for _, o := range options {
		o(r)
	}
	r.client = sync.OnceValues(checked(table, r.client))
	return &Table[K, I]{rows: r}
}

// checked is client, or all that is wrong with the options. It is asked once, at the first call of any method.
func checked(table string, client clientMaker) clientMaker {
	return func() (dynamodbiface.DynamoDBAPI, error) {
		var problems []error
		if table == "" {
			problems = append(problems, errors.New("the table's name is empty"))
		}
		c, err := client()
		switch {
		case err != nil:
			problems = append(problems, err)
		case c == nil:
			problems = append(problems, errors.New("the client is nil: leave Client out for the environment's"))
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
		return nil, errors.New("there is no AWS region: set AWS_REGION, or a region in the profile")
	}
	return dynamodb.New(s), nil
}

// TableStats are a [Table]'s counts since it was made.
type TableStats struct {
	// BrokenRows counts rows that All passed over, once for each time.
	BrokenRows int64
	// RefusedItems counts items that were not written because DynamoDB cannot hold them.
	RefusedItems int64
}

// Stats returns the table's counts.
func (t *Table[K, I]) Stats() TableStats {
	return TableStats{BrokenRows: t.broken.Load(), RefusedItems: t.rows.refused.Load()}
}

// Get reads one item, strongly consistent. One that is missing or deleted is the zero I and no error. A row that is not
// LaunchDarkly's is an error that names it.
func (t *Table[K, I]) Get(kind K, key string) (none I, err error) {
	namespace := t.rows.namespace(kind.GetNamespace())
	r, err := t.rows.read(namespace, key)
	if err != nil || r == nil {
		return none, err
	}
	item, err := decode[K, I](kind, r)
	if err != nil {
		return none, fmt.Errorf("read row %q %q of table %q: %w", namespace, key, t.rows.table, err)
	}
	if item.IsDeleted() {
		return none, nil
	}
	return item, nil
}

// All reads all items of a kind that are not deleted, each strongly consistent. Rows that are not LaunchDarkly's are
// passed over with one warning that names them, and counted in [TableStats].
func (t *Table[K, I]) All(kind K) (map[string]I, error) {
	items, _, err := t.AllAndBroken(kind)
	return items, err
}

// AllAndBroken is [Table.All], and says by key why rows were passed over; nil where none was. With it [Cached] serves their
// last known values.
func (t *Table[K, I]) AllAndBroken(kind K) (items map[string]I, broken map[string]error, err error) {
	namespace := t.rows.namespace(kind.GetNamespace())
	items = map[string]I{}
	err = t.rows.each(namespace, func(key string, r row) {
		switch item, err := decode[K, I](kind, r); {
		case err != nil && broken == nil:
			broken = map[string]error{key: err}
		case err != nil:
			broken[key] = err
		case !item.IsDeleted():
			items[key] = item
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if len(broken) > 0 { // one log line for all: evaluating all flags must not flood the log
		t.broken.Add(int64(len(broken)))
		var rows []string
		for _, key := range slices.Sorted(maps.Keys(broken)) {
			rows = append(rows, fmt.Sprintf("%q: %v", key, broken[key]))
		}
		slog.Warn("v4store: rows are passed over", "table", t.rows.table, "namespace", namespace, "rows", strings.Join(rows, "; "))
	}
	return items, broken, nil
}

// Upsert writes an item if the table has none of its key, or an older one; otherwise it does nothing. An item that
// DynamoDB cannot hold is refused with a warning and counted in [TableStats], and its old row stays. Throttling and
// conflicts are retried for at most 30 seconds.
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

// Initialized says whether the table holds a data set for this environment. Once true it makes no more calls. When the
// table cannot be read it is false, with a warning.
func (t *Table[K, I]) Initialized() bool {
	if t.inited.Load() {
		return true
	}
	marker := t.rows.namespace(layout.MarkerInited)
	r, err := t.rows.read(marker, marker)
	if err != nil {
		slog.Warn("v4store: whether the table is initialized cannot be read", "error", err)
		return false
	}
	if r != nil {
		t.inited.Store(true)
	}
	return r != nil
}

// encode is the row of an item, tombstones included: to a table they are items like all others, and their JSON says that
// they are deleted.
func encode[I Item](namespace, key string, item I) (row, error) {
	text, err := json.Marshal(item)
	if err != nil {
		return nil, fmt.Errorf("encode item %q of namespace %q: %w", key, namespace, err)
	}
	return newRow(namespace, key, item.GetVersion(), string(text)), nil
}

// decode returns the item of a row, which can be a tombstone. Its version is the one in the JSON, which every writer keeps
// equal to the attribute. So a row of another writer whose attribute is a string, a fraction or missing is read too. JSON
// of other languages may escape any character: encoding/json joins surrogate pairs, so nothing is lost here.
func decode[K Kind[I], I Item](kind K, r row) (none I, err error) {
	text, err := itemOf(r)
	if err != nil {
		return none, err
	}
	into := kind.GetDefaultItem()
	if err := json.Unmarshal([]byte(text), &into); err != nil { // into what it points to; a null makes it nil
		return none, fmt.Errorf("attribute %q is not its JSON: %w", layout.AttrItem, err)
	}
	if into == nil { // a tombstone of LaunchDarkly's stores for Java and .NET, whose version is only in the attribute
		version, _ := versionOf(r)
		return kind.MakeDeletedItem(aws.StringValue(r[layout.AttrKey].S), version), nil
	}
	item, ok := into.(I)
	if !ok {
		return none, fmt.Errorf("a default item of kind %q is a %T, which is no item", kind.GetNamespace(), into)
	}
	return item, nil
}
