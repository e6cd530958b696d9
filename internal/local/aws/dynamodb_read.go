package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

// GetItem reads one item; without one, the output's Item is nil. Eventually consistent reads see the latest item too.
func (d *DynamoDB) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return dynamoCall(ctx, d, "GetItem", in, func(in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
		if in.AttributesToGet != nil {
			return nil, unsupported("legacy parameters (AttributesToGet)")
		}
		r, err := d.read(in.TableName, in.Key, in.ProjectionExpression, in.ExpressionAttributeNames)
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		found := r.table.get(r.key)
		d.mu.Unlock()
		return &dynamodb.GetItemOutput{
			Item:             r.projection.Apply(found),
			ConsumedCapacity: consumed(in.ReturnConsumedCapacity, r.table, readUnits(expression.Size(found), in.ConsistentRead)),
		}, nil
	})
}

// read is one item's part in a GetItem, BatchGetItem or TransactGetItems.
type read struct {
	table      *table
	key        key
	projection expression.Projection
}

func (d *DynamoDB) read(tableName *string, given item, projection *string, names map[string]string) (read, error) {
	t, err := d.table(tableName)
	if err != nil {
		return read{}, err
	}
	k, err := t.exactKey(given)
	if err != nil {
		return read{}, err
	}
	if err := checkParams(names, nil, projection != nil); err != nil {
		return read{}, err
	}
	params, err := expression.NewParams(names, nil)
	if err != nil {
		return read{}, validation(err.Error())
	}
	p, err := params.Projection(projection)
	if err == nil {
		err = params.Unused()
	}
	if err != nil {
		return read{}, validation(err.Error())
	}
	return read{t, k, p}, nil
}

// listing is a Query or a Scan.
type listing struct {
	table      *table
	partition  *key                            // of a Query
	sort       func(types.AttributeValue) bool // of a Query; nil accepts all
	segment    func(hash uint64) bool          // of a Scan
	backward   bool
	filter     expression.Condition
	projection expression.Projection
	start      *key
	limit      int // in items; 0 for none
	countOnly  bool
}

// page is what one call returns of a listing.
type page struct {
	items          []map[string]types.AttributeValue
	count, scanned int32
	last           item // where the next page begins, or nil
	bytes          int
}

