package aws

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// write is the write of one item, by any operation. Everything that does not need the stored item has been checked.
type write struct {
	table     *table
	key       key
	condition condition
	apply     func(old item) (item, error) // returns the new item; nil for none
	checkOnly bool                         // a transaction's ConditionCheck, which writes nothing
	size      int                          // size in bytes of the request's item or key
}

const conditionFailed = "The conditional request failed"

// putOf, deleteOf and checkOf convert an item of a transaction to a write. PutItem and DeleteItem use them too.
func (d *DynamoDB) putOf(p *types.Put) (*write, error) {
	w, err := d.write("Put", p, p.TableName, p.ConditionExpression, p.ExpressionAttributeNames,
		p.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	next, err := normalize(p.Item)
	if err != nil {
		return nil, err
	}
	if w.key, err = keyOf(next); err != nil {
		return nil, err
	}
	w.size = ItemSize(next)
	w.apply = func(item) (item, error) { return next, nil }
	if w.size > maxItemSize {
		return nil, validation("Item size has exceeded the maximum allowed size")
	}
	return w, nil
}

func (d *DynamoDB) deleteOf(p *types.Delete) (*write, error) {
	w, err := d.write("Delete", p, p.TableName, p.ConditionExpression, p.ExpressionAttributeNames,
		p.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	w.apply = func(item) (item, error) { return nil, nil }
	return w, w.at(p.Key)
}

func (d *DynamoDB) checkOf(p *types.ConditionCheck) (*write, error) {
	if p.ConditionExpression == nil {
		return nil, validation("1 validation error detected: Value null at " +
			"'transactItems.1.member.conditionCheck.conditionExpression' failed to satisfy constraint: Member must " +
			"not be null")
	}
	w, err := d.write("ConditionCheck", p, p.TableName, p.ConditionExpression, p.ExpressionAttributeNames,
		p.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	w.checkOnly, w.apply = true, func(old item) (item, error) { return old, nil }
	return w, w.at(p.Key)
}

// write makes the parts that all three have in common.
func (d *DynamoDB) write(kind string, in any, tableName, text *string, names map[string]string,
	values item) (*write, error) {
	if err := checkFields(kind, in); err != nil {
		return nil, err
	}
	t, err := d.table(tableName)
	if err != nil {
		return nil, err
	}
	e := newExpressions(names, values, text != nil)
	w := &write{table: t, condition: e.condition(text)}
	return w, e.check()
}

// at sets the key of a delete, check or update.
func (w *write) at(given item) (err error) {
	w.key, err = exactKey(given)
	w.size = ItemSize(given)
	return err
}

// run makes one write outside of a transaction, and returns the new item, which the caller must not change.
func (d *DynamoDB) run(w *write) (item, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.table.pending[w.key] {
		return nil, &types.TransactionConflictException{Message: aws.String("Transaction is ongoing for the item")}
	}
	before := w.table.get(w.key)
	if !w.condition.met(before) {
		return nil, &types.ConditionalCheckFailedException{Message: aws.String(conditionFailed)}
	}
	after, err := w.apply(before)
	if err != nil {
		return nil, err
	}
	w.table.put(w.key, after, time.Now())
	return after, nil
}

// PutItem replaces an item.
func (d *DynamoDB) PutItem(ctx context.Context, in *dynamodb.PutItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return dynamoCall(ctx, d, "PutItem", in, func(in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
		w, err := d.putOf(&types.Put{
			TableName: in.TableName, Item: in.Item, ConditionExpression: in.ConditionExpression,
			ExpressionAttributeNames:  in.ExpressionAttributeNames,
			ExpressionAttributeValues: in.ExpressionAttributeValues,
		})
		if err == nil {
			_, err = d.run(w)
		}
		return &dynamodb.PutItemOutput{}, err
	})
}

// DeleteItem deletes an item. It returns no error if the item does not exist.
func (d *DynamoDB) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return dynamoCall(ctx, d, "DeleteItem", in, func(in *dynamodb.DeleteItemInput) (*dynamodb.DeleteItemOutput, error) {
		w, err := d.deleteOf(&types.Delete{
			TableName: in.TableName, Key: in.Key, ConditionExpression: in.ConditionExpression,
			ExpressionAttributeNames:  in.ExpressionAttributeNames,
			ExpressionAttributeValues: in.ExpressionAttributeValues,
		})
		if err == nil {
			_, err = d.run(w)
		}
		return &dynamodb.DeleteItemOutput{}, err
	})
}

// UpdateItem sets an attribute of an item or adds to a number, and creates the item and the attribute if they do not
// exist. Its output has the attribute if ReturnValues is UPDATED_NEW.
func (d *DynamoDB) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	return dynamoCall(ctx, d, "UpdateItem", in, func(in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error) {
		if in.ReturnValues != "" && in.ReturnValues != types.ReturnValueUpdatedNew {
			return nil, unsupported("ReturnValues %s of UpdateItem", in.ReturnValues)
		}
		t, err := d.table(in.TableName)
		if err != nil {
			return nil, err
		}
		e := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues, in.UpdateExpression != nil)
		name, next := e.update(aws.ToString(in.UpdateExpression))
		w := &write{table: t, condition: e.condition(in.ConditionExpression)}
		if err := e.check(); err != nil {
			return nil, err
		}
		if err := w.at(in.Key); err != nil {
			return nil, err
		}
		if name == partitionKey || name == sortKey {
			return nil, validation("One or more parameter values were invalid: Cannot update attribute " + name +
				". This attribute is part of the key")
		}
		w.apply = func(old item) (item, error) {
			i := copyItem(old)
			if i == nil {
				i = w.key.item()
			}
			v, err := next(i)
			i[name] = v
			return i, err
		}
		after, err := d.run(w)
		out := &dynamodb.UpdateItemOutput{}
		if in.ReturnValues != "" {
			out.Attributes = copyItem(item{name: after[name]})
		}
		return out, err
	})
}
