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

// UnknownVersion is the version of an item that does not exist or whose version cannot be read. It is LaunchDarkly's.
const UnknownVersion = -1

// Row is a row of the table, or a part of one; nil where there is none.
type Row = map[string]types.AttributeValue

// Key returns a row's primary key. It is all of a marker's row.
func Key(namespace, key string) Row {
	return Row{layout.AttrNamespace: Text(namespace), layout.AttrKey: Text(key)}
}

// Text returns a string attribute.
func Text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// Number returns a number attribute.
func Number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// ParseRow reads an item from its row. Other programs may have written anything there, so a row is only trusted after
// ParseRow. As LaunchDarkly's SDKs do, it takes the version from the JSON if the attribute is missing or is not a whole
// number. Its error covers a nil row.
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

// refusal says why DynamoDB cannot hold a row; it is empty if it can. It is asked before a transaction is sent:
// DynamoDB would refuse all rows of the transaction with this one.
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
