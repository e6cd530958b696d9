package aws

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Limits of transactions (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
const (
	maxTransactionItems = 100
	maxTransactionSize  = 4 << 20
)

// TransactWriteItems makes up to 100 puts, deletes and checks, all or none. The outcome is decided at once. Then the
// items are applied one by one: reads may see some of them applied (see [Cloud.BetweenItems]), and other writes to
// the same items fail with a conflict.
func (d *DynamoDB) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return dynamoCall(ctx, d, "TransactWriteItems", in,
		func(in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
			writes, err := d.transactWrites(in.TransactItems)
			if err != nil {
				return nil, err
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			afters, err := decide(writes)
			if err != nil {
				return nil, err
			}
			d.applyLocked(writes, afters)
			return &dynamodb.TransactWriteItemsOutput{}, nil
		})
}

// decide evaluates a transaction on the current tables. The caller must hold mu.
func decide(writes []*write) (afters []item, err error) {
	afters = make([]item, len(writes))
	reasons, codes := make([]types.CancellationReason, len(writes)), make([]string, len(writes))
	canceled := false
	for i, w := range writes {
		before := w.table.get(w.key)
		afters[i], err = w.apply(before)
		code, message := "None", ""
		switch {
		case w.table.pending[w.key]:
			code, message = "TransactionConflict", "Transaction is ongoing for the item"
		case !w.condition.met(before):
			code, message = "ConditionalCheckFailed", conditionFailed
		case err != nil:
			code, message = "ValidationError", err.Error()
		}
		if codes[i], reasons[i].Code = code, &code; code != "None" {
			canceled, reasons[i].Message = true, &message
		}
	}
	if canceled {
		return nil, &types.TransactionCanceledException{
			//nolint:misspell // AWS's spelling
			Message: aws.String("Transaction cancelled, please refer cancellation reasons for specific " +
				"reasons [" + strings.Join(codes, ", ") + "]"),
			CancellationReasons: reasons,
		}
	}
	return afters, nil
}

// applyLocked stores the items of a decided transaction one by one. The caller must hold mu, which is released
// between items.
func (d *DynamoDB) applyLocked(writes []*write, afters []item) {
	for _, w := range writes {
		w.table.pending[w.key] = true
	}
	defer func() {
		for _, w := range writes {
			delete(w.table.pending, w.key)
		}
	}()
	now := time.Now()
	for i, w := range writes {
		if i > 0 {
			d.unlocked(d.cloud.between)
		}
		if !w.checkOnly {
			w.table.put(w.key, afters[i], now)
		}
	}
}

func (d *DynamoDB) unlocked(f func()) {
	d.mu.Unlock()
	defer d.mu.Lock()
	f()
}

// transactWrites makes the checks that do not need the stored items.
func (d *DynamoDB) transactWrites(items []types.TransactWriteItem) ([]*write, error) {
	if len(items) < 1 || len(items) > maxTransactionItems {
		return nil, validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: " +
			"Member must have length less than or equal to 100 and greater than or equal to 1")
	}
	type place struct {
		table *table
		key   key
	}
	writes := make([]*write, len(items))
	size, seen := 0, map[place]bool{}
	for i, one := range items {
		w, err := d.transactWrite(one)
		if err != nil {
			return nil, err
		}
		if seen[place{w.table, w.key}] {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		}
		seen[place{w.table, w.key}] = true
		size += w.size
		writes[i] = w
	}
	if size > maxTransactionSize {
		return nil, validation(fmt.Sprintf("Transaction payload size cannot exceed 4MB. Payload Size: %d", size))
	}
	return writes, nil
}

func (d *DynamoDB) transactWrite(one types.TransactWriteItem) (*write, error) {
	if one.Update != nil {
		return nil, unsupported("an Update in a transaction")
	}
	switch {
	case one.Put != nil && one.Delete == nil && one.ConditionCheck == nil:
		return d.putOf(one.Put)
	case one.Delete != nil && one.Put == nil && one.ConditionCheck == nil:
		return d.deleteOf(one.Delete)
	case one.ConditionCheck != nil && one.Put == nil && one.Delete == nil:
		return d.checkOf(one.ConditionCheck)
	}
	return nil, validation("TransactItems can only contain one of Check, Put, Update or Delete")
}
