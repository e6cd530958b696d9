package env_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/sam/internal/env"
)

func from(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := vars[name]; return value, ok }
}

func TestReadsVariables(t *testing.T) {
	vars := env.Read(from(map[string]string{"TABLE_NAME": " flags\n", "SIZE": "5", "BLANK": " ", "SHARE": "0.5"}))
	assert.Equal(t, "flags", vars.Required("TABLE_NAME", "the table"))
	assert.Equal(t, 5, vars.Int("SIZE", 1))
	assert.Equal(t, 1, vars.Int("BLANK", 1))
	assert.Equal(t, 2, vars.Int("MISSING", 2))
	assert.InDelta(t, 0.5, vars.Number("SHARE"), 0)
	assert.Zero(t, vars.Number("BLANK"))
	require.NoError(t, vars.Err())
}

func Example() {
	vars := env.Read(from(map[string]string{"SIZE": "large", "QUEUE_URL": " "}))
	vars.Required("TABLE_NAME", "the flag table's name")
	vars.Required("QUEUE_URL", "the queue's URL")
	vars.Int("SIZE", 1)
	fmt.Println(vars.Err())
	// Output:
	// read environment: TABLE_NAME is missing: set it to the flag table's name
	// QUEUE_URL is missing: set it to the queue's URL
	// SIZE="large" is not a whole number
}
