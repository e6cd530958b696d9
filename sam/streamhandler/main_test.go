package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	required := []string{"TOPIC_ARN", "TABLE_NAME"}
	for _, name := range required {
		t.Setenv(name, "")
	}
	_, err := build(t.Context())
	require.Error(t, err)
	for _, name := range required {
		assert.ErrorContains(t, err, name+" is missing")
		t.Setenv(name, "something")
	}
	handler, err := build(t.Context())
	require.NoError(t, err)
	assert.NotNil(t, handler)
}

func TestCopiesOfTheJournalAreChecked(t *testing.T) {
	for _, copies := range []string{"-1", "101"} {
		t.Setenv("TOPIC_ARN", "")
		t.Setenv("JOURNAL_COPIES", copies)
		_, err := build(t.Context())
		require.ErrorContains(t, err, "JOURNAL_COPIES="+copies+": use 0 to 100")
		require.ErrorContains(t, err, "TOPIC_ARN is missing", "all problems at once")
	}
}
