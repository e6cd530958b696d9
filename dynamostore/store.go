package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

var _ subsystems.PersistentDataStore = (*Store)(nil)

// readLimit is how long a read may take in those methods of LaunchDarkly's interface that have no context.
const readLimit = 30 * time.Second

// Store is one LaunchDarkly environment in a table. [DataStore] makes it. It is safe for concurrent use.
type Store struct {
	api           API
	table, prefix string
	warn          func(format string, args ...any)

	inited       atomic.Bool  // the $inited marker was seen, or written: it is never asked for again
	brokenRows   atomic.Int64 // for Stats
	refusedItems atomic.Int64 // for Stats

	beforeUpsert func() // a seam for tests: called before Upsert's write; never changed once calls run
}

// Table is the table's name.
func (s *Store) Table() string { return s.table }

// Prefix is the name of the LaunchDarkly environment within the table; may be empty.
func (s *Store) Prefix() string { return s.prefix }

// Stats are counts since the store was made.
type Stats struct {
	// BrokenRows counts rows that GetAll passed over, once for each time.
	BrokenRows int64
	// RefusedItems counts items that were not written because DynamoDB cannot hold them.
	RefusedItems int64
}

// Stats returns the store's counts.
func (s *Store) Stats() Stats {
	return Stats{BrokenRows: s.brokenRows.Load(), RefusedItems: s.refusedItems.Load()}
}

// Init makes the rows of the given kinds exactly the given items, whatever the versions, and marks the store as
// initialized. It writes only what differs; see [Store.Compare] and [Store.Write]. Items that DynamoDB cannot
// hold are refused with a warning that names them: their old rows stay, and the rest goes on.
func (s *Store) Init(all []st.SerializedCollection) error {
	ctx := context.Background() // each call has the time limit of its retries
	// The SDK's contract is to discard all previous data regardless of versions: so lower ones are written as well.
	d, err := s.Compare(ctx, all)
	if err != nil {
		return err
	}
	_, err = s.Write(ctx, d, WriteOptions{Lower: true})
	return err
}

// Get is [Store.GetContext] with a time limit of 30 seconds.
func (s *Store) Get(kind st.DataKind, key string) (st.SerializedItemDescriptor, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return s.GetContext(ctx, kind, key)
}

// GetContext reads one item, strongly consistent. An item that does not exist has version -1 and no bytes. A
// row that is not LaunchDarkly's is an error that names it.
func (s *Store) GetContext(ctx context.Context, kind st.DataKind, key string) (st.SerializedItemDescriptor, error) {
	notFound := st.SerializedItemDescriptor{}.NotFound()
	namespace := s.namespace(kind.GetName())
	if key == "" {
		return notFound, nil // DynamoDB refuses to look for an empty key
	}
	r, err := s.readRow(ctx, namespace, key)
	if err != nil || r == nil {
		return notFound, err
	}
	item, err := parseRow(r)
	if err != nil {
		return notFound, fmt.Errorf("read row %q %q of table %q: %w", namespace, key, s.table, err)
	}
	return item, nil
}

// GetAll is [Store.GetAllContext] with a time limit of 30 seconds.
func (s *Store) GetAll(kind st.DataKind) ([]st.KeyedSerializedItemDescriptor, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return s.GetAllContext(ctx, kind)
}

// GetAllContext reads all items of a kind, each strongly consistent, tombstones included. Rows that are not
// LaunchDarkly's are passed over with one warning that names them, and counted in [Stats].
func (s *Store) GetAllContext(ctx context.Context, kind st.DataKind) ([]st.KeyedSerializedItemDescriptor, error) {
	items, _, err := s.GetAllAndBroken(ctx, kind)
	return items, err
}

// GetAllAndBroken is [Store.GetAllContext], and says by key why rows were passed over; nil where none was. With it
// cachedstore serves their last known values.
func (s *Store) GetAllAndBroken(
	ctx context.Context, kind st.DataKind,
) (items []st.KeyedSerializedItemDescriptor, broken map[string]error, err error) {
	namespace := s.namespace(kind.GetName())
	var rows []string
	// A cache waits for this read and has its own way with a failure: it is not repeated here.
	err = s.eachRow(ctx, namespace, once, func(key string, r row) {
		item, err := parseRow(r)
		if err != nil {
			if broken == nil {
				broken = map[string]error{}
			}
			broken[key] = err
			rows = append(rows, fmt.Sprintf("%q: %v", key, err))
			return
		}
		items = append(items, st.KeyedSerializedItemDescriptor{Key: key, Item: item})
	})
	if err != nil {
		return nil, nil, err
	}
	if len(broken) > 0 {
		s.brokenRows.Add(int64(len(broken)))
		s.warn("passed over %d rows of namespace %q in table %q: %s", len(broken), namespace, s.table,
			strings.ReplaceAll(strings.Join(rows, "; "), "\n", ", "))
	}
	return items, broken, nil
}

