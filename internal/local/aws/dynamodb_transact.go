package aws

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

// Limits of transactions (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
const (
	maxTransactionItems = 100
	maxTransactionSize  = 4 << 20
	tokenLife           = 10 * time.Minute
)

// token remembers a TransactWriteItems that had a ClientRequestToken.
type token struct {
	items []types.TransactWriteItem
	out   *dynamodb.TransactWriteItemsOutput // nil while it runs
	made  time.Time
}

// TransactWriteItems makes up to 100 writes, all or none. Whether all is decided at once; then they are applied one
// by one, and reads may come between (see [Cloud.BetweenItems]), while writes to the same items fail with a conflict.
// Repeated with the same ClientRequestToken within ten minutes it does nothing more.
func (d *DynamoDB) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return dynamoCall(ctx, d, "TransactWriteItems", in, func(in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
		writes, err := d.transactWrites(in.TransactItems)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		known, err := d.repeated(in)
		if err != nil || known != nil {
			return known, err
		}
		befores, afters, err := decide(writes)
		if err != nil {
			return nil, err
		}
		var t *token
		if in.ClientRequestToken != nil {
			t = &token{items: in.TransactItems, made: time.Now()}
			d.tokens[*in.ClientRequestToken] = t
		}
		d.applyLocked(writes, afters)
		tables, units := make([]*table, len(writes)), make([]float64, len(writes))
		for i, w := range writes {
			tables[i], units[i] = w.table, 2*writeUnits(befores[i], afters[i])
		}
		out := &dynamodb.TransactWriteItemsOutput{ConsumedCapacity: consumedByTable(in.ReturnConsumedCapacity, tables, units)}
		if t != nil {
			t.out = out
		}
		return out, nil
	})
}

// repeated is the output of the same request made before, or nil. It needs mu.
func (d *DynamoDB) repeated(in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	for name, t := range d.tokens {
		if time.Since(t.made) > tokenLife {
			delete(d.tokens, name)
		}
	}
	t := d.tokens[aws.ToString(in.ClientRequestToken)]
	switch {
	case t == nil:
		return nil, nil
	case !reflect.DeepEqual(t.items, in.TransactItems):
		return nil, &types.IdempotentParameterMismatchException{Message: aws.String("The request uses the same client token as a previous, but non-identical request")}
	case t.out == nil:
		return nil, &types.TransactionInProgressException{Message: aws.String("The transaction with the given request token is already in progress")}
	}
	out := *t.out
	return &out, nil
}

// decide evaluates a transaction on the tables as they are. It needs mu.
func decide(writes []*write) (befores, afters []item, err error) {
	befores, afters = make([]item, len(writes)), make([]item, len(writes))
	reasons := make([]types.CancellationReason, len(writes))
	canceled := false
	for i, w := range writes {
		befores[i] = w.table.get(w.key)
		reasons[i].Code = aws.String("None")
		next, applyErr := w.apply(befores[i])
		afters[i] = next
		switch {
		case w.table.pending[w.key]:
			reasons[i] = reason("TransactionConflict", "Transaction is ongoing for the item")
		case !w.condition.Met(befores[i]):
			reasons[i] = reason("ConditionalCheckFailed", conditionFailed)
			if w.returnOld {
				reasons[i].Item = expression.Copy(befores[i])
			}
		case applyErr != nil:
			reasons[i] = reason("ValidationError", applyErr.Error())
		default:
			continue
		}
		canceled = true
	}
	if canceled {
		return nil, nil, cancel(reasons)
	}
	return befores, afters, nil
}

func reason(code, message string) types.CancellationReason {
	return types.CancellationReason{Code: aws.String(code), Message: aws.String(message)}
}

func cancel(reasons []types.CancellationReason) error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = *r.Code
	}
	return &types.TransactionCanceledException{
		Message:             aws.String("Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]"), //nolint:misspell // AWS's spelling
		CancellationReasons: reasons,
	}
}

// applyLocked stores what was decided, item by item. It needs mu, and gives it up between items.
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

// transactWrites checks all that can be checked without the items.
func (d *DynamoDB) transactWrites(items []types.TransactWriteItem) ([]*write, error) {
	if len(items) < 1 || len(items) > maxTransactionItems {
		return nil, validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100 and greater than or equal to 1")
	}
	writes := make([]*write, len(items))
	size, seen := 0, map[*table]map[key]bool{}
	for i, one := range items {
		w, err := d.transactWrite(one)
		if err != nil {
			return nil, err
		}
		if seen[w.table] == nil {
			seen[w.table] = map[key]bool{}
		}
		if seen[w.table][w.key] {
			return nil, validation("Transaction request cannot include multiple operations on one item")
		}
		seen[w.table][w.key] = true
		size += w.size
		writes[i] = w
	}
	if size > maxTransactionSize {
		return nil, validation(fmt.Sprintf("Transaction payload size cannot exceed 4MB. Payload Size: %d", size))
	}
	return writes, nil
}

