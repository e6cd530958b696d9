package aws

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/internal/local/aws/expression"
)

type item = expression.Item

// DynamoDB's limits (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).
const (
	maxItemSize         = 400 << 10
	maxPartitionKeySize = 2048
	maxSortKeySize      = 1024
)

// table holds items in DynamoDB's order: partitions by a hash, and inside of a partition by the sort key.
// It is guarded by DynamoDB.mu. Items in it are never changed, only replaced.
type table struct {
	name, arn    string
	description  types.TableDescription
	partitionKey keyAttribute
	sortKey      keyAttribute // its name is "" when the table has none
	partitions   []*partition
	pending      map[key]bool // items of transactions that are decided and not yet applied
	stream       *stream      // nil without one
}

type keyAttribute struct {
	name      string
	dataType  string
	maxSize   int
	sizeError string
}

type partition struct {
	hash uint64
	key  string
	rows []row
}

type row struct {
	sort string
	item item
	size int
}

// key identifies an item of a table: the order keys of its key attributes.
type key struct{ partition, sort string }

func (t *table) keyAttributes() []keyAttribute {
	if t.sortKey.name == "" {
		return []keyAttribute{t.partitionKey}
	}
	return []keyAttribute{t.partitionKey, t.sortKey}
}

// keyOf reads the key out of an item that is to be written, and checks it.
func (t *table) keyOf(i item) (key, error) {
	for _, a := range t.keyAttributes() {
		v := i[a.name]
		if v == nil {
			return key{}, validation("One or more parameter values were invalid: Missing the key " + a.name + " in the item")
		}
		if dataType := expression.TypeOf(v); dataType != a.dataType {
			return key{}, validation(fmt.Sprintf("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", a.name, a.dataType, dataType))
		}
	}
	return t.checkedKey(i)
}

// exactKey reads a key that was given as Key or ExclusiveStartKey, with nothing else beside it.
func (t *table) exactKey(i item) (key, error) {
	attributes := t.keyAttributes()
	if len(i) != len(attributes) {
		return key{}, validation("The provided key element does not match the schema")
	}
	normal, err := expression.Normalize(i)
	if err != nil {
		return key{}, validation(err.Error())
	}
	for _, a := range attributes {
		if v := normal[a.name]; v == nil || expression.TypeOf(v) != a.dataType {
			return key{}, validation("The provided key element does not match the schema")
		}
	}
	return t.checkedKey(normal)
}

func (t *table) checkedKey(i item) (key, error) {
	for _, a := range t.keyAttributes() {
		size := len(expression.OrderKey(i[a.name]))
		if size == 0 {
			kind := map[string]string{"S": "string", "B": "binary"}[a.dataType]
			return key{}, validation(fmt.Sprintf("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", kind, a.name))
		}
		if size > a.maxSize {
			return key{}, validation("One or more parameter values were invalid: " + a.sizeError)
		}
	}
	k := key{partition: expression.OrderKey(i[t.partitionKey.name])}
	if t.sortKey.name != "" {
		k.sort = expression.OrderKey(i[t.sortKey.name])
	}
	return k, nil
}

// keyItem is the key attributes of an item.
func (t *table) keyItem(i item) item {
	k := item{}
	for _, a := range t.keyAttributes() {
		k[a.name] = i[a.name]
	}
	return expression.Copy(k)
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// find returns where a partition is, or would be.
func (t *table) find(partitionKey string) (int, bool) {
	hash := hashOf(partitionKey)
	return slices.BinarySearchFunc(t.partitions, partitionKey, func(p *partition, s string) int {
		return cmp.Or(cmp.Compare(p.hash, hash), strings.Compare(p.key, s))
	})
}

func (p *partition) find(sort string) (int, bool) {
	return slices.BinarySearchFunc(p.rows, sort, func(r row, s string) int { return strings.Compare(r.sort, s) })
}

func (t *table) get(k key) item {
	i, ok := t.find(k.partition)
	if !ok {
		return nil
	}
	p := t.partitions[i]
	if j, ok := p.find(k.sort); ok {
		return p.rows[j].item
	}
	return nil
}

// put replaces the item at k, nil meaning no item, and tells the stream.
func (t *table) put(k key, next item, now time.Time) {
	i, found := t.find(k.partition)
	if !found {
		if next == nil {
			return
		}
		t.partitions = slices.Insert(t.partitions, i, &partition{hash: hashOf(k.partition), key: k.partition})
	}
	p := t.partitions[i]
	j, found := p.find(k.sort)
	var old item
	if found {
		old = p.rows[j].item
	}
	fresh := row{k.sort, next, expression.Size(next)}
	switch {
	case next != nil && found:
		p.rows[j] = fresh
	case next != nil:
		p.rows = slices.Insert(p.rows, j, fresh)
	case found:
		p.rows = slices.Delete(p.rows, j, j+1)
		if len(p.rows) == 0 {
			t.partitions = slices.Delete(t.partitions, i, i+1)
		}
	}
	if t.stream != nil && (old != nil || next != nil) && !expression.EqualItems(old, next) {
		t.stream.append(t, old, next, now)
	}
}

func (t *table) describe() *types.TableDescription {
	d := t.description
	var count, size int64
	for _, p := range t.partitions {
		for _, r := range p.rows {
			count++
			size += int64(r.size)
		}
	}
	d.ItemCount, d.TableSizeBytes = aws.Int64(count), aws.Int64(size)
	return &d
}
