package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// This file makes a difference's writes. A transaction is the writes of one batch in their order, and after them the check
// of the fence, if there is one; DynamoDB gives the reasons of a cancellation in that same order, "None" for each part
// that was well. Of a canceled transaction each row is looked at alone:
//
//  1. it was well, or the table was busy: it is tried again;
//  2. its condition failed: it is read again, and is done (it holds ours), or kept (it is newer), or tried again, on the
//     condition that it is as it is now;
//  3. anything else ends Write, as time does not heal it; and so does a fence that somebody else has raised.
const conditionFailed = "ConditionalCheckFailed" // a cancellation reason

// WriteOptions say how a difference is written.
type WriteOptions struct {
	// Fence is the number that [Store.TakeFence] gave. Every transaction then checks that it is still the newest.
	// 0: no fence.
	Fence int64
	// Lower says that items whose version is lower than their rows' are written too. Default: they are held back.
	Lower bool
	// Progress is called before the first transaction and after each, with the number of rows that are done and of
	// all. Nil: nobody is told.
	Progress func(done, total int)
}

// Written is what [Store.Write] did.
type Written struct {
	// Transactions is the number of transactions that were made.
	Transactions int
	// Kept are items that were not written, because somebody changed their rows after Compare read them, to a
	// version at least as high.
	Kept []Item
}

// Write makes a difference's writes, in transactions of at most 100 rows and 4 MB: items in the order in which
// they were given, removals after, and LaunchDarkly's $inited marker last. An empty difference makes no call without a
// fence. With one, it reads the fence: so with a fence, no error means that the table agreed with the data, but for
// what is in Kept, in the difference's Refused and, unless it is written, in its Lower, at a moment when nobody had taken
// a newer one. Refused items are counted in [Stats]; what is said of them is the caller's.
//
// Each write is conditional on the row as Compare read it. A row that changed meanwhile is kept if its version
// is at least ours (for a removal: the version that was to be removed), and written otherwise. Throttling and
// conflicts are retried for at most 30 seconds a transaction. With a fence that is no longer the newest, the
// error is [ErrFenceLost] and nothing more is written. After any error the transactions that were made stay
// made, and the next Compare finds the rest.
func (s *Store) Write(ctx context.Context, d *Difference, o WriteOptions) (Written, error) {
	var done Written
	s.refusedItems.Add(int64(len(d.Refused)))
	all := batches(d.writes, o)
	total, rows := 0, 0
	for _, batch := range all {
		total += len(batch)
	}
	if len(all) > 0 {
		o.progress(0, total)
	}
	for _, batch := range all {
		if err := s.transact(ctx, batch, o.Fence, &done); err != nil {
			return done, fmt.Errorf("write to table %q: %w", s.table, err)
		}
		rows += len(batch)
		o.progress(rows, total)
	}
	if o.Fence != 0 && done.Transactions == 0 { // no transaction has checked it
		if err := s.holdsFence(ctx, o.Fence); err != nil {
			return done, fmt.Errorf("write to table %q: %w", s.table, err)
		}
	}
	// Compare saw the marker, or had it written just now. CompareItems did not look: it is for what follows a whole payload.
	s.inited.Store(true)
	return done, nil
}

func (o WriteOptions) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// batches splits writes into transactions, in their order, as full as DynamoDB's limits allow. Items of lower versions are
// left out unless the options say otherwise. One write alone always fits: no more than two rows of 400 KB.
func batches(writes []*write, o WriteOptions) (all [][]*write) {
	most := maxTransactionItems
	if o.Fence != 0 {
		most-- // for the check
	}
	var batch []*write
	size := 0
	for _, w := range writes {
		if w.action == lower && !o.Lower {
			continue
		}
		n := w.bytes()
		if len(batch) == most || size+n > usableTransactionBytes && len(batch) > 0 {
			all = append(all, batch)
			batch, size = nil, 0
		}
		batch = append(batch, w)
		size += n
	}
	if len(batch) > 0 {
		all = append(all, batch)
	}
	return all
}

