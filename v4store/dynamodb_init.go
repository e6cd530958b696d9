package v4store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Init computes a difference and then writes it:
//
//	difference:  for each kind, read its rows; put the items whose rows differ, remove the rows without an item
//	batches:     split the writes into transactions
//	transact:    send them in sequence; if a row changed since it was read, read it again and keep it or retry
//
// Other processes can write at the same time. So each write contains the row that it was computed from, and its
// condition is that the row has not changed. dynamostore does the same, with a fencing token for programs that sync a
// table.

// Init makes the rows of the given kinds exactly the given items, whatever their versions, and marks the table as
// initialized. It reads the rows and skips equal ones, which have the same version and equal JSON. It writes the others
// in transactions of at most 100 rows and 4 MB: segments, then flags in the order of their keys, removals in the
// opposite order, the marker last. If another process changed a row meanwhile, the row is kept if its version is at
// least that of the given item. So unchanged data costs only reads, a change of up to 99 items is written completely or
// not at all, and a newer item of a concurrent writer is kept.
//
// Throttling and conflicts are retried for at most 30 seconds per transaction. After an error, completed transactions
// remain, and the next Init writes the rest. Items that exceed DynamoDB's limits are not written, as in Upsert.
//
// Use daemon mode, which only reads, if a newer LaunchDarkly SDK, the stack or the Relay Proxy writes the table:
// go-client.v4 does not know newer fields of flags, and Init would remove them.
func (t *Table[K, I]) Init(all map[K]map[string]I) error {
	// Descending by name: segments come before the flags that refer to them. Prerequisites are not ordered.
	kinds := slices.SortedFunc(maps.Keys(all), func(a, b K) int {
		return strings.Compare(b.GetNamespace(), a.GetNamespace())
	})
	var puts, removals []*write
	for i, kind := range kinds {
		if i > 0 && kinds[i-1].GetNamespace() == kind.GetNamespace() {
			return fmt.Errorf("write to table %q: two kinds have the namespace %q; pass one", t.rows.table,
				kind.GetNamespace())
		}
		p, r, err := t.difference(t.rows.namespace(kind.GetNamespace()), all[kind])
		if err != nil {
			return err
		}
		puts, removals = append(puts, p...), slices.Concat(r, removals)
	}
	writes := slices.Concat(puts, removals)
	marker := t.rows.namespace(layout.MarkerInited)
	switch r, err := t.rows.read(marker, marker); {
	case err != nil:
		return err
	case r == nil:
		writes = append(writes, &write{namespace: marker, key: marker, put: rowKey(marker, marker)})
	}
	for batch := range batches(writes) {
		if err := t.rows.transact(batch); err != nil {
			return fmt.Errorf("write to table %q: %w", t.rows.table, err)
		}
	}
	t.inited.Store(true)
	return nil
}

// difference returns the writes that make a namespace's rows exactly the items.
func (t *Table[K, I]) difference(namespace string, items map[string]I) (puts, removals []*write, err error) {
	old := map[string]row{}
	if err := t.rows.each(namespace, func(key string, r row) { old[key] = r }); err != nil {
		return nil, nil, err
	}
	// The order is deterministic: equal differences are written in the same order.
	for _, key := range slices.Sorted(maps.Keys(items)) {
		r, err := encode(namespace, key, items[key])
		if err != nil {
			return nil, nil, err
		}
		if !t.rows.refuses(r) && !sameRow(old[key], r) {
			puts = append(puts, &write{namespace: namespace, key: key, old: old[key], put: r})
		}
	}
	// The old row of a refused item is kept, because its key is in items.
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, stays := items[key]; !stays {
			removals = append(removals, &write{namespace: namespace, key: key, old: old[key]})
		}
	}
	return puts, removals, nil
}

// write is a put or a removal of one row, conditional on the row as it was read.
type write struct {
	namespace, key string
	old            row // the row that was read; nil: no row
	put            row // nil: a removal
}

// batches splits writes into transactions.
func batches(writes []*write) func(func([]*write) bool) {
	return func(yield func([]*write) bool) {
		begin, size := 0, 0
		for i, w := range writes {
			n := rowBytes(w.old) + rowBytes(w.put) // the old row is in the condition
			if i-begin == maxTransactionItems || size+n > maxTransactionBytes && i > begin {
				if !yield(writes[begin:i]) {
					return
				}
				begin, size = i, 0
			}
			size += n
		}
		if begin < len(writes) {
			yield(writes[begin:])
		}
	}
}

