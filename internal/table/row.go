package table

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// Limits of DynamoDB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const (
	maxRowBytes         = 400 * 1024
	maxKeyBytes         = 1024
	maxTransactionItems = 100
	maxTransactionBytes = 4 * 1024 * 1024

	// usableTransactionBytes leaves room for the token's check and the names in expressions.
	usableTransactionBytes = maxTransactionBytes - 64*1024
)

// UnknownVersion is the version of an item that does not exist or whose version cannot be read. LaunchDarkly's SDKs
// use the same value.
const UnknownVersion = -1

// Row is a row of the table, or a part of a row; nil means no row.
type Row = map[string]types.AttributeValue

// Key returns a row's primary key. A marker's row has no other attributes.
func Key(namespace, key string) Row {
	return Row{layout.AttrNamespace: Text(namespace), layout.AttrKey: Text(key)}
}

// Text returns a string attribute.
func Text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// Number returns a number attribute.
func Number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// ParseRow returns the item of a row. Other programs may have written anything into the row, so no code uses a row
// before ParseRow checked it. Like LaunchDarkly's SDKs, ParseRow takes the version from the JSON if the attribute is
// missing or is not a whole number. A nil row is an error.
func ParseRow(r Row) (Item, error) {
	item := Item{Version: UnknownVersion}
	var err error
	item.Key, _ = textOf(r, layout.AttrKey)
	if item.JSON, err = textOf(r, layout.AttrItem); err != nil {
		return item, err
	}
	item.Deleted = item.JSON == nullItem
	version, err := versionOf(r)
	if err != nil {
		item.foreign = true
		var errJSON error
		if version, errJSON = VersionOf(item.JSON); errJSON != nil {
			return item, errors.Join(err, errJSON)
		}
	}
	item.Version = version
	return item, nil
}

// versionOf reads the attribute version.
func versionOf(r Row) (int, error) {
	a, ok := r[layout.AttrVersion]
	if !ok {
		return UnknownVersion, fmt.Errorf("attribute %q is missing", layout.AttrVersion)
	}
	n, ok := a.(*types.AttributeValueMemberN)
	if !ok {
		return UnknownVersion, fmt.Errorf("attribute %q is not a number", layout.AttrVersion)
	}
	version, err := strconv.Atoi(n.Value)
	if err != nil {
		return UnknownVersion, fmt.Errorf("attribute %q is not a whole number: %w", layout.AttrVersion, err)
	}
	return version, nil
}

// textOf reads an attribute that must be a string.
func textOf(r Row, name string) (string, error) {
	a, ok := r[name]
	if !ok {
		return "", fmt.Errorf("attribute %q is missing", name)
	}
	t, ok := a.(*types.AttributeValueMemberS)
	if !ok {
		return "", fmt.Errorf("attribute %q is not a string", name)
	}
	return t.Value, nil
}

// makeRow returns the row that LaunchDarkly's own stores write for an item.
func makeRow(namespace string, i Item) Row {
	r := Key(namespace, i.Key)
	r[layout.AttrVersion] = Number(int64(i.Version))
	r[layout.AttrItem] = Text(i.JSON)
	return r
}

// rowBytes returns a row's size as DynamoDB counts it, or a little more
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func rowBytes(r Row) int {
	n := 0
	for name, a := range r {
		n += len(name)
		switch a := a.(type) {
		case *types.AttributeValueMemberS:
			n += len(a.Value)
		case *types.AttributeValueMemberN:
			n += len(a.Value)/2 + 2
		}
	}
	return n
}

// refusal returns why DynamoDB cannot hold a row; empty if it can. It must be checked before a transaction is sent,
// because DynamoDB would refuse all rows of the transaction because of this one.
func refusal(r Row) string {
	key, _ := textOf(r, layout.AttrKey)
	switch size := rowBytes(r); {
	case key == "":
		return "its key is empty"
	case len(key) > maxKeyBytes:
		return fmt.Sprintf("its key has %d bytes, and DynamoDB's limit is %d", len(key), maxKeyBytes)
	case size > maxRowBytes:
		return fmt.Sprintf("it needs %d bytes, and DynamoDB's limit is %d", size, maxRowBytes)
	}
	return ""
}
