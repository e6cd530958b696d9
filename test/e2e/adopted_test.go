package e2e

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/test/emulator"
)

// A table that another program writes gets the fan-out and nothing else.
func TestAdoptedTable(t *testing.T) {
	var made struct {
		TableDescription struct{ LatestStreamArn string }
	}
	require.NoError(t, boto(t.Context(), "dynamodb", "create_table", map[string]any{
		"TableName":   "adopted",
		"BillingMode": "PAY_PER_REQUEST",
		"KeySchema": []any{
			map[string]any{"AttributeName": "namespace", "KeyType": "HASH"},
			map[string]any{"AttributeName": "key", "KeyType": "RANGE"},
		},
		"AttributeDefinitions": []any{
			map[string]any{"AttributeName": "namespace", "AttributeType": "S"},
			map[string]any{"AttributeName": "key", "AttributeType": "S"},
		},
		"StreamSpecification": map[string]any{"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
	}, &made))
	stack := deploy(t, "adopting", "Sync=false", "ExistingTableName=adopted",
		"ExistingTableStreamArn="+made.TableDescription.LatestStreamArn)
	assert.Equal(t, "adopted", stack["TableName"])
	assert.NotContains(t, stack, "WebhookUrl")
	for _, name := range left(t, "adopting") {
		assert.NotContains(
			t,
			[]string{"adopting-Webhook", "adopting-Flagsync", "adopting-Request"},
			name[:min(len(name), 16)],
		)
	}

	consumers, stop := startConsumers(t, stack, "staging", 2)
	store, err := dynamostore.DataStore(
		"adopted",
	).Prefix(
		"staging",
	).Client(
		dynamodb.NewFromConfig(world.gate.config()),
	).Open(
		t.Context(),
	)
	require.NoError(t, err)
	flag := func(version int) st.SerializedItemDescriptor {
		return st.SerializedItemDescriptor{Version: version, SerializedItem: fmt.Appendf(nil,
			`{"key":"f","version":%d,"on":false,"offVariation":0,"variations":[%d]}`, version, version)}
	}
	for version := 1; version <= 3; version++ {
		_, err := store.Upsert(ldstoreimpl.Features(), "f", flag(version))
		require.NoError(t, err)
		requireSeen(t, consumers, map[string]int{"f": version})
	}
	var journal struct{ Item map[string]any } // may lack the last change
	key := map[string]any{"S": "staging:$journal/" + emulator.Region + "/0"}
	require.NoError(t, boto(t.Context(), "dynamodb", "get_item", map[string]any{
		"TableName": "adopted", "Key": map[string]any{"namespace": key, "key": key},
	}, &journal))
	assert.NotEmpty(t, journal.Item, "warm Lambdas have a journal, also if another program writes the table")
	t.Run("the examples evaluate a flag", func(t *testing.T) { examples(t, store, stack["TopicArn"]) })
	stop()
	_, err = sam(t.Context(), "delete", "--stack-name", "adopting", "--no-prompts", "--region", emulator.Region)
	require.NoError(t, err)
	require.NoError(t, boto(t.Context(), "dynamodb", "describe_table", map[string]any{"TableName": "adopted"}, nil))
}

// The functions are small, for a quick start.
func TestZipsAreSmall(t *testing.T) {
	for _, function := range []string{
		"WebhookFunction", "FlagsyncFunction", "StreamhandlerFunction", "StreamFailureFunction",
	} {
		data, err := os.ReadFile(filepath.Join(build(), function, "bootstrap"))
		require.NoError(t, err)
		var zipped bytes.Buffer
		w := zip.NewWriter(&zipped)
		file, err := w.Create("bootstrap")
		require.NoError(t, err)
		_, err = file.Write(data)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		assert.LessOrEqual(t, zipped.Len(), 5<<20, function)
	}
}

// left returns the names of resources that a deleted stack did not remove, except its table and the consumers' queues.
func left(t *testing.T, stack string) (names []string) {
	t.Helper()
	var functions struct {
		Functions []struct{ FunctionName string }
	}
	require.NoError(t, boto(t.Context(), "lambda", "list_functions", map[string]any{}, &functions))
	for _, f := range functions.Functions {
		names = append(names, f.FunctionName)
	}
	var queues struct {
		QueueUrls []string
	}
	require.NoError(t, boto(t.Context(), "sqs", "list_queues", map[string]any{}, &queues))
	for _, url := range queues.QueueUrls {
		names = append(names, url[strings.LastIndex(url, "/")+1:])
	}
	var topics struct{ Topics []struct{ TopicArn string } }
	require.NoError(t, boto(t.Context(), "sns", "list_topics", map[string]any{}, &topics))
	for _, topic := range topics.Topics {
		names = append(names, topic.TopicArn[strings.LastIndex(topic.TopicArn, ":")+1:])
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, stack+"-") })
}
