package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	required := []string{"TOPIC_ARN"}
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

func TestTheJournalNeedsItsTable(t *testing.T) {
	t.Setenv("TOPIC_ARN", "something")
	t.Setenv("JOURNAL_COPIES", "2")
	_, err := build(t.Context())
	require.ErrorContains(t, err, "TABLE_NAME is missing")
	t.Setenv("TABLE_NAME", "flags")
	_, err = build(t.Context())
	require.NoError(t, err)
}
