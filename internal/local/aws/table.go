package aws

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// DynamoDB's limits (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const (
	maxItemSize         = 400 << 10
	maxPartitionKeySize = 2048
	maxSortKeySize      = 1024
)

// The key attributes of LaunchDarkly's schema.
const (
	partitionKey = "namespace"
	sortKey      = "key"
)

// table holds items in DynamoDB's order: partitions by a hash of their key, and items of a partition by the sort key.
// DynamoDB.mu guards it. Items are replaced, but never changed.
type table struct {
	name, arn string
	rows      []row
	pending   map[key]bool // items of transactions that are decided but not yet applied
	stream    *stream
}

type row struct {
	key
	item item
	size int
}

// key identifies an item, and orders it.
type key struct {
	hash            uint64
	partition, sort string
}

func newKey(partition, sort string) key {
	h := fnv.New64a()
	_, _ = h.Write([]byte(partition))
	return key{h.Sum64(), partition, sort}
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.hash, other.hash), strings.Compare(k.partition, other.partition),
		strings.Compare(k.sort, other.sort))
}

func (k key) item() item {
	return item{partitionKey: &types.AttributeValueMemberS{Value: k.partition},
		sortKey: &types.AttributeValueMemberS{Value: k.sort}}
}

// flagTable has the only supported table schema.
func flagTable(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(partitionKey), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(sortKey), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(partitionKey), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(sortKey), AttributeType: types.ScalarAttributeTypeS},
		},
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true),
			StreamViewType: types.StreamViewTypeNewAndOldImages},
	}
}

func newTable(name string, now time.Time) *table {
	t := &table{name: name, arn: fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", region, accountID, name),
		pending: map[key]bool{}}
	t.stream = newStream(t, now)
	return t
}

// keyOf returns the key of an item to write, and checks it.
func keyOf(i item) (key, error) {
	for name, longest := range map[string]int{partitionKey: maxPartitionKeySize, sortKey: maxSortKeySize} {
		v := i[name]
		switch got := typeOf(v); {
		case v == nil:
			return key{}, validation("One or more parameter values were invalid: Missing the key " +
				name + " in the item")
		case got != "S":
			return key{}, validation(fmt.Sprintf("One or more parameter values were invalid: Type mismatch for key "+
				"%s expected: S actual: %s", name, got))
		case textOf(v) == "":
			return key{}, validation("One or more parameter values are not valid. The AttributeValue for a key " +
				"attribute cannot contain an empty string value. Key: " + name)
		case len(textOf(v)) > longest:
			return key{}, validation(fmt.Sprintf("One or more parameter values were invalid: Size of key %s has "+
				"exceeded the maximum size limit of %d bytes", name, longest))
		}
	}
	return newKey(textOf(i[partitionKey]), textOf(i[sortKey])), nil
}

// exactKey returns the key of a Key or an ExclusiveStartKey, which must have no other attributes.
func exactKey(i item) (key, error) {
	if len(i) != 2 || typeOf(i[partitionKey]) != "S" || typeOf(i[sortKey]) != "S" {
		return key{}, validation("The provided key element does not match the schema")
	}
	return keyOf(i)
}

// find returns the index at which a row is, or would be inserted.
func (t *table) find(k key) (at int, found bool) {
	return slices.BinarySearchFunc(t.rows, k, func(r row, k key) int { return r.compare(k) })
}

func (t *table) get(k key) item {
	if i, ok := t.find(k); ok {
		return t.rows[i].item
	}
	return nil
}

// put replaces the item at k, or removes it if the new item is nil, and appends the change to the stream.
func (t *table) put(k key, next item, now time.Time) {
	i, found := t.find(k)
	var old item
	if found {
		old = t.rows[i].item
	}
	fresh := row{k, next, ItemSize(next)}
	switch {
	case next != nil && found:
		t.rows[i] = fresh
	case next != nil:
		t.rows = slices.Insert(t.rows, i, fresh)
	case found:
		t.rows = slices.Delete(t.rows, i, i+1)
	default:
		return
	}
	if !equalItems(old, next) {
		t.stream.append(k, old, next, now)
	}
}

// equalItems reports whether two items have the same attributes with equal values.
func equalItems(a, b item) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if !equal(v, b[name]) {
			return false
		}
	}
	return true
}

// validName reports whether a resource's name has a valid length and only letters, digits and these other characters.
func validName(name string, shortest, longest int, others string) bool {
	if len(name) < shortest || len(name) > longest {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(others, rune(c)) {
			return false
		}
	}
	return true
}
