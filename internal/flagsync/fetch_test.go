package flagsync_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
)

func TestFetchReadsLaunchDarklyAlone(t *testing.T) {
	b := newBench(t)
	b.ld.set(sdkKey, "a:1", "b:2")
	fetch := func(key string, options ...flagsync.Option) (map[string]int, error) {
		all, err := flagsync.New(b.environment("production"), flagsync.StaticKeys(map[string]string{"production": key}),
			append(options, flagsync.StreamURI(b.ld.URL))...).Fetch(t.Context())
		versions := map[string]int{}
		for _, c := range all {
			for _, i := range c.Items {
				versions[c.Kind+"/"+i.Key] = i.Version
			}
		}
		return versions, err
	}
	got, err := fetch(sdkKey)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"features/a": 1, "features/b": 2, "segments/everyone": 1}, got)

	_, err = fetch("sdk-revoked")
	require.ErrorIs(t, err, flagsync.ErrUnauthorized)
	require.ErrorContains(t, err, `fetch prefix "production" from LaunchDarkly`)
	_, err = fetch(sdkKey, flagsync.MaxRemovals(2))
	require.ErrorContains(t, err, "option MaxRemovals is 2")
	for _, call := range []string{"GetItem", "Query", "UpdateItem", "TransactWriteItems"} {
		assert.Zero(t, b.cloud.Calls(call), call)
	}
}
