package dynamostore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// A row of an item is {namespace: "[prefix:]kind", key, version, item}, where item is LaunchDarkly's JSON as a
// string, and a deleted item's is a small JSON object that says so. A marker's row has its namespace as its key.
// Other LaunchDarkly SDKs write the same rows, and other people's programs may have written anything: so a row is
// only believed after parseRow.

// The attributes of LaunchDarkly's schema. Rows of our own never have an item.
const (
	attrNamespace = "namespace"
	attrKey       = "key"
	attrVersion   = "version"
	attrItem      = "item"

	markerInited = "$inited" // there is a data set: LaunchDarkly's marker
	markerSync   = "$sync"   // the fence: its version counts the syncs
)

// Limits of DynamoDB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const (
	maxRowBytes         = 400 * 1024
	maxKeyBytes         = 1024
	maxTransactionItems = 100
	maxTransactionBytes = 4 * 1024 * 1024

	// What a transaction's writes may have, less what the fence's check and the names in expressions need.
	usableTransactionBytes = maxTransactionBytes - 64*1024
)

// unknownVersion is also LaunchDarkly's version of an item that does not exist.
const unknownVersion = -1

// row is a row of the table as it was read; nil when there is none.
type row = map[string]types.AttributeValue

// namespace is the partition key of a kind, or of a marker, in this store's environment.
func (s *Store) namespace(name string) string {
	if s.prefix == "" {
		return name
	}
	return s.prefix + ":" + name
}

// rowKey is a row's primary key, and all of a marker's row.
func rowKey(namespace, key string) row {
	return row{attrNamespace: text(namespace), attrKey: text(key)}
}

// makeRow is the row that LaunchDarkly's own stores write for an item; a tombstone is written as the JSON that the SDK gives
// for it.
func makeRow(namespace, key string, item st.SerializedItemDescriptor) row {
	r := rowKey(namespace, key)
	r[attrVersion] = number(int64(item.Version))
	r[attrItem] = text(string(item.SerializedItem))
	return r
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// nullItem is a tombstone's item where LaunchDarkly's store for Java wrote it: all that it says of it is the version.
const nullItem = "null"

// parseRow reads an item from its row. A tombstone comes back as its JSON: LaunchDarkly's SDK knows it by that.
func parseRow(r row) (st.SerializedItemDescriptor, error) {
	version, verr := parseVersion(r)
	item, ierr := textOf(r, attrItem)
	if err := errors.Join(verr, ierr); err != nil {
		return st.SerializedItemDescriptor{}.NotFound(), err
	}
	return st.SerializedItemDescriptor{Version: version, Deleted: item == nullItem, SerializedItem: []byte(withoutSurrogates(item))}, nil
}

// parseVersion reads a row's version. Its error covers a row that is nil: callers take both for older than anything.
func parseVersion(r row) (int, error) {
	a, ok := r[attrVersion]
	if !ok {
		return unknownVersion, fmt.Errorf("attribute %q is missing", attrVersion)
	}
	n, ok := a.(*types.AttributeValueMemberN)
	if !ok {
		return unknownVersion, fmt.Errorf("attribute %q is not a number", attrVersion)
	}
	version, err := strconv.Atoi(n.Value)
	if err != nil {
		return unknownVersion, fmt.Errorf("attribute %q is not a whole number: %w", attrVersion, err)
	}
	return version, nil
}

// textOf reads an attribute that must be a string.
func textOf(r row, name string) (string, error) {
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

// rowBytes is a row's size as DynamoDB counts it, or a little more
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func rowBytes(r row) int {
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

// refusal says why DynamoDB could not hold a row; empty when it can. It is asked before anything is written: in a
// transaction, DynamoDB would refuse all other rows with this one.
func refusal(r row) string {
	key, _ := textOf(r, attrKey)
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

// sameItem says whether two items are equal: the same version, and the same bytes or equal JSON. Another SDK may have
// written the same item with its fields in another order, and that is no reason to write it again. What is not JSON is
// equal by its bytes only.
func sameItem(a, b st.SerializedItemDescriptor) bool {
	if a.Version != b.Version {
		return false
	}
	if bytes.Equal(a.SerializedItem, b.SerializedItem) {
		return true
	}
	x, errX := decode(a.SerializedItem)
	y, errY := decode(b.SerializedItem)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// decode keeps numbers as they are written: as float64, two large ones that differ could look equal.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && !errors.Is(d.Decode(new(any)), io.EOF) {
		err = errors.New("there is more after the JSON")
	}
	return v, err
}