// Upsert writes an item, or the tombstone of a deleted one, if its version is higher than the row's, and says
// whether it did. An item that DynamoDB cannot hold is refused with a warning, and its old row stays.
func (s *Store) Upsert(kind st.DataKind, key string, item st.SerializedItemDescriptor) (bool, error) {
	namespace := s.namespace(kind.GetName())
	r := makeRow(namespace, key, item)
	if reason := refusal(r); reason != "" {
		// No error: the SDK would take the store for broken, and send all its data again when it is well.
		s.refuse(kind.GetName(), key, reason)
		return false, nil
	}
	if s.beforeUpsert != nil {
		s.beforeUpsert()
	}
	err := patiently(context.Background(), func(ctx context.Context) error {
		_, err := s.api.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &s.table,
			Item:      r,
			// As LaunchDarkly's own stores have it: only a higher version is written, so that updates that arrive
			// out of order do no harm. A row without a version is broken: this heals it.
			ConditionExpression:       aws.String("attribute_not_exists(#v) OR #v < :v"),
			ExpressionAttributeNames:  map[string]string{"#v": attrVersion},
			ExpressionAttributeValues: row{":v": r[attrVersion]},
		}, noSDKRetries)
		return err
	})
	// That also happens when an earlier attempt was made and only its answer was lost. The item is in the table
	// then, and whoever asks will find it.
	var held *types.ConditionalCheckFailedException
	if errors.As(err, &held) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("upsert row %q %q of table %q: %w", namespace, key, s.table, err)
	}
	return true, nil
}

// IsInitialized says whether the table holds a data set for this environment. Once true it makes no more calls.
// When the table cannot be read it is false.
func (s *Store) IsInitialized() bool {
	if s.inited.Load() {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	marker := s.namespace(markerInited)
	r, err := s.readRow(ctx, marker, marker)
	if err != nil {
		s.warn("look for the initialized marker: %v", err)
		return false
	}
	if r != nil {
		s.inited.Store(true)
	}
	return r != nil
}

// IsStoreAvailable says whether the table can be read: by half a read unit (the read is eventually consistent, and whether
// the marker is there does not matter), within 30 seconds.
func (s *Store) IsStoreAvailable() bool {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	marker := s.namespace(markerInited)
	_, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: rowKey(marker, marker)})
	return err == nil
}

// Close does nothing: the store has no goroutines and no connections of its own.
func (s *Store) Close() error { return nil }

// readRow reads one row, strongly consistent; nil when there is none.
func (s *Store) readRow(ctx context.Context, namespace, key string) (row, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: rowKey(namespace, key), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read row %q %q of table %q: %w", namespace, key, s.table, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// eachRow reads all rows of a namespace, strongly consistent, page by page: a page shows what was written before it was
// read, and two pages need not be of the same moment. Each page is read through try, and its rows are yielded once,
// however often it was tried. After an error some rows may have been yielded.
func (s *Store) eachRow(ctx context.Context, namespace string, try trier, yield func(key string, r row)) error {
	in := &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#n = :n"),
		ExpressionAttributeNames:  map[string]string{"#n": attrNamespace},
		ExpressionAttributeValues: row{":n": text(namespace)},
	}
	for {
		var out *dynamodb.QueryOutput
		err := try(ctx, func(ctx context.Context) (err error) {
			out, err = s.api.Query(ctx, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("read namespace %q of table %q: %w", namespace, s.table, err)
		}
		for _, r := range out.Items {
			key, _ := textOf(r, attrKey) // the table's own key: always a string
			yield(key, r)
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		// A page may end anywhere, even without a row: only the last has no such key.
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// refuse counts and logs an item that is not written. It says nothing of the item's value.
func (s *Store) refuse(kind, key, reason string) {
	s.refusedItems.Add(1)
	s.warn("item %q of kind %q is not written: %s; its old row stays", key, kind, reason)
}
