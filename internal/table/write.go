package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A transaction has the writes of one batch in their order, and then the check of the fencing token, if there is one.
// DynamoDB returns the reasons for a cancellation in the same order. Each write of a canceled transaction is handled
// separately:
//
//  1. "None", throttling or a conflict: the write is retried.
//  2. The write's condition failed: the row is read again. If it holds our item, the write is done. If it is newer, the
//     row is kept. Otherwise the write is retried with a condition on the row as it is now.
//  3. Any other reason ends Write, because no retry can fix it. So does a lost token.
const conditionFailed = "ConditionalCheckFailed" // a cancellation reason

// WriteOptions say how a difference is written.
type WriteOptions struct {
	// Token is the result of [Environment.TakeToken]: every transaction checks that it is still the newest. 0: no
	// check.
	Token int64
	// Lower includes items whose version is lower than their rows'. Default: they are left out.
	Lower bool
	// Progress is called before the first transaction and after each transaction, with the number of rows that are
	// done and the number of all rows. Default, and nil: it is not called.
	Progress func(done, total int)
}

// Written is the result of [Environment.Write].
type Written struct {
	// Transactions is the number of transactions that succeeded.
	Transactions int
	// Kept has the items that were not written because, after Compare, another program wrote a version that is at
	// least as high.
	Kept []Entry
}

// Write writes a difference in transactions of at most 100 rows and 4 MB: first the items in the order of the data,
// then the removals, and LaunchDarkly's $inited marker last. An empty difference makes no call. If Write returns no
// error, the table agreed with the data, except for Kept and the difference's Refused and Lower items. Whether
// another sync has taken a newer token since then is known only after [Environment.EndSync].
//
// Each write is conditional on the row as Compare read it. If the row has changed since then, it is kept if its
// version is at least the new item's (for a removal: the version of the row that Compare read), and is written
// otherwise. Throttling and conflicts are retried for up to 30 seconds per transaction. If the token is no longer the
// newest, the error is [ErrTokenLost] and nothing more is written. After any error, the transactions that succeeded
// remain, and the next Compare finds the rest.
func (e *Environment) Write(ctx context.Context, d *Difference, o WriteOptions) (Written, error) {
	var done Written
	all := batches(d.writes, o)
	total, rows := 0, 0
	for _, batch := range all {
		total += len(batch)
	}
	if len(all) > 0 {
		o.progress(0, total)
	}
	for _, batch := range all {
		if err := e.transact(ctx, batch, o.Token, &done); err != nil {
			return done, fmt.Errorf("write to table %q: %w", e.Table, err)
		}
		rows += len(batch)
		o.progress(rows, total)
	}
	return done, nil
}

func (o WriteOptions) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// batches splits writes into transactions, in order, as large as DynamoDB's limits allow. A single write always fits,
// because it has at most two rows of 400 KB.
func batches(writes []*write, o WriteOptions) (all [][]*write) {
	limit := maxTransactionItems
	if o.Token != 0 {
		limit-- // for the check of the token
	}
	var batch []*write
	size := 0
	for _, w := range writes {
		if w.action == lower && !o.Lower {
			continue
		}
		n := w.bytes()
		if len(batch) == limit || size+n > usableTransactionBytes && len(batch) > 0 {
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

// transact sends one transaction, and after a cancellation sends the remaining writes again, until one transaction
// succeeds or no write is left. It adds a transaction to done only if it succeeded. DynamoDB makes all of a
// transaction's writes or none
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html).
func (e *Environment) transact(ctx context.Context, batch []*write, token int64, done *Written) error {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	for attempt := 1; len(batch) > 0; attempt++ {
		// Each attempt has a new input, so that the SDK gives it a new idempotency token. After a lost response, the
		// conditions fail, and the rows are found to hold the new items.
		_, err := e.Client.TransactWriteItems(ctx, e.transaction(batch, token), noSDKRetries)
		if err == nil {
			done.Transactions++
			return nil
		}
		var canceled *types.TransactionCanceledException
		if errors.As(err, &canceled) {
			left, err := e.settle(ctx, batch, token, canceled, done)
			if err != nil {
				return err
			}
			batch = left
		} else if !isRetryable(err) {
			return err
		}
		if len(batch) > 0 && waitBackoff(ctx, attempt) != nil {
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
	return nil
}

// settle returns the writes of a canceled transaction that must be retried: writes that failed because of throttling
// or another row, and writes whose row changed but is still older than the new item. If no retry can fix a row, its
// error names the row.
func (e *Environment) settle(
	ctx context.Context, batch []*write, token int64, canceled *types.TransactionCanceledException, done *Written,
) ([]*write, error) {
	reasons := canceled.CancellationReasons
	// Any other reason for the token's check, such as a conflict with a sync that is taking a token, is temporary:
	// the next attempt finds out whether the token was lost.
	if token != 0 && len(reasons) > len(batch) {
		if aws.ToString(reasons[len(batch)].Code) == conditionFailed {
			return nil, ErrTokenLost
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
			again, err := e.reread(ctx, batch[i], done)
			if err != nil {
				return nil, err
			}
			if again {
				left = append(left, batch[i])
			}
		default:
			return nil, fmt.Errorf("row %q %q: %s: %s: %w",
				batch[i].namespace, batch[i].Key, code, aws.ToString(reason.Message), canceled)
		}
	}
	return left, nil
}

// reread reads a row again after its condition failed, and reports whether it must still be written. A row with the
// new item's version or a higher one is kept, also if its JSON differs, because two items of one version cannot be
// ordered. A removal keeps a row whose version is at least the version that Compare read: the data is older than that
// row.
func (e *Environment) reread(ctx context.Context, w *write, done *Written) (again bool, err error) {
	kind := w.Kind
	var now Row
	err = withRetry(ctx, func(ctx context.Context) (err error) {
		now, err = e.ReadRow(ctx, kind, w.Key)
		return err
	})
	if err != nil {
		return false, err
	}
	ours := w.Version // a row of at least this version is kept
	switch {
	case now == nil && w.action == remove, // another program removed it
		now != nil && w.action == mark,                                // another program wrote the marker
		now != nil && w.action != remove && e.same(kind, now, w.item): // another program wrote the same, or w succeeded
		return false, nil
	case w.action == remove:
		ours = w.Was
	}
	// A row that is missing or cannot be parsed is written.
	if stored, err := ParseRow(now); err == nil && stored.Version >= ours {
		done.Kept = append(done.Kept, w.Entry)
		return false, nil
	}
	w.old = now
	return true, nil
}