// transact makes one transaction, again and again with what its cancellation left to do. DynamoDB makes all of a
// transaction's writes or none
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html), so a canceled one has
// changed nothing, and what is still right in it is simply sent once more. It returns nil without a transaction when
// nothing of the batch is left to do: done.Transactions counts only those that were made.
func (s *Store) transact(ctx context.Context, batch []*write, fence int64, done *Written) error {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	for attempt := 1; len(batch) > 0; attempt++ {
		// The input is new each time, so that the SDK gives each its own idempotency token. If an answer was
		// lost, the conditions fail, and the rows turn out to be ours.
		_, err := s.api.TransactWriteItems(ctx, s.transaction(batch, fence), noSDKRetries)
		if err == nil {
			done.Transactions++
			return nil
		}
		var canceled *types.TransactionCanceledException
		if errors.As(err, &canceled) {
			left, err := s.settle(ctx, batch, fence, canceled, done)
			if err != nil {
				return err
			}
			batch = left
		} else if !isRetryable(err) {
			return err
		}
		if len(batch) > 0 && backoff(ctx, attempt) != nil {
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
	return nil
}

// settle looks at why a transaction was canceled, and returns the writes that are still to be made: those that
// others' failure or a full table held up, and those whose row changed but is older than ours. A reason that time
// does not heal is an error that names the row.
func (s *Store) settle(ctx context.Context, batch []*write, fence int64, canceled *types.TransactionCanceledException, done *Written) ([]*write, error) {
	reasons := canceled.CancellationReasons // one for each of the request's items, in its order
	// Any other reason for the fence's check, such as a conflict with somebody who takes it now, passes: the rows are tried
	// again, and the next check tells.
	if fence != 0 && len(reasons) > len(batch) {
		if aws.ToString(reasons[len(batch)].Code) == conditionFailed {
			return nil, ErrFenceLost
		}
		reasons = reasons[:len(batch)]
	}
	if len(reasons) != len(batch) {
		return nil, fmt.Errorf("%d reasons for %d rows: %w", len(reasons), len(batch), canceled)
	}
	var left []*write
	for i, reason := range reasons {
		switch code := aws.ToString(reason.Code); code {
		case "None", "", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
			left = append(left, batch[i])
		case conditionFailed:
			again, err := s.changed(ctx, batch[i], done)
			if err != nil {
				return nil, err
			}
			if again {
				left = append(left, batch[i])
			}
		default:
			return nil, fmt.Errorf("row %q %q: %s: %s: %w", batch[i].namespace, batch[i].Key, code, aws.ToString(reason.Message), canceled)
		}
	}
	return left, nil
}

// changed reads a row again that was not as it had been, and says whether it is still to be written: a row of our version or
// a higher one is kept, whatever it holds, as two items of one version cannot be ordered. For a removal, "ours" is the
// version that was to go: a row that was written again since then is not removed by what was known before.
func (s *Store) changed(ctx context.Context, w *write, done *Written) (again bool, err error) {
	var now row
	err = patiently(ctx, func(ctx context.Context) (err error) {
		now, err = s.readRow(ctx, w.namespace, w.Key)
		return err
	})
	if err != nil {
		return false, err
	}
	ours := w.Version // what the row's version must reach to be kept
	switch {
	case now == nil && w.action == remove, // somebody removed it
		now != nil && w.action == mark,                // somebody marked it
		now != nil && w.action != remove && w.is(now): // somebody wrote the same, or we did and the answer was lost
		return false, nil
	case w.action == remove:
		ours = w.Was
	}
	// A row that is gone, or broken, has no version: it is written.
	if version, err := parseVersion(now); err == nil && version >= ours {
		done.Kept = append(done.Kept, w.Item)
		return false, nil
	}
	w.old = now
	return true, nil
}

// transaction is the request for a batch. The check of the fence, if any, comes after all writes.
func (s *Store) transaction(batch []*write, fence int64) *dynamodb.TransactWriteItemsInput {
	in := &dynamodb.TransactWriteItemsInput{}
	for _, w := range batch {
		var item types.TransactWriteItem
		condition, names, values := w.condition()
		if w.action == remove {
			item.Delete = &types.Delete{
				TableName: &s.table, Key: rowKey(w.namespace, w.Key), ConditionExpression: &condition,
				ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}
		} else {
			item.Put = &types.Put{
				TableName: &s.table, Item: w.row(), ConditionExpression: &condition,
				ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}
		}
		in.TransactItems = append(in.TransactItems, item)
	}
	if fence != 0 {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{ConditionCheck: s.checkFence(fence)})
	}
	return in
}

// condition says that the row is as it was read, whatever was read: also a row that is not LaunchDarkly's. It
// names the item as well as the version, as a reset environment can bring another item under the same version. Every row has
// its partition key, so that attribute tells whether there is a row.
func (w *write) condition() (string, map[string]string, row) {
	if w.old == nil {
		return "attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil
	}
	parts := []string{"attribute_exists(#n)"}
	names := map[string]string{"#n": attrNamespace, "#v": attrVersion, "#i": attrItem}
	values := row{}
	for _, short := range []string{"v", "i"} {
		if a, ok := w.old[names["#"+short]]; ok {
			parts = append(parts, fmt.Sprintf("#%s = :%s", short, short))
			values[":"+short] = a
		} else {
			parts = append(parts, fmt.Sprintf("attribute_not_exists(#%s)", short))
		}
	}
	if len(values) == 0 {
		values = nil // DynamoDB refuses an empty map
	}
	return strings.Join(parts, " AND "), names, values
}

// bytes is what a write adds to its transaction's size: the new row, and the old one in the condition. It is meant to err
// on the large side: a transaction that DynamoDB finds too large would fail with all its rows.
func (w *write) bytes() int {
	n := rowBytes(w.old)
	if w.action != remove {
		n += rowBytes(w.row())
	}
	return n
}
