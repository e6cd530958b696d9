package aws

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

// Limits of the batch operations (API_BatchWriteItem and API_BatchGetItem).
const (
	maxBatchWrite = 25
	maxBatchRead  = 100
)

// BatchGetItem reads up to 100 items. All of them are processed.
func (d *DynamoDB) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	return dynamoCall(ctx, d, "BatchGetItem", in, func(in *dynamodb.BatchGetItemInput) (*dynamodb.BatchGetItemOutput, error) {
		var reads []read
		var consistent []*bool
		seen := map[string]map[key]bool{}
		for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
			asked := in.RequestItems[name]
			if asked.AttributesToGet != nil {
				return nil, unsupported("legacy parameters (AttributesToGet)")
			}
			seen[name] = map[key]bool{}
			for _, k := range asked.Keys {
				r, err := d.read(aws.String(name), k, asked.ProjectionExpression, asked.ExpressionAttributeNames)
				if err != nil {
					return nil, err
				}
				if seen[name][r.key] {
					return nil, validation("Provided list of item keys contains duplicates")
				}
				seen[name][r.key] = true
				reads, consistent = append(reads, r), append(consistent, asked.ConsistentRead)
			}
		}
		if len(reads) == 0 {
			return nil, validation("1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
		}
		if len(reads) > maxBatchRead {
			return nil, validation("Too many items requested for the BatchGetItem call")
		}
		return d.batchGet(reads, consistent, in.ReturnConsumedCapacity), nil
	})
}

func (d *DynamoDB) batchGet(reads []read, consistent []*bool, asked types.ReturnConsumedCapacity) *dynamodb.BatchGetItemOutput {
	out := &dynamodb.BatchGetItemOutput{
		Responses:       map[string][]map[string]types.AttributeValue{},
		UnprocessedKeys: map[string]types.KeysAndAttributes{},
	}
	tables, units := make([]*table, len(reads)), make([]float64, len(reads))
	for i, r := range reads {
		d.mu.Lock()
		found := r.table.get(r.key)
		d.mu.Unlock()
		tables[i], units[i] = r.table, readUnits(expression.Size(found), consistent[i])
		if out.Responses[r.table.name] == nil {
			out.Responses[r.table.name] = []map[string]types.AttributeValue{}
		}
		if found != nil {
			out.Responses[r.table.name] = append(out.Responses[r.table.name], r.projection.Apply(found))
		}
	}
	out.ConsumedCapacity = consumedByTable(asked, tables, units)
	return out
}

// BatchWriteItem makes up to 25 puts and deletes, each by itself. One that meets a transaction is left unprocessed.
func (d *DynamoDB) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	return dynamoCall(ctx, d, "BatchWriteItem", in, func(in *dynamodb.BatchWriteItemInput) (*dynamodb.BatchWriteItemOutput, error) {
		var writes []*write
		var requests []types.WriteRequest
		seen := map[string]map[key]bool{}
		for _, name := range slices.Sorted(maps.Keys(in.RequestItems)) {
			seen[name] = map[key]bool{}
			if len(in.RequestItems[name]) == 0 {
				return nil, validation("The batch write request list for a table cannot be null or empty: " + name)
			}
			for _, asked := range in.RequestItems[name] {
				w, err := d.batchWrite(name, asked)
				if err != nil {
					return nil, err
				}
				if seen[name][w.key] {
					return nil, validation("Provided list of item keys contains duplicates")
				}
				seen[name][w.key] = true
				writes, requests = append(writes, w), append(requests, asked)
			}
		}
		if len(writes) == 0 {
			return nil, validation("1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
		}
		if len(writes) > maxBatchWrite {
			return nil, validation("Too many items requested for the BatchWriteItem call")
		}
		out := &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{}}
		tables, units := make([]*table, len(writes)), make([]float64, len(writes))
		for i, w := range writes {
			before, after, err := d.run(w)
			if err != nil {
				out.UnprocessedItems[w.table.name] = append(out.UnprocessedItems[w.table.name], requests[i])
			}
			tables[i], units[i] = w.table, writeUnits(before, after)
		}
		out.ConsumedCapacity = consumedByTable(in.ReturnConsumedCapacity, tables, units)
		return out, nil
	})
}

func (d *DynamoDB) batchWrite(tableName string, asked types.WriteRequest) (*write, error) {
	w, err := d.write(request{table: aws.String(tableName), hasNoLegacy: true})
	if err != nil {
		return nil, err
	}
	switch {
	case asked.PutRequest != nil && asked.DeleteRequest == nil:
		return w.put(asked.PutRequest.Item)
	case asked.DeleteRequest != nil && asked.PutRequest == nil:
		return w.deleteAt(asked.DeleteRequest.Key)
	}
	return nil, validation("Supplied WriteRequest must contain exactly one of PutRequest and DeleteRequest")
}
