package agent_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/agent"
)

func TestASidecarReportsAllConfigurationProblems(t *testing.T) {
	for _, name := range []string{"TABLE_NAME", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("PREFIX", "a\x01")
	t.Setenv("WARMFLAGS_ADDRESS", "0.0.0.0:0")
	t.Setenv("WARMFLAGS_POLL_INTERVAL", "1")
	err := agent.Main(t.Context(), "warmflags-agent", "test")
	require.Error(t, err)
	for _, want := range []string{"TABLE_NAME is not set", "AWS_REGION is not set", "AWS_ACCESS_KEY_ID is not set",
		`PREFIX "a\x01": `, `WARMFLAGS_POLL_INTERVAL "1"`,
		`"0.0.0.0:0": other machines`} {
		assert.ErrorContains(t, err, want)
	}
}
