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
	return &dynamodb.QueryInput{TableName: t.name, KeyConditionExpression: &e.text, ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, ConsistentRead: aws.Bool(true)}
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

	backward := tab.query("#n = :p")
	backward.ScanIndexForward, backward.Limit = aws.Bool(false), aws.Int32(2)
	out, err := tab.Query(t.Context(), backward)
	require.NoError(t, err)
	assert.Equal(t, []string{"😀", "日本"}, keysOf(out.Items))
	assert.Equal(t, key("日本"), out.LastEvaluatedKey)
	backward.ExclusiveStartKey = out.LastEvaluatedKey
	out, err = tab.Query(t.Context(), backward)
	require.NoError(t, err)
	assert.Equal(t, []string{"é", "b"}, keysOf(out.Items))
}

func queriesChoose(t T, a Account) {
	tab := newTable(t, a)
	tab.put(flag("a", 1), flag("ab", 2), flag("b", 3), flag("other", 4))
	for condition, want := range map[string]string{
		"#n = :p":                              "a ab b other",
		"#n = :p AND begins_with(#k, :k)":      "a ab",
		"#k BETWEEN :k AND :other AND #n = :p": "a ab b other",
		"(#n = :p) AND (#k > :k)":              "ab b other",
		"#n = :p AND #k = :k":                  "a",
		"#n = :p AND #k < :k":                  "",
	} {
		out, err := tab.Query(t.Context(), tab.query(condition))
		require.NoError(t, err, condition)
		assert.Equal(t, want, strings.Join(keysOf(out.Items), " "), condition)
		assert.Nil(t, out.LastEvaluatedKey, condition)
	}
	limited := tab.query("#n = :p")
	limited.Limit = aws.Int32(4)
	out, err := tab.Query(t.Context(), limited)
	require.NoError(t, err)
	assert.Equal(t, key("other"), out.LastEvaluatedKey, "a full page has a key, even if nothing comes after it")
	filtered := tab.query("#n = :p")
	filtered.FilterExpression, filtered.Limit = aws.String("version IN (:v2, :v3)"), aws.Int32(2)
	filtered.ExpressionAttributeValues[":v2"], filtered.ExpressionAttributeValues[":v3"] = whole(2), whole(3)
	out, err = tab.Query(t.Context(), filtered)
	require.NoError(t, err)
	assert.Equal(t, []any{[]string{"ab"}, int32(1), int32(2), key("ab")}, []any{keysOf(out.Items), out.Count, out.ScannedCount, out.LastEvaluatedKey}, "the limit counts what was looked at")
	errs := map[string]error{}
	for _, condition := range []string{"#k = :k AND :p = :p", "#n > :p", "#n = :p OR #k = :k", "#n = :p AND #k <> :k", "#n = :p AND #v = :v1"} {
		_, errs[condition] = tab.Query(t.Context(), tab.query(condition))
	}
	refused(t, "ValidationException", errs)
}

func scansSeeEverything(t T, a Account) {
	tab := newTable(t, a)
	want := map[string]bool{}
	for i := range 30 {
		k := fmt.Sprint(i)
		want[k] = true
		tab.put(attributes{"namespace": text(fmt.Sprint("n", i%7)), "key": text(k), "item": text(strings.Repeat("x", 100<<10))})
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
