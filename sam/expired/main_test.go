package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	required := []string{"TABLE_NAME", "TOPIC_ARN"}
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
