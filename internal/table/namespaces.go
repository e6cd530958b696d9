package table

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Scanner is the part of [dynamodb.Client] that [Namespaces] needs.
type Scanner interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// lastKey sorts after every sort key: it has the largest size and the largest bytes that UTF-8 has.
var lastKey = strings.Repeat("\U0010ffff", maxKeyBytes/4)

// Namespaces lists the table's partition keys, in no order, and counts its reads, also if one fails. A scan returns the
// rows of a partition together, so it reads one row and continues after the last possible row of that partition: one
// read for each namespace, however many rows it has.
// https://aws.amazon.com/blogs/database/generate-a-distinct-set-of-partition-keys-for-an-amazon-dynamodb-table-efficiently/
func Namespaces(ctx context.Context, client Scanner, table string) (found []string, reads int, err error) {
	in := &dynamodb.ScanInput{
		TableName: &table, Limit: aws.Int32(1), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#n"), ExpressionAttributeNames: map[string]string{"#n": layout.AttrNamespace},
	}
	for {
		reads++
		out, err := client.Scan(ctx, in)
		if err != nil {
			return nil, reads, err
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
		for _, row := range out.Items {
			namespace, ok := row[layout.AttrNamespace].(*types.AttributeValueMemberS)
			if !ok {
				return nil, reads, errors.New("not a flag table: a row has no namespace")
			}
			if slices.Contains(found, namespace.Value) {
				continue // a database that does not skip the partition returns it row by row
			}
			found = append(found, namespace.Value)
			in.ExclusiveStartKey = Key(namespace.Value, lastKey)
		}
		if len(in.ExclusiveStartKey) == 0 {
			return found, reads, nil
		}
	}
}
