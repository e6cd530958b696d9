package aws_test

import (
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// The AWS SDK's client reads the table over HTTP.
func TestServesOtherProcesses(t *testing.T) {
	cloud := localaws.New()
	defer cloud.Close()
	cloud.CreateFlagTable("flags")
	cloud.PageSize(100) // a few rows
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	row := func(key string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{
			"namespace": text("features"), "key": text(key), "version": &types.AttributeValueMemberN{Value: "7"},
			"item": text(`{"key":"ü"}`),
		}
	}
	for _, key := range []string{"a", "b", "c"} {
		_, err := cloud.DynamoDB.PutItem(t.Context(),
			&dynamodb.PutItemInput{TableName: aws.String("flags"), Item: row(key)})
		require.NoError(t, err)
	}
	server := httptest.NewServer(cloud.DynamoDB)
	defer server.Close()
	client := dynamodb.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})

	key := func(key string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"namespace": text("features"), "key": text(key)}
	}
	got, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: key("b")})
	require.NoError(t, err)
	assert.Equal(t, row("b"), got.Item)
	got, err = client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("flags"), Key: key("none")})
	require.NoError(t, err)
	assert.Nil(t, got.Item)

	var all []map[string]types.AttributeValue
	pages := dynamodb.NewQueryPaginator(client, &dynamodb.QueryInput{
		TableName: aws.String("flags"), KeyConditionExpression: aws.String("#n = :n"),
		ExpressionAttributeNames:  map[string]string{"#n": "namespace"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": text("features")},
	})
	n := 0
	for ; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		all = append(all, page.Items...)
	}
	assert.Equal(t, []map[string]types.AttributeValue{row("a"), row("b"), row("c")}, all)
	assert.Greater(t, n, 1, "pages")

	_, err = client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("none"), Key: key("b")})
	var missing *types.ResourceNotFoundException
	require.ErrorAs(t, err, &missing)
	_, err = client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.ErrorContains(t, err, `operation "ListTables" is not served`)
}
