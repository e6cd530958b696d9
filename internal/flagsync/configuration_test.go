package flagsync_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
)

func without(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		delete(m, k)
	}
	return m
}

func TestWrongConfiguration(t *testing.T) {
	b := newBench(t)
	_, err := flagsync.New(b.environment("p"), flagsync.StaticKeys(nil),
		flagsync.Timeout(-time.Second)).Sync(t.Context())
	require.ErrorContains(t, err, "option Timeout is -1s")
	_, err = flagsync.New(b.environment("p"), oneKey("sdk-secret"), b.options()...).Sync(t.Context())
	require.ErrorContains(t, err, `there is no SDK key for prefix "p", only for [""]`)
	_, err = flagsync.New(b.environment(""), oneKey("sdk\nsecret"), b.options()...).Sync(t.Context())
	require.ErrorContains(t, err, "invalid characters")
	assert.NotContains(t, b.log.String(), "secret")

	_, err = flagsync.New(nil, nil, flagsync.Logger(nil), flagsync.MaxRemovals(-1), flagsync.MaxRemovals(math.NaN()),
		flagsync.Timeout(-1)).Sync(t.Context())
	for _, want := range []string{"needs an environment", "option MaxRemovals is -1", "option MaxRemovals is NaN",
		"option Timeout"} {
		require.ErrorContains(t, err, want)
	}
	_, err = flagsync.NewHandler(nil, "", nil, flagsync.Logger(nil), flagsync.Force()).Handle(t.Context(),
		one("m1", forAll))
	require.ErrorContains(t, err, "needs a DynamoDB client, a table and keys")
	require.ErrorContains(t, err, "a handler has neither")
}
