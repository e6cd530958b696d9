package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/test/emulator"
)

// The functions in examples/node and examples/python see a change, invoked as Lambda does, with the agent as a sidecar.
func TestExamplesInOtherLanguages(t *testing.T) {
	table := newFlagTable(t)
	store := openStore(t, table, "")
	require.NoError(t, store.Init(environment()))
	version := 1
	flip := func(on string) {
		version++
		written := item("new-checkout", version)
		written.SerializedItem = []byte(strings.Replace(string(written.SerializedItem), `"salt"`,
			`"on":`+on+`,"offVariation":1,"fallthrough":{"variation":0},"variations":[true,false],"salt"`, 1))
		_, err := store.Upsert(features, "new-checkout", written)
		require.NoError(t, err)
	}
	flip("false")
	s := startSidecar(t, table, "")

	// Node.js resolves packages from the folder of the script.
	text, err := os.ReadFile("../examples/node/index.mjs")
	require.NoError(t, err)
	script := filepath.Join(emulator.Home(), "node", "example.mjs")
	require.NoError(t, os.WriteFile(script, text, 0o600))
	t.Cleanup(func() { _ = os.Remove(script) })
	for name, command := range map[string][]string{
		"Node.js": {"node", "--input-type=module", "--eval",
			`import { handler } from "` + script + `"; console.log(await handler("ada"));`},
		"Python": {emulator.Python(), "-c", "import sys; sys.path.insert(0, '../examples/python')\n" +
			`import function; print(function.handler("ada", None))`},
	} {
		says := func() string {
			c := exec.CommandContext(t.Context(), command[0], command[1:]...)
			c.Env = append(os.Environ(), "OFREP_ENDPOINT=http://"+s.address, "PYTHONDONTWRITEBYTECODE=1")
			c.Stderr = t.Output()
			output, err := c.Output()
			require.NoError(t, err, name)
			return strings.TrimSpace(string(output))
		}
		for on, want := range map[string]string{"false": "the old checkout", "true": "the new checkout"} {
			flip(on)
			s.stop() // nothing announces the change in this test; a new agent reads it
			s.start()
			require.Equal(t, want, says(), name)
		}
	}
}
