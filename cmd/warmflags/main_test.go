package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDemoPrintsOneJSONObject(t *testing.T) {
	var out, problems strings.Builder
	code := run(t.Context(), []string{"demo", "--changes", "6", "--consumers", "2", "--flags", "5", "--seed", "7", "--json"}, &out, &problems)
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
	code := run(t.Context(), []string{"demo", "--consumers", "1", "--flags", "50", "--sabotage", "skip-invalidate"}, &out, &problems)
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^warmflags: sabotage "skip-invalidate" was noticed after \d+ flips: stale read: consumer \d evaluated flag-\d+ as version`, problems.String())
	assert.Contains(t, out.String(), "flip to evaluation")
}

func TestWrongInput(t *testing.T) {
	cases := []struct {
		args []string
		want string
	}{
		{[]string{"demo", "--consumers", "0"}, "--consumers 0: must be at least 1"},
		{[]string{"demo", "--sabotage", "unplug"}, "must be one of drop-message, skip-invalidate, late-fill"},
		{[]string{"demo", "--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"demo", "more"}, "unknown command"},
		{[]string{"fly"}, `unknown command "fly"`},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			var out, problems strings.Builder
			assert.Equal(t, 1, run(t.Context(), c.args, &out, &problems))
			assert.Contains(t, problems.String(), c.want)
			assert.Contains(t, problems.String(), "Try: warmflags --help")
			assert.Empty(t, out.String())
		})
	}
}