func (d *DynamoDB) transactWrite(one types.TransactWriteItem) (*write, error) {
	operations := 0
	for _, given := range []bool{one.Put != nil, one.Update != nil, one.Delete != nil, one.ConditionCheck != nil} {
		if given {
			operations++
		}
	}
	if operations != 1 {
		return nil, validation("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	switch {
	case one.Put != nil:
		o := one.Put
		w, err := d.write(request{o.TableName, o.ExpressionAttributeNames, o.ExpressionAttributeValues, o.ConditionExpression, nil, o.ReturnValuesOnConditionCheckFailure, true})
		if err != nil {
			return nil, err
		}
		return w.put(o.Item)
	case one.Delete != nil:
		o := one.Delete
		w, err := d.write(request{o.TableName, o.ExpressionAttributeNames, o.ExpressionAttributeValues, o.ConditionExpression, nil, o.ReturnValuesOnConditionCheckFailure, true})
		if err != nil {
			return nil, err
		}
		return w.deleteAt(o.Key)
	case one.Update != nil:
		o := one.Update
		if o.UpdateExpression == nil {
			return nil, validation("1 validation error detected: Value null at 'transactItems.1.member.update.updateExpression' failed to satisfy constraint: Member must not be null")
		}
		w, err := d.write(request{o.TableName, o.ExpressionAttributeNames, o.ExpressionAttributeValues, o.ConditionExpression, o.UpdateExpression, o.ReturnValuesOnConditionCheckFailure, true})
		if err != nil {
			return nil, err
		}
		return w.updateAt(o.Key)
	}
	o := one.ConditionCheck
	if o.ConditionExpression == nil {
		return nil, validation("1 validation error detected: Value null at 'transactItems.1.member.conditionCheck.conditionExpression' failed to satisfy constraint: Member must not be null")
	}
	w, err := d.write(request{o.TableName, o.ExpressionAttributeNames, o.ExpressionAttributeValues, o.ConditionExpression, nil, o.ReturnValuesOnConditionCheckFailure, true})
	if err != nil {
		return nil, err
	}
	w.checkOnly, w.apply = true, func(old item) (item, error) { return old, nil }
	return w, w.at(o.Key)
}

// TransactGetItems reads up to 100 items as they are at one moment, or fails while a transaction writes one of them.
func (d *DynamoDB) TransactGetItems(ctx context.Context, in *dynamodb.TransactGetItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error) {
	return dynamoCall(ctx, d, "TransactGetItems", in, func(in *dynamodb.TransactGetItemsInput) (*dynamodb.TransactGetItemsOutput, error) {
		if len(in.TransactItems) < 1 || len(in.TransactItems) > maxTransactionItems {
			return nil, validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100 and greater than or equal to 1")
		}
		reads := make([]read, len(in.TransactItems))
		for i, one := range in.TransactItems {
			if one.Get == nil {
				return nil, validation("1 validation error detected: Value null at 'transactItems.1.member.get' failed to satisfy constraint: Member must not be null")
			}
			r, err := d.read(one.Get.TableName, one.Get.Key, one.Get.ProjectionExpression, one.Get.ExpressionAttributeNames)
			if err != nil {
				return nil, err
			}
			reads[i] = r
		}
		return d.transactGet(reads, in.ReturnConsumedCapacity)
	})
}

func (d *DynamoDB) transactGet(reads []read, asked types.ReturnConsumedCapacity) (*dynamodb.TransactGetItemsOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &dynamodb.TransactGetItemsOutput{Responses: make([]types.ItemResponse, len(reads))}
	reasons, canceled := make([]types.CancellationReason, len(reads)), false
	tables, units := make([]*table, len(reads)), make([]float64, len(reads))
	for i, r := range reads {
		reasons[i].Code = aws.String("None")
		if r.table.pending[r.key] {
			reasons[i], canceled = reason("TransactionConflict", "Transaction is ongoing for the item"), true
		}
		found := r.table.get(r.key)
		out.Responses[i].Item = r.projection.Apply(found)
		tables[i], units[i] = r.table, 2*readUnits(expression.Size(found), aws.Bool(true))
	}
	if canceled {
		return nil, cancel(reasons)
	}
	out.ConsumedCapacity = consumedByTable(asked, tables, units)
	return out, nil
}
