package aws

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

// write is one item's part in a write of any kind, checked as far as is possible without the item.
type write struct {
	table     *table
	key       key
	condition expression.Condition
	apply     func(old item) (item, error) // what the item becomes; nil for none
	update    *expression.Update           // of an update
	checkOnly bool
	returnOld bool // with a failed condition
	size      int  // of the item or key that was given
}

// request is what put, update, delete and condition check have in common.
type request struct {
	table       *string
	names       map[string]string
	values      map[string]types.AttributeValue
	condition   *string
	update      *string
	onFailure   types.ReturnValuesOnConditionCheckFailure
	hasNoLegacy bool
}

// write makes what the request says, all but what to apply.
func (d *DynamoDB) write(r request) (*write, error) {
	if !r.hasNoLegacy {
		return nil, unsupported("legacy parameters (Expected, ConditionalOperator, AttributeUpdates)")
	}
	t, err := d.table(r.table)
	if err != nil {
		return nil, err
	}
	w := &write{table: t, returnOld: r.onFailure == types.ReturnValuesOnConditionCheckFailureAllOld}
	if err := checkParams(r.names, r.values, r.condition != nil || r.update != nil); err != nil {
		return nil, err
	}
	params, err := expression.NewParams(r.names, r.values)
	if err == nil {
		w.update, err = params.Update(r.update)
	}
	if err == nil {
		w.condition, err = params.Condition("ConditionExpression", r.condition)
	}
	if err == nil {
		err = params.Unused()
	}
	if err != nil {
		return nil, validation(err.Error())
	}
	for _, a := range t.keyAttributes() {
		if w.update.Touches(a.name) {
			return nil, validation("One or more parameter values were invalid: Cannot update attribute " + a.name + ". This attribute is part of the key")
		}
	}
	return w, nil
}

// checkParams refuses names and values without an expression, or without any in them.
func checkParams(names map[string]string, values map[string]types.AttributeValue, used bool) error {
	switch {
	case names != nil && !used:
		return validation("ExpressionAttributeNames can only be specified when using expressions")
	case values != nil && !used:
		return validation("ExpressionAttributeValues can only be specified when using expressions: the expression is null")
	case names != nil && len(names) == 0:
		return validation("ExpressionAttributeNames must not be empty")
	case values != nil && len(values) == 0:
		return validation("ExpressionAttributeValues must not be empty")
	}
	return nil
}

func (w *write) put(given item) (*write, error) {
	normal, err := expression.Normalize(given)
	if err != nil {
		return nil, validation(err.Error())
	}
	if w.key, err = w.table.keyOf(normal); err != nil {
		return nil, err
	}
	w.size = expression.Size(normal)
	w.apply = func(item) (item, error) { return normal, nil }
	if w.size > maxItemSize {
		return nil, validation("Item size has exceeded the maximum allowed size")
	}
	return w, nil
}

// at sets the key of an update, delete or check.
func (w *write) at(given item) (err error) {
	w.key, err = w.table.exactKey(given)
	w.size = expression.Size(given)
	return err
}

func (w *write) updateAt(given item) (*write, error) {
	if err := w.at(given); err != nil {
		return nil, err
	}
	keys, err := expression.Normalize(given)
	if err != nil {
		return nil, validation(err.Error())
	}
	w.apply = func(old item) (item, error) {
		if old == nil {
			old = keys
		}
		next, err := w.update.Apply(old)
		if err == nil && expression.Size(next) > maxItemSize {
			err = errors.New("Item size to update has exceeded the maximum allowed size") //nolint:staticcheck // AWS's words
		}
		return next, err
	}
	return w, nil
}

func (w *write) deleteAt(given item) (*write, error) {
	w.apply = func(item) (item, error) { return nil, nil }
	return w, w.at(given)
}

