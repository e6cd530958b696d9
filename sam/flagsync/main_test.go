package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	required := []string{"TABLE_NAME", "SDK_KEY_PARAMETER"}
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
	for _, queue := range []string{"", "https://sqs.eu-west-1.amazonaws.com/123456789012/requests.fifo"} {
		t.Setenv("QUEUE_URL", queue)
		t.Setenv("STREAM_URI", queue)
		handler, err := build(t.Context())
		require.NoError(t, err)
		assert.NotNil(t, handler)
	}
}
