package e2e

import (
	"path/filepath"
	"testing"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/proof/runtimeapi"
	"github.com/warmflags/warmflags/test/emulator"
	"github.com/warmflags/warmflags/test/example"
)

// examples deploys examples/consumer beside the adopting stack, and runs the other examples with that stack's table and
// topic. Each evaluates a flag that is on.
func examples(t *testing.T, store *dynamostore.Store, topicARN string) {
	_, err := store.Upsert(
		ldstoreimpl.Features(),
		"new-checkout",
		st.SerializedItemDescriptor{Version: 1, SerializedItem: []byte(
			`{"key":"new-checkout","version":1,"on":true,"fallthrough":{"variation":0},"variations":[true,false],"salt":"s"}`,
		)},
	)
	require.NoError(t, err)
	built := filepath.Join(world.dir, "consumer")
	require.NoError(
		t,
		buildTemplate(t.Context(), filepath.Join(root(), "examples", "consumer", "template.yaml"), built),
	)
	_, err = deployBuilt(t, built, "example", "WarmflagsStack=adopting", "Prefix=staging")
	require.NoError(t, err)
	said, err := sam(t.Context(), "remote", "invoke", "EvaluateFunction", "--stack-name", "example", "--event", `"ada"`)
	require.NoError(t, err)
	assert.Contains(t, said, "the new checkout")
	_, err = sam(t.Context(), "delete", "--stack-name", "example", "--no-prompts", "--region", emulator.Region)
	require.NoError(t, err)

	programs := example.Build(t, root(), "service", "queue", "openfeature")
	environment := append(world.cloud.Environment(), "TABLE_NAME=adopted", "PREFIX=staging", "TOPIC_ARN="+topicARN)
	for _, program := range []string{"service", "queue"} {
		evaluate, stop := example.Start(t, filepath.Join(programs, program), environment...)
		assert.Equal(t, "true", evaluate(), program)
		stop()
	}
	function := runtimeapi.New(runtimeapi.Config{
		Bootstrap: filepath.Join(
			programs,
			"openfeature",
		),
		Env:       environment,
		Timeout:   patience,
		InitLimit: patience,
		Output:    t.Output(),
	})
	defer function.Close()
	result, err := function.Invoke(t.Context(), []byte(`"ada"`))
	require.NoError(t, err)
	assert.JSONEq(t, `"the new checkout"`, string(result.Payload))
}
