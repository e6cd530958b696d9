package journal_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/journal"
)

func TestRead(t *testing.T) {
	a := newAccount(t)
	read := func(prefix string) (*journal.Content, error) {
		return journal.Read(t.Context(), a.DynamoDB, table, prefix, region)
	}
	c, err := read("")
	require.NoError(t, err)
	assert.Nil(t, c, "no journal")

	a.append(keys(0, 300)...)
	a.append("last")
	_, seq, entries := a.read(first)
	before := a.Calls("GetItem")
	c, err = read("")
	require.NoError(t, err)
	assert.Equal(t, 1, a.Calls("GetItem")-before)
	assert.NotEmpty(t, c.Epoch)
	assert.EqualValues(t, seq, c.Seq)
	require.Len(t, c.Changes, len(entries))
	last := c.Changes[len(entries)-1]
	assert.Equal(t, "last", last.Key)
	assert.Equal(t, change.KindFeatures, last.Kind)
	c, err = read("production")
	require.NoError(t, err)
	assert.Nil(t, c, "another prefix")

	broken := a.item(first)
	broken["entries"] = &types.AttributeValueMemberS{Value: "{"}
	_, err = a.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: broken})
	require.NoError(t, err)
	_, err = read("")
	assert.ErrorContains(t, err, `read journal of prefix "" in table "flags"`)
}
