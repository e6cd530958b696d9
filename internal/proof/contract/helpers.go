package contract

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

// attributes is an item, or values of an expression.
type attributes = map[string]types.AttributeValue

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
func whole(n int) types.AttributeValue     { return number(strconv.Itoa(n)) }

// asError is errors.As for interfaces and types alike.
func asError[E any](err error, target *E) bool { return errors.As(err, target) }

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// table is a table of LaunchDarkly's schema in the account under test.
type table struct {
	T
	DynamoDB
	streams Streams
	name    *string
	stream  *string // its ARN
}

// namespace is the partition that the cases write to.
const namespace = "features"

func key(k string) attributes { return attributes{"namespace": text(namespace), "key": text(k)} }

// flag is an item as dynamostore writes it.
func flag(k string, version int) attributes {
	return attributes{"namespace": text(namespace), "key": text(k), "version": whole(version),
		"item": text(`{"key":"` + k + `"}`)}
}

// with is an item with other or more attributes.
func with(item attributes, more attributes) attributes {
	item = maps.Clone(item)
	maps.Copy(item, more)
	return item
}

// newTable makes a table with a stream of new and old images.
func newTable(t T, a Account) *table {
	t.Helper()
	out, err := a.DynamoDB.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:   aws.String(newName("table")),
		BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("namespace"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("key"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("namespace"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS},
		},
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true),
			StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	require.NoError(t, err)
	return &table{t, a.DynamoDB, a.Streams, out.TableDescription.TableName, out.TableDescription.LatestStreamArn}
}

// put writes items, with no condition.
func (t *table) put(items ...attributes) {
	t.Helper()
	for _, i := range items {
		_, err := t.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: t.name, Item: i})
		require.NoError(t, err)
	}
}

func (t *table) remove(k string) {
	t.Helper()
	_, err := t.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: t.name, Key: key(k)})
	require.NoError(t, err)
}

// get reads the item with the key "a"; nil if there is none.
func (t *table) get() attributes {
	t.Helper()
	out, err := t.GetItem(t.Context(),
		&dynamodb.GetItemInput{TableName: t.name, Key: key("a"), ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	return out.Item
}

// all reads the whole table: keys to items.
func (t *table) all() map[string]attributes {
	t.Helper()
	items := map[string]attributes{}
	pages := dynamodb.NewScanPaginator(t, &dynamodb.ScanInput{TableName: t.name, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, i := range page.Items {
			items[keyOf(i)] = i
		}
	}
	return items
}

func keyOf(i attributes) string { return i["key"].(*types.AttributeValueMemberS).Value }

// expression is a condition or update and what it refers to. Only names and values that are in the expression are
// sent: DynamoDB refuses those that are not used.
type expression struct {
	text   string
	names  map[string]string
	values attributes
}

// Names and values that any expression of the cases may use.
var (
	knownNames  = map[string]string{"#n": "namespace", "#k": "key", "#v": "version", "#i": "item"}
	knownValues = attributes{
		":v1": whole(1), ":v2": whole(2), ":v3": whole(3), ":one": whole(1), ":token": whole(2),
		":i": text(`{"key":"a"}`), ":s": text("S"), ":number": text("N"),
	}
)

// expr picks the names and values that a text uses.
func expr(s string) expression {
	e := expression{text: s}
	for name, v := range knownNames {
		if uses(s, name) {
			if e.names == nil {
				e.names = map[string]string{}
			}
			e.names[name] = v
		}
	}
	for name, v := range knownValues {
		if uses(s, name) {
			if e.values == nil {
				e.values = attributes{}
			}
			e.values[name] = v
		}
	}
	return e
}

// uses says whether a name or value occurs in an expression, and not only as the beginning of a longer one.
func uses(s, name string) bool {
	isWord := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }
	for i := 0; i+len(name) <= len(s); i++ {
		if s[i:i+len(name)] == name && (i+len(name) == len(s) || !isWord(rune(s[i+len(name)]))) {
			return true
		}
	}
	return false
}