// run does one write by itself. It returns the item before and after; before is not the caller's to change.
func (d *DynamoDB) run(w *write) (before, after item, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.table.pending[w.key] {
		return nil, nil, &types.TransactionConflictException{Message: aws.String("Transaction is ongoing for the item")}
	}
	before = w.table.get(w.key)
	if !w.condition.Met(before) {
		failed := &types.ConditionalCheckFailedException{Message: aws.String(conditionFailed)}
		if w.returnOld {
			failed.Item = expression.Copy(before)
		}
		return nil, nil, failed
	}
	if after, err = w.apply(before); err != nil {
		return nil, nil, validation(err.Error())
	}
	w.table.put(w.key, after, time.Now())
	return before, after, nil
}

const conditionFailed = "The conditional request failed"

// PutItem replaces an item.
func (d *DynamoDB) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return dynamoCall(ctx, d, "PutItem", in, func(in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
		w, err := d.write(request{in.TableName, in.ExpressionAttributeNames, in.ExpressionAttributeValues, in.ConditionExpression, nil,
			in.ReturnValuesOnConditionCheckFailure, in.Expected == nil && in.ConditionalOperator == ""})
		if err != nil {
			return nil, err
		}
		if w, err = w.put(in.Item); err != nil {
			return nil, err
		}
		if err := checkReturn(in.ReturnValues, types.ReturnValueAllOld); err != nil {
			return nil, err
		}
		before, after, err := d.run(w)
		if err != nil {
			return nil, err
		}
		return &dynamodb.PutItemOutput{Attributes: returned(in.ReturnValues, w, before, after), ConsumedCapacity: w.consumed(in.ReturnConsumedCapacity, before, after)}, nil
	})
}

// UpdateItem changes an item, or makes it.
func (d *DynamoDB) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return dynamoCall(ctx, d, "UpdateItem", in, func(in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
		w, err := d.write(request{in.TableName, in.ExpressionAttributeNames, in.ExpressionAttributeValues, in.ConditionExpression, in.UpdateExpression,
			in.ReturnValuesOnConditionCheckFailure, in.Expected == nil && in.ConditionalOperator == "" && in.AttributeUpdates == nil})
		if err != nil {
			return nil, err
		}
		if w, err = w.updateAt(in.Key); err != nil {
			return nil, err
		}
		before, after, err := d.run(w)
		if err != nil {
			return nil, err
		}
		return &dynamodb.UpdateItemOutput{Attributes: returned(in.ReturnValues, w, before, after), ConsumedCapacity: w.consumed(in.ReturnConsumedCapacity, before, after)}, nil
	})
}

// DeleteItem deletes an item; one that is not there is no error.
func (d *DynamoDB) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return dynamoCall(ctx, d, "DeleteItem", in, func(in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
		w, err := d.write(request{in.TableName, in.ExpressionAttributeNames, in.ExpressionAttributeValues, in.ConditionExpression, nil,
			in.ReturnValuesOnConditionCheckFailure, in.Expected == nil && in.ConditionalOperator == ""})
		if err != nil {
			return nil, err
		}
		if w, err = w.deleteAt(in.Key); err != nil {
			return nil, err
		}
		if err := checkReturn(in.ReturnValues, types.ReturnValueAllOld); err != nil {
			return nil, err
		}
		before, after, err := d.run(w)
		if err != nil {
			return nil, err
		}
		return &dynamodb.DeleteItemOutput{Attributes: returned(in.ReturnValues, w, before, after), ConsumedCapacity: w.consumed(in.ReturnConsumedCapacity, before, after)}, nil
	})
}

func checkReturn(given types.ReturnValue, allowed types.ReturnValue) error {
	if given != "" && given != types.ReturnValueNone && given != allowed {
		return validation("ReturnValues can only be ALL_OLD or NONE")
	}
	return nil
}

// returned is what ReturnValues asks for.
func returned(which types.ReturnValue, w *write, before, after item) item {
	switch which {
	case types.ReturnValueAllOld:
		return expression.Copy(before)
	case types.ReturnValueAllNew:
		return expression.Copy(after)
	case types.ReturnValueUpdatedOld:
		return w.update.Touched(before)
	case types.ReturnValueUpdatedNew:
		return w.update.Touched(after)
	}
	return nil
}