// transact sends one transaction, and retries the writes that may still succeed after it was canceled. DynamoDB
// executes all writes of a transaction or none
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html). If a response was lost, the
// conditions of the retry fail, and settle finds that the rows are correct.
func (r *rows) transact(batch []*write) error {
	db, err := r.client()
	if err != nil {
		return err
	}
	return withRetry(func(ctx context.Context) error {
		in := &dynamodb.TransactWriteItemsInput{}
		for _, w := range batch {
			in.TransactItems = append(in.TransactItems, w.item(&r.table))
		}
		_, err := db.TransactWriteItemsWithContext(ctx, in, noSDKRetries)
		var canceled *dynamodb.TransactionCanceledException
		if !errors.As(err, &canceled) {
			return err
		}
		left, err := r.settle(ctx, batch, canceled)
		if err != nil {
			return err
		}
		if batch = left; len(batch) == 0 {
			return nil
		}
		return fmt.Errorf("%w: %w", errAgain, canceled)
	})
}

// settle reads the reasons of a canceled transaction and returns the writes to retry: those that were throttled or
// canceled because of another row, and those whose row changed but has an older version. For any other reason it
// returns an error that names the row.
func (r *rows) settle(
	ctx context.Context, batch []*write, canceled *dynamodb.TransactionCanceledException,
) (left []*write, err error) {
	if len(canceled.CancellationReasons) != len(batch) { // one per write, in the request's order
		return nil, fmt.Errorf("%d reasons for %d rows: %w", len(canceled.CancellationReasons), len(batch), canceled)
	}
	for i, reason := range canceled.CancellationReasons {
		w := batch[i]
		switch code := aws.StringValue(reason.Code); code { // "None": canceled because of another row
		case "None", "", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
			left = append(left, w)
		case "ConditionalCheckFailed":
			now, err := r.readIn(ctx, w.namespace, w.key)
			if err != nil {
				return nil, err
			}
			if w.needed(now) {
				w.old = now
				left = append(left, w)
			}
		default:
			return nil, fmt.Errorf("row %q %q: %s: %s: %w", w.namespace, w.key, code,
				aws.StringValue(reason.Message), canceled)
		}
	}
	return left, nil
}

// needed reports whether a write is still needed after its row changed.
func (w *write) needed(now row) bool {
	ours := w.put // a row of at least this version is kept
	if w.put == nil {
		ours = w.old
	}
	if now == nil {
		return w.put != nil // another process removed the row: a put is retried, a removal is done
	}
	if w.put != nil && (w.put[layout.AttrItem] == nil || sameRow(now, w.put)) {
		return false // the row is already equal: by another process, or by an attempt whose response was lost
	}
	// A row without a comparable version is replaced.
	theirs, err := versionOf(now)
	if err != nil {
		return true
	}
	version, err := versionOf(ours)
	return err == nil && theirs < version
}

// item returns the write for a transaction. Its condition is that the row's version and item have not changed. The
// version alone is not enough: after a reset of the environment another item can have the same version.
func (w *write) item(table *string) *dynamodb.TransactWriteItem {
	names := map[string]string{"#n": layout.AttrNamespace}
	parts := []string{"attribute_not_exists(#n)"}
	var values row // nil if there are none, because DynamoDB rejects an empty map
	if w.old != nil {
		names["#v"], names["#i"] = layout.AttrVersion, layout.AttrItem
		parts[0] = "attribute_exists(#n)"
		for _, short := range []string{"v", "i"} {
			a := w.old[names["#"+short]]
			if a == nil {
				parts = append(parts, fmt.Sprintf("attribute_not_exists(#%s)", short))
				continue
			}
			if values == nil {
				values = row{}
			}
			parts = append(parts, fmt.Sprintf("#%s = :%s", short, short))
			values[":"+short] = a
		}
	}
	condition := aws.String(strings.Join(parts, " AND "))
	if w.put == nil {
		return &dynamodb.TransactWriteItem{Delete: &dynamodb.Delete{
			TableName: table, Key: rowKey(w.namespace, w.key), ConditionExpression: condition,
			ExpressionAttributeNames: aws.StringMap(names), ExpressionAttributeValues: values,
		}}
	}
	return &dynamodb.TransactWriteItem{Put: &dynamodb.Put{
		TableName: table, Item: w.put, ConditionExpression: condition,
		ExpressionAttributeNames: aws.StringMap(names), ExpressionAttributeValues: values,
	}}
}

// sameRow reports whether two rows have the same version and equal JSON. A row of another writer whose version is not a
// whole number is never equal.
func sameRow(a, b row) bool {
	versionA, errA := versionOf(a)
	versionB, errB := versionOf(b)
	itemA, errItemA := itemOf(a)
	itemB, errItemB := itemOf(b)
	if errors.Join(errA, errB, errItemA, errItemB) != nil || versionA != versionB {
		return false
	}
	return itemA == itemB || equalJSON(itemA, itemB)
}

// equalJSON compares two texts as JSON. It compares numbers as text, because two different large numbers can be equal
// as float64.
func equalJSON(a, b string) bool {
	var values [2]any
	for i, text := range []string{a, b} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&values[i]) != nil || !errors.Is(d.Decode(new(any)), io.EOF) {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
