package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDemoPrintsOneJSONObject(t *testing.T) {
	var out, problems strings.Builder
	code := program{&out, &problems, os.Getenv, connectAWS}.run(t.Context(), "demo", "--changes", "6", "--consumers", "2", "--flags", "5", "--seed", "7", "--json")
	assert.Zero(t, code, problems.String())
	assert.Empty(t, problems.String())
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(out.String()), &report))
	for _, key := range []string{"changes", "consumers", "lost", "stale_reads", "p50_ms", "p99_ms", "max_ms", "table_reads", "table_writes", "messages", "syncs", "coalesced"} {
		assert.Contains(t, report, key)
	}
	assert.EqualValues(t, 6, report["changes"])
}

func TestASabotagedDemoFails(t *testing.T) {
	var out, problems strings.Builder
	code := program{&out, &problems, os.Getenv, connectAWS}.run(t.Context(), "demo", "--consumers", "1", "--flags", "50", "--sabotage", "skip-invalidate")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^warmflags: sabotage "skip-invalidate" was noticed after \d+ flips: stale read: consumer \d evaluated flag-\d+ as version`, problems.String())
	assert.Contains(t, out.String(), "flip to evaluation")
}
