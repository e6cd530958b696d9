package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A transaction is the writes of one batch in their order, and after them the check of the fencing token, if there is
// one. DynamoDB gives the reasons of a cancellation in that same order. Each row of a canceled transaction is settled
// alone:
//
//  1. "None", throttling or a conflict: the write is retried.
//  2. The write's condition failed: the row is read again. If it holds our item, the write is done. If it is newer, the
//     row is kept. Otherwise the write is retried with a condition on the row as it is now.
//  3. Any other reason ends Write, because no retry can fix it. So does a lost token.
const conditionFailed = "ConditionalCheckFailed" // a cancellation reason

// WriteOptions say how a difference is written.
type WriteOptions struct {
	// Token is the result of [Environment.TakeToken]. Every transaction then checks that it is still the newest. 0:
	// no token.
	Token int64
	// Lower says that items whose version is lower than their rows' are written too. Default: they are left out.
	Lower bool
	// Progress is called before the first transaction and after each, with the number of rows that are done and of all.
	Progress func(done, total int)
}

// Written is what [Environment.Write] did.
type Written struct {
	// Transactions is the number of transactions that succeeded.
	Transactions int
	// Kept are items that were not written, because another program changed their rows after Compare had read them,
	// to a version that is at least as high.
	Kept []Entry
}

// Write writes a difference in transactions of at most 100 rows and 4 MB: items in the order in which they were
// given, removals after them, and LaunchDarkly's $inited marker last. An empty difference makes no call. No error
// means that the table agreed with the data, except for Kept and the difference's Refused and Lower.
// [Environment.EndSync] says whether no other sync has taken a newer token until then.
//
// Each write is conditional on the row as Compare read it. A row that changed meanwhile is kept if its version is at
// least ours (for a removal: the version that was to be removed), and is written otherwise. Throttling and conflicts
// are retried for up to 30 seconds a transaction. If the token is no longer the newest, the error is [ErrTokenLost]
// and nothing more is written. After any error the transactions that succeeded stay, and the next Compare finds the
// rest.
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

// batches splits writes into transactions, in their order, as full as DynamoDB's limits allow. One write alone always
// fits: it has no more than two rows of 400 KB.
func batches(writes []*write, o WriteOptions) (all [][]*write) {
	limit := maxTransactionItems
	if o.Token != 0 {
		limit-- // for the check
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

// transact sends one transaction, and resends what its cancellations left to do. DynamoDB makes all of a
// transaction's writes or none
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html). It returns nil without a
// transaction if nothing of the batch is left to do: done.Transactions counts only transactions that succeeded.
func (e *Environment) transact(ctx context.Context, batch []*write, token int64, done *Written) error {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	for attempt := 1; len(batch) > 0; attempt++ {
		// The input is new each time, so that the SDK gives each its own idempotency token. After a lost answer the
		// conditions fail, and the rows turn out to be ours.
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

// settle returns the writes of a canceled transaction that are still to be made: those that another row's failure or
// throttling held up, and those whose row changed but is older than ours. Its error names the row that no retry can
// fix.
func (e *Environment) settle(
	ctx context.Context, batch []*write, token int64, canceled *types.TransactionCanceledException, done *Written,
) ([]*write, error) {
	reasons := canceled.CancellationReasons
	// Any other reason of the token's check, such as a conflict with a sync that takes it now, passes: the next attempt
	// tells.
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

// reread reads a row again whose condition failed, and reports whether it is still to be written. A row of our
// version or a higher one is kept, whatever it holds: two items of one version cannot be ordered. For a removal, "our
// version" is the version that was to be removed: a row that was written since then is not removed because of older
// data.
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
	ours := w.Version // what the row's version must reach to be kept
	switch {
	case now == nil && w.action == remove, // another program removed it
		now != nil && w.action == mark,                                // another program wrote the marker
		now != nil && w.action != remove && e.same(kind, now, w.item): // the same was written, or the answer was lost
		return false, nil
	case w.action == remove:
		ours = w.Was
	}
	// A row that is gone, or cannot be read, is written.
	if stored, err := ParseRow(now); err == nil && stored.Version >= ours {
		done.Kept = append(done.Kept, w.Entry)
		return false, nil
	}
	w.old = now
	return true, nil
}
