//go:build unix

package test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/test/emulator"
	"github.com/warmflags/warmflags/test/example"
)

// A process of examples/queue subscribes a queue of its own to the topic, sees a change, and unsubscribes before it
// ends. (examples/examples_test.go runs the other examples.)
func TestTheQueueExample(t *testing.T) {
	h := build(t)
	p := startPathOf(t, h.functions)
	const prefix = "shop"
	store, err := dynamostore.DataStore(p.table).Prefix(prefix).Client(emulator.DynamoDB()).Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Init(nil))
	flip := func(version int, on bool) {
		_, err := store.Upsert(
			features,
			"new-checkout",
			st.SerializedItemDescriptor{Version: version, SerializedItem: fmt.Appendf(
				nil,
				`{"key":"new-checkout","version":%d,"on":%t,"offVariation":1,"fallthrough":{"variation":0},`+
					`"variations":[true,false],"salt":"s"}`,
				version,
				on,
			)},
		)
		require.NoError(t, err)
	}
	flip(1, false)

	evaluate, stop := example.Start(t, filepath.Join(h.folder, "queue"),
		append(emulator.Environment(), "TABLE_NAME="+p.table, "PREFIX="+prefix, "TOPIC_ARN="+p.topic)...)
	subscriptions := func() string {
		out, err := emulator.SNS().ListSubscriptionsByTopic(
			t.Context(),
			&sns.ListSubscriptionsByTopicInput{TopicArn: &p.topic},
		)
		require.NoError(t, err)
		return fmt.Sprint(len(out.Subscriptions))
	}
	await(t, "1", subscriptions)
	require.Equal(t, "false", evaluate())
	flip(2, true)
	await(t, "true", evaluate)
	stop()
	assert.Equal(t, "0", subscriptions())
}

// await calls get until it returns want.
func await(t *testing.T, want string, get func() string) {
	t.Helper()
	for late := time.After(patience); ; {
		got := get()
		if got == want {
			return
		}
		select {
		case <-late:
			require.Equal(t, want, got)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
