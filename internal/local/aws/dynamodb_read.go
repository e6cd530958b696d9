package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// GetItem reads one item; the output's Item is nil if there is none. Eventually consistent reads also return the
// latest item.
func (d *DynamoDB) GetItem(ctx context.Context, in *dynamodb.GetItemInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return dynamoCall(ctx, d, "GetItem", in, func(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
		t, err := d.table(in.TableName)
		if err != nil {
			return nil, err
		}
		k, err := exactKey(in.Key)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return &dynamodb.GetItemOutput{Item: copyItem(t.get(k))}, nil
	})
}

// listing is a Query or a Scan.
type listing struct {
	table     *table
	partition *string // the partition of a Query; nil for a Scan
	keep      string  // the only attribute to return; "": all
	start     *key
	limit     int // number of items; 0: no limit
}

// page is one page of a listing.
type page struct {
	items []map[string]types.AttributeValue
	last  item // the key after which the next page begins; nil for the last page
}

// Query reads a partition in the order of the sort key.
func (d *DynamoDB) Query(ctx context.Context, in *dynamodb.QueryInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return dynamoCall(ctx, d, "Query", in, func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
		if in.KeyConditionExpression == nil {
			return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified " +
				"in the request.")
		}
		e := newExpressions(in.ExpressionAttributeNames, in.ExpressionAttributeValues, true)
		partition := e.key(*in.KeyConditionExpression, partitionKey)
		p, err := d.list(in.TableName, e, listing{partition: &partition}, in.ExclusiveStartKey, in.Limit)
		if err != nil {
			return nil, err
		}
		n := int32(len(p.items))
		return &dynamodb.QueryOutput{Items: p.items, Count: n, ScannedCount: n, LastEvaluatedKey: p.last}, nil
	})
}

// Scan reads a whole table, one partition after the other.
func (d *DynamoDB) Scan(ctx context.Context, in *dynamodb.ScanInput,
	_ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return dynamoCall(ctx, d, "Scan", in, func(in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
		e := newExpressions(in.ExpressionAttributeNames, nil, in.ProjectionExpression != nil)
		p, err := d.list(in.TableName, e, listing{keep: e.projection(in.ProjectionExpression)},
			in.ExclusiveStartKey, in.Limit)
		if err != nil {
			return nil, err
		}
		n := int32(len(p.items))
		return &dynamodb.ScanOutput{Items: p.items, Count: n, ScannedCount: n, LastEvaluatedKey: p.last}, nil
	})
}

// list checks the parameters that Query and Scan have in common, and reads a page.
func (d *DynamoDB) list(tableName *string, e *expressions, l listing, start item, limit *int32) (p page, err error) {
	if l.table, err = d.table(tableName); err != nil {
		return p, err
	}
	if err := e.check(); err != nil {
		return p, err
	}
	if limit != nil && *limit < 1 {
		return p, validation("1 validation error detected: Value at 'limit' failed to satisfy constraint: Member " +
			"must have value greater than or equal to 1")
	}
	l.limit = int(aws.ToInt32(limit))
	if start != nil {
		k, err := exactKey(start)
		if err != nil || l.partition != nil && k.partition != *l.partition {
			return p, validation("The provided starting key is invalid")
		}
		l.start = &k
	}
	return d.page(l), nil
}

// page reads items after start up to a limit. The item that exceeds the limit of bytes is the last of the page. As in
// AWS, a page with a last key can be followed by an empty page.
func (d *DynamoDB) page(l listing) page {
	limit := d.cloud.page()
	d.mu.Lock()
	defer d.mu.Unlock()
	p, bytes, from := page{items: []map[string]types.AttributeValue{}}, 0, 0
	if l.partition != nil {
		from, _ = l.table.find(newKey(*l.partition, ""))
	}
	if l.start != nil {
		at, found := l.table.find(*l.start)
		from = at
		if found {
			from++
		}
	}
	for _, r := range l.table.rows[from:] {
		if l.partition != nil && r.partition != *l.partition {
			break
		}
		found := r.item
		if l.keep != "" {
			found = item{l.keep: found[l.keep]}
		}
		p.items = append(p.items, copyItem(found))
		bytes += r.size
		if len(p.items) == l.limit || bytes > limit {
			p.last = r.key.item()
			break
		}
	}
	return p
}
