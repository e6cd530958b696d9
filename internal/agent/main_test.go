package agent_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/agent"
)

func TestASidecarReportsAllConfigurationProblems(t *testing.T) {
	t.Setenv("TABLE_NAME", "")
	t.Setenv("WARMFLAGS_ADDRESS", "0.0.0.0:0")
	t.Setenv("WARMFLAGS_POLL_INTERVAL", "1")
	err := agent.Main(t.Context(), "warmflags-agent", "test")
	require.Error(t, err)
	for _, want := range []string{"TABLE_NAME is not set", `WARMFLAGS_POLL_INTERVAL "1"`,
		`"0.0.0.0:0": other machines`} {
		assert.ErrorContains(t, err, want)
	}
}
