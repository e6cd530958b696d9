//go:build unix

package test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/test/emulator"
)

// rieAgent is the variable that turns this test's binary into a function that calls the agent at its value.
const rieAgent = "TEST_RIE_AGENT"

// askingFunction is a function that uses OFREP only.
func askingFunction(address string) {
	lambda.Start(func() (string, error) {
		response, err := http.Post("http://"+address+"/ofrep/v1/evaluate/flags/flag", "application/json",
			strings.NewReader(`{"context":{"targetingKey":"ada"}}`))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	})
}

// AWS's Runtime Interface Emulator starts the layer that sam build makes as an external extension, and the agent
// registers, ends the INIT phase and serves the invocations.
func TestRIERunsTheAgentsLayer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the emulator looks for extensions in /opt: only root can mount a folder there")
	}
	layer := t.TempDir()
	build := exec.Command("make", "--file", "sam/Makefile", "build-AgentLayerVersion", "ARTIFACTS_DIR="+layer)
	build.Dir = ".."
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.FileExists(t, filepath.Join(layer, "extensions", "warmflags-agent"))

	table := newFlagTable(t)
	store := openStore(t, table, "")
	require.NoError(t, store.Init(environment()))
	written := item("flag", 2)
	written.SerializedItem = []byte(strings.Replace(string(written.SerializedItem), `"salt"`,
		`"on":true,"fallthrough":{"variation":0},"variations":["from the table"],"salt"`, 1))
	_, err = store.Upsert(features, "flag", written)
	require.NoError(t, err)

	address := reserveAddress(t)
	r := startRIEWith(t, layer, append(emulator.Environment(), rieAgent+"="+address,
		"TABLE_NAME="+table, "WARMFLAGS_ADDRESS="+address, "AWS_LAMBDA_FUNCTION_NAME=function")...)
	for range 3 {
		assert.Contains(t, r.invoke(t), "from the table")
	}
}
