package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// query is a query of one partition, with what its key condition uses.
func (t *table) query(condition string) *dynamodb.QueryInput {
	e := expr(condition)
	if e.values == nil {
		e.values = attributes{}
	}
	e.values[":p"] = text(namespace)
	return &dynamodb.QueryInput{TableName: t.name, KeyConditionExpression: &e.text, ExpressionAttributeNames: e.names,
		ExpressionAttributeValues: e.values, ConsistentRead: aws.Bool(true)}
}

func keysOf(items []map[string]types.AttributeValue) []string {
	keys := []string{}
	for _, i := range items {
		keys = append(keys, keyOf(i))
	}
	return keys
}

// queriesPage is 1 MB a page, whatever the number of items, in the order of the keys' bytes.
func queriesPage(t T, a Account) {
	tab := newTable(t, a)
	want := []string{"A", "Z", "a", "b", "é", "日本", "😀"}
	for i, k := range want {
		tab.put(with(flag(k, i), attributes{"item": text(strings.Repeat("x", 390<<10))}))
	}
	tab.put(attributes{"namespace": text("other"), "key": text("x")})
	var got []string
	var sizes []int
	pages := dynamodb.NewQueryPaginator(tab, tab.query("#n = :p"))
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		got = append(got, keysOf(page.Items)...)
		sizes = append(sizes, len(page.Items))
		assert.Len(t, page.Items, int(page.Count))
	}
	assert.Equal(t, want, got)
	assert.Greater(t, len(sizes), 2, "2.7 MB in pages of 1 MB: %v", sizes)
	assert.LessOrEqual(t, slices.Max(sizes), 3)
}

func queriesRead(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1), flag("ab", 2), flag("b", 3), attributes{"namespace": text("other"), "key": text("x")})
	out, err := tab.Query(t.Context(), tab.query("#n = :p"))
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "ab", "b"}, keysOf(out.Items))
	assert.Nil(t, out.LastEvaluatedKey)
	limited := tab.query("#n = :p")
	limited.Limit = aws.Int32(2)
	out, err = tab.Query(t.Context(), limited)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "ab"}, keysOf(out.Items))
	assert.Equal(t, key("ab"), out.LastEvaluatedKey)
	limited.ExclusiveStartKey, limited.Limit = out.LastEvaluatedKey, aws.Int32(1)
	out, err = tab.Query(t.Context(), limited)
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, keysOf(out.Items))
	assert.Equal(t, key("b"), out.LastEvaluatedKey, "a full page has a key, even if nothing comes after it")
}

// scansSkip reads one row of each partition: a start key need not be a row's.
func scansSkip(t T, a Account) {
	tab := newTable(t, a)
	want := map[string]bool{}
	for n := range 3 {
		namespace := fmt.Sprint("n", n)
		want[namespace] = true
		for k := range 5 {
			tab.put(attributes{"namespace": text(namespace), "key": text(fmt.Sprint(k)), "item": text("x")})
		}
	}
	in := &dynamodb.ScanInput{
		TableName: tab.name, Limit: aws.Int32(1), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("#n"), ExpressionAttributeNames: map[string]string{"#n": "namespace"},
	}
	got := map[string]bool{}
	for range 4 {
		out, err := tab.Scan(t.Context(), in)
		require.NoError(t, err)
		if len(out.Items) == 0 {
			break
		}
		require.Len(t, out.Items[0], 1, "only what is asked for")
		namespace := out.Items[0]["namespace"]
		got[namespace.(*types.AttributeValueMemberS).Value] = true
		in.ExclusiveStartKey = attributes{"namespace": namespace, "key": text("9")}
	}
	assert.Equal(t, want, got)
}

func scansSeeEverything(t T, a Account) {
	tab := newTable(t, a)
	want := map[string]bool{}
	for i := range 30 {
		k := fmt.Sprint(i)
		want[k] = true
		tab.put(attributes{"namespace": text(fmt.Sprint("n", i%7)), "key": text(k),
			"item": text(strings.Repeat("x", 100<<10))})
	}
	got := map[string]bool{}
	pages := dynamodb.NewScanPaginator(tab, &dynamodb.ScanInput{TableName: tab.name})
	count := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		count++
		for _, i := range page.Items {
			assert.False(t, got[keyOf(i)], "twice")
			got[keyOf(i)] = true
		}
	}
	assert.Equal(t, want, got)
	assert.Greater(t, count, 2)
}
