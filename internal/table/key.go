// Package table reads and writes the rows of a flag table. It does not import LaunchDarkly's SDK.
package table

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Row is a row of the table, or a part of one; nil where there is none.
type Row = map[string]types.AttributeValue

// Key returns a row's primary key.
func Key(namespace, key string) Row {
	return Row{layout.AttrNamespace: Text(namespace), layout.AttrKey: Text(key)}
}

// Text returns a string attribute.
func Text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// Number returns a number attribute.
func Number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
