package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// ServeHTTP lets other processes read the tables. It serves GetItem and Query in DynamoDB's JSON protocol, for
// attributes that are strings and numbers. It does not check signatures.
func (d *DynamoDB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in readInput
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status := http.StatusOK
	answer, err := d.serve(r.Context(), operation, in)
	if err != nil {
		status, answer = http.StatusBadRequest, errorAnswer(err)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body) // it fails only if the client has disconnected
}

// readInput is the input of GetItem or Query.
type readInput struct {
	TableName, KeyConditionExpression                 *string
	ConsistentRead                                    *bool
	Key, ExclusiveStartKey, ExpressionAttributeValues attributes
	ExpressionAttributeNames                          map[string]string
}

// serve runs an operation and returns the response's body, before it is encoded as JSON.
func (d *DynamoDB) serve(ctx context.Context, operation string, in readInput) (any, error) {
	switch operation {
	case "GetItem":
		out, err := d.GetItem(ctx,
			&dynamodb.GetItemInput{TableName: in.TableName, Key: in.Key.values(), ConsistentRead: in.ConsistentRead})
		if err != nil || out.Item == nil {
			return struct{}{}, err
		}
		return map[string]any{"Item": encode(out.Item)}, nil
	case "Query":
		out, err := d.Query(ctx, &dynamodb.QueryInput{
			TableName: in.TableName, ConsistentRead: in.ConsistentRead,
			KeyConditionExpression:    in.KeyConditionExpression,
			ExpressionAttributeNames:  in.ExpressionAttributeNames,
			ExpressionAttributeValues: in.ExpressionAttributeValues.values(),
			ExclusiveStartKey:         in.ExclusiveStartKey.values(),
		})
		if err != nil {
			return nil, err
		}
		items := make([]attributes, len(out.Items))
		for i, item := range out.Items {
			items[i] = encode(item)
		}
		answer := map[string]any{"Count": out.Count, "ScannedCount": out.ScannedCount, "Items": items}
		if out.LastEvaluatedKey != nil {
			answer["LastEvaluatedKey"] = encode(out.LastEvaluatedKey)
		}
		return answer, nil
	}
	return nil, fmt.Errorf("operation %q is not served", operation)
}

// errorAnswer returns the response for an error. An error without an error code of DynamoDB is a ValidationException.
func errorAnswer(err error) any {
	code, message := "ValidationException", err.Error()
	var api smithy.APIError
	if errors.As(err, &api) {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	return map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": message}
}

// attributes are an item in JSON: {"name": {"S": "text"}, "version": {"N": "1"}}.
type attributes map[string]map[string]string

func (a attributes) values() map[string]types.AttributeValue {
	if a == nil {
		return nil
	}
	found := map[string]types.AttributeValue{}
	for name, v := range a {
		if s, ok := v["S"]; ok {
			found[name] = &types.AttributeValueMemberS{Value: s}
		} else {
			found[name] = &types.AttributeValueMemberN{Value: v["N"]}
		}
	}
	return found
}

func encode(item map[string]types.AttributeValue) attributes {
	a := attributes{}
	for name, v := range item {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			a[name] = map[string]string{"S": v.Value}
		case *types.AttributeValueMemberN:
			a[name] = map[string]string{"N": v.Value}
		}
	}
	return a
}
