package aws_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

func putOne(i attributes) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: aws.String("flags"), Item: i}}
}

func transact(t *testing.T, d *localaws.DynamoDB, items ...types.TransactWriteItem) error {
	t.Helper()
	_, err := d.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: items})
	return err
}

func codes(t *testing.T, err error) (list []string) {
	t.Helper()
	var canceled *types.TransactionCanceledException
	require.ErrorAs(t, err, &canceled)
	for _, r := range canceled.CancellationReasons {
		list = append(list, *r.Code)
	}
	return list
}

func query(t *testing.T, d *localaws.DynamoDB) (items []attributes) {
	t.Helper()
	pages := dynamodb.NewQueryPaginator(d, &dynamodb.QueryInput{
		TableName: aws.String("flags"), KeyConditionExpression: aws.String("#n = :n"),
		ExpressionAttributeNames:  map[string]string{"#n": "namespace"},
		ExpressionAttributeValues: attributes{":n": s("features")},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		items = append(items, page.Items...)
	}
	return items
}

func TestBetweenATransactionsItems(t *testing.T) {
	c, d := flags(t)
	put(t, d, flag("a", 1), flag("b", 1))
	var seen []string
	c.BetweenItems(func() {
		c.BetweenItems(nil)
		for _, i := range query(t, d) {
			seen = append(seen, i["version"].(*types.AttributeValueMemberN).Value)
		}
		_, err := d.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("flags"), Item: flag("b", 9)})
		var conflict *types.TransactionConflictException
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, []string{"None", "TransactionConflict"},
			codes(t, transact(t, d, putOne(flag("c", 1)), putOne(flag("b", 9)))))
	})
	require.NoError(t, transact(t, d, putOne(flag("a", 2)), putOne(flag("b", 2))))
	require.Equal(t, []string{"2", "1"}, seen, "the first item is applied, the second is not")
	require.Equal(t, []attributes{flag("a", 2), flag("b", 2)}, query(t, d))
}

func TestPaging(t *testing.T) {
	c, d := flags(t)
	var want []attributes
	for i := range 10 {
		want = append(want, flag(fmt.Sprintf("%02d", i), i))
	}
	put(t, d, want...)
	put(t, d, attributes{"namespace": s("segments"), "key": s("x"), "version": n(1)})
	for _, size := range []int{1, 50, 100, 1 << 20} {
		c.PageSize(size)
		require.Equal(t, want, query(t, d), "pages of %d bytes", size)
	}
	c.PageSize(1)
	before := c.Calls("Query")
	query(t, d)
	require.Equal(t, 11, c.Calls("Query")-before, "one item per page, and an empty last page")
	total := 0
	pages := dynamodb.NewScanPaginator(d, &dynamodb.ScanInput{TableName: aws.String("flags")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		total += len(page.Items)
	}
	require.Equal(t, 11, total)
}

func TestConcurrentCounting(t *testing.T) {
	_, d := flags(t)
	const workers, each = 8, 50
	done := make(chan error, workers)
	for range workers {
		go func() {
			for range each {
				if _, err := d.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
					TableName: aws.String("flags"), Key: flagKey("a"), UpdateExpression: aws.String("ADD #v :one"),
					ExpressionAttributeNames:  map[string]string{"#v": "version"},
					ExpressionAttributeValues: attributes{":one": n(1)},
				}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		require.NoError(t, <-done)
	}
	require.Equal(t, n(workers*each), get(t, d, "a")["version"])
}
