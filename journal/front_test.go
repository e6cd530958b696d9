package journal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/localaws"
)

// serve lets other processes read an account's table: GetItem and Query in DynamoDB's JSON protocol, for attributes
// that are strings and numbers. It returns the endpoint.
func serve(t *testing.T, db *localaws.DynamoDB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		var in struct {
			TableName, KeyConditionExpression                 *string
			ConsistentRead                                    *bool
			Key, ExclusiveStartKey, ExpressionAttributeValues attributes
			ExpressionAttributeNames                          map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := call(r.Context(), db, operation, &dynamodb.GetItemInput{
			TableName: in.TableName, Key: in.Key.values(), ConsistentRead: in.ConsistentRead,
		}, &dynamodb.QueryInput{
			TableName: in.TableName, ConsistentRead: in.ConsistentRead, KeyConditionExpression: in.KeyConditionExpression,
			ExpressionAttributeNames: in.ExpressionAttributeNames, ExpressionAttributeValues: in.ExpressionAttributeValues.values(),
			ExclusiveStartKey: in.ExclusiveStartKey.values(),
		})
		status := http.StatusOK
		if err != nil {
			status = http.StatusBadRequest
			answer = map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#ValidationException", "message": err.Error()}
		}
		body, _ := json.Marshal(answer)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func call(ctx context.Context, db *localaws.DynamoDB, operation string, get *dynamodb.GetItemInput, query *dynamodb.QueryInput) (any, error) {
	switch operation {
	case "GetItem":
		out, err := db.GetItem(ctx, get)
		if err != nil || out.Item == nil {
			return struct{}{}, err
		}
		return map[string]any{"Item": encode(out.Item)}, nil
	case "Query":
		out, err := db.Query(ctx, query)
		if err != nil {
			return nil, err
		}
		answer := map[string]any{"Count": out.Count, "ScannedCount": out.ScannedCount}
		var items []attributes
		for _, i := range out.Items {
			items = append(items, encode(i))
		}
		answer["Items"] = items
		if out.LastEvaluatedKey != nil {
			answer["LastEvaluatedKey"] = encode(out.LastEvaluatedKey)
		}
		return answer, nil
	}
	return nil, fmt.Errorf("operation %q is not served", operation)
}

// attributes are an item in JSON: {"name": {"S": "text"}, "version": {"N": "1"}}.
type attributes map[string]map[string]string

func (a attributes) values() item {
	if a == nil {
		return nil
	}
	found := item{}
	for name, v := range a {
		if s, ok := v["S"]; ok {
			found[name] = str(s)
		} else {
			found[name] = num(v["N"])
		}
	}
	return found
}

func encode(i item) attributes {
	a := attributes{}
	for name, v := range i {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			a[name] = map[string]string{"S": v.Value}
		case *types.AttributeValueMemberN:
			a[name] = map[string]string{"N": v.Value}
		}
	}
	return a
}
