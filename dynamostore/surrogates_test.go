package dynamostore_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// A variation has the value that encoding/json decodes, also with the escapes that other languages write.
func TestEscapedCharactersOfOtherLanguages(t *testing.T) {
	for _, value := range []string{
		`"\ud83d\ude00"`, `"\uD83D\uDE00 and \ud83d\ude01"`, `"\\ud83d\\ude00"`, `"\\\ud83d\ude00"`, `"\u00e9\n\""`,
		`"a\ud83d\ude00\\"`, `"plain"`,
	} {
		t.Run(value, func(t *testing.T) {
			cloud := localaws.New()
			t.Cleanup(cloud.Close)
			cloud.CreateFlagTable("flags")
			s := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
			_, err := cloud.DynamoDB.PutItem(t.Context(),
				&dynamodb.PutItemInput{TableName: aws.String("flags"), Item: map[string]types.AttributeValue{
					"namespace": s("features"), "key": s("a"), "version": &types.AttributeValueMemberN{Value: "1"},
					"item": s(`{"key":"a","version":1,"variations":[` + value + `]}`),
				}})
			require.NoError(t, err)
			store, err := dynamostore.DataStore("flags").Client(cloud.DynamoDB).Open(t.Context())
			require.NoError(t, err)
			var want string
			require.NoError(t, json.Unmarshal([]byte(value), &want))
			raw, err := store.Get(ldstoreimpl.Features(), "a")
			require.NoError(t, err)
			item, err := ldstoreimpl.Features().Deserialize(raw.SerializedItem)
			require.NoError(t, err)
			assert.Equal(t, want, item.Item.(*ldmodel.FeatureFlag).Variations[0].StringValue())
			all, err := store.GetAll(ldstoreimpl.Features())
			require.NoError(t, err)
			assert.Equal(t, raw, all[0].Item)
		})
	}
}
