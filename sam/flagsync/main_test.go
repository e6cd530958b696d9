package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	required := []string{"TABLE_NAME", "SDK_KEY_PARAMETER", "QUEUE_URL"}
	for _, name := range required {
		t.Setenv(name, "")
	}
	_, err := build(t.Context())
	require.Error(t, err)
	for _, name := range required {
		assert.ErrorContains(t, err, name+" is missing")
		t.Setenv(name, "something")
	}
	t.Setenv("MAX_REMOVALS", "half")
	_, err = build(t.Context())
	require.ErrorContains(t, err, `MAX_REMOVALS="half" is not a number`)
	t.Setenv("MAX_REMOVALS", "0.5")
	for _, uri := range []string{"", "https://stream.eu.launchdarkly.com"} {
		t.Setenv("STREAM_URI", uri)
		handler, err := build(t.Context())
		require.NoError(t, err)
		assert.NotNil(t, handler)
	}
}