// Query reads a partition, or a range of it, in the order of the sort key.
func (d *DynamoDB) Query(ctx context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return dynamoCall(ctx, d, "Query", in, func(in *dynamodb.QueryInput) (*dynamodb.QueryOutput, error) {
		if in.AttributesToGet != nil || in.KeyConditions != nil || in.QueryFilter != nil || in.ConditionalOperator != "" {
			return nil, unsupported("legacy parameters (AttributesToGet, KeyConditions, QueryFilter, ConditionalOperator)")
		}
		if in.KeyConditionExpression == nil {
			return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
		}
		l, params, err := d.listing(in.TableName, in.IndexName, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
		if err != nil {
			return nil, err
		}
		condition, err := params.KeyCondition(*in.KeyConditionExpression, l.table.partitionKey.name, l.table.sortKey.name)
		if err != nil {
			return nil, validation(err.Error())
		}
		if got := expression.TypeOf(condition.Partition); got != l.table.partitionKey.dataType {
			return nil, validation("One or more parameter values were invalid: Condition parameter type does not match schema type")
		}
		l.partition, l.sort = &key{partition: expression.OrderKey(condition.Partition)}, condition.Sort
		l.backward = in.ScanIndexForward != nil && !*in.ScanIndexForward
		if err := l.parse(params, in.FilterExpression, in.ProjectionExpression, in.Limit, in.Select, in.ExclusiveStartKey); err != nil {
			return nil, err
		}
		p := d.page(l)
		return &dynamodb.QueryOutput{
			Items: p.items, Count: p.count, ScannedCount: p.scanned, LastEvaluatedKey: p.last,
			ConsumedCapacity: consumed(in.ReturnConsumedCapacity, l.table, readUnits(p.bytes, in.ConsistentRead)),
		}, nil
	})
}

// Scan reads a whole table, or one of its segments, in no order that means anything.
func (d *DynamoDB) Scan(ctx context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return dynamoCall(ctx, d, "Scan", in, func(in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
		if in.AttributesToGet != nil || in.ScanFilter != nil || in.ConditionalOperator != "" {
			return nil, unsupported("legacy parameters (AttributesToGet, ScanFilter, ConditionalOperator)")
		}
		l, params, err := d.listing(in.TableName, in.IndexName, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
		if err != nil {
			return nil, err
		}
		segment, total := uint64(aws.ToInt32(in.Segment)), uint64(aws.ToInt32(in.TotalSegments))
		if (in.Segment == nil) != (in.TotalSegments == nil) || in.TotalSegments != nil && (*in.TotalSegments < 1 || *in.Segment < 0 || segment >= total) {
			return nil, validation("The Segment parameter is zero-based and must be less than parameter TotalSegments; both or neither must be given")
		}
		l.segment = func(hash uint64) bool { return total == 0 || hash%total == segment }
		if err := l.parse(params, in.FilterExpression, in.ProjectionExpression, in.Limit, in.Select, in.ExclusiveStartKey); err != nil {
			return nil, err
		}
		p := d.page(l)
		return &dynamodb.ScanOutput{
			Items: p.items, Count: p.count, ScannedCount: p.scanned, LastEvaluatedKey: p.last,
			ConsumedCapacity: consumed(in.ReturnConsumedCapacity, l.table, readUnits(p.bytes, in.ConsistentRead)),
		}, nil
	})
}

func (d *DynamoDB) listing(tableName, index *string, names map[string]string, values map[string]types.AttributeValue) (*listing, *expression.Params, error) {
	t, err := d.table(tableName)
	if err != nil {
		return nil, nil, err
	}
	if index != nil {
		return nil, nil, validation("The table does not have the specified index: " + *index)
	}
	params, err := expression.NewParams(names, values)
	if err != nil {
		return nil, nil, validation(err.Error())
	}
	return &listing{table: t}, params, nil
}

// parse reads what Query and Scan have in common.
func (l *listing) parse(params *expression.Params, filter, projection *string, limit *int32, what types.Select, start item) (err error) {
	if l.filter, err = params.Condition("FilterExpression", filter); err != nil {
		return validation(err.Error())
	}
	if l.projection, err = params.Projection(projection); err != nil {
		return validation(err.Error())
	}
	if err := params.Unused(); err != nil {
		return validation(err.Error())
	}
	if limit != nil && *limit < 1 {
		return validation("1 validation error detected: Value at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	l.limit = int(aws.ToInt32(limit))
	l.countOnly = what == types.SelectCount
	if start != nil {
		k, err := l.table.exactKey(start)
		if err != nil || l.partition != nil && k.partition != l.partition.partition {
			return validation("The provided starting key is invalid")
		}
		l.start = &k
	}
	return nil
}

// page reads on from start until a limit: the size counts every item that was looked at, before the filter, and the
// item that crosses the limit is the page's last. As in AWS, nothing may follow a page that has a last key.
func (d *DynamoDB) page(l *listing) page {
	limit := d.cloud.page()
	d.mu.Lock()
	defer d.mu.Unlock()
	p := page{items: []map[string]types.AttributeValue{}}
	if l.countOnly {
		p.items = nil
	}
	l.each(func(r row) bool {
		p.bytes += r.size
		p.scanned++
		if l.filter.Met(r.item) {
			p.count++
			if !l.countOnly {
				p.items = append(p.items, l.projection.Apply(r.item))
			}
		}
		if int(p.scanned) == l.limit || p.bytes > limit {
			p.last = l.table.keyItem(r.item)
			return false
		}
		return true
	})
	return p
}

// each calls f with the rows from start on, until it returns false.
func (l *listing) each(f func(row) bool) {
	t := l.table
	if l.partition != nil {
		if i, ok := t.find(l.partition.partition); ok {
			l.eachRow(t.partitions[i], l.start, f)
		}
		return
	}
	from := 0
	if l.start != nil {
		from, _ = t.find(l.start.partition)
	}
	for i, p := range t.partitions[from:] {
		start := l.start
		if start != nil && (i > 0 || p.key != start.partition) {
			start = nil
		}
		if l.segment(p.hash) && !l.eachRow(p, start, f) {
			return
		}
	}
}

func (l *listing) eachRow(p *partition, start *key, f func(row) bool) bool {
	i, step := 0, 1
	if l.backward {
		i, step = len(p.rows)-1, -1
	}
	if start != nil {
		at, found := p.find(start.sort)
		switch {
		case l.backward:
			i = at - 1
		case found:
			i = at + 1
		default:
			i = at
		}
	}
	for ; i >= 0 && i < len(p.rows); i += step {
		r := p.rows[i]
		if l.sort != nil && !l.sort(r.item[l.table.sortKey.name]) {
			continue
		}
		if !f(r) {
			return false
		}
	}
	return true
}
