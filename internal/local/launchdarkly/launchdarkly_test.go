package launchdarkly_test

import (
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/local/launchdarkly"
)

func connect(t *testing.T, e *launchdarkly.Environment, key string) (*ld.LDClient, error) {
	client, err := ld.MakeCustomClient(key, ld.Config{
		ServiceEndpoints: interfaces.ServiceEndpoints{Streaming: e.URL()},
		Events:           ldcomponents.NoEvents(), DiagnosticOptOut: true,
		Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, 10*time.Second)
	t.Cleanup(func() { _ = client.Close() })
	return client, err
}

func TestARealClientSeesFlips(t *testing.T) {
	e := launchdarkly.Start("sdk-key", 10, 3)
	t.Cleanup(e.Close)
	client, err := connect(t, e, "sdk-key")
	require.NoError(t, err)
	for _, user := range []string{"user-1", "user-x"} {
		got, err := client.IntVariation("flag-7", ldcontext.New(user), 0)
		require.NoError(t, err)
		assert.Equal(t, 1, got)
	}
	// Not a listener to the value: it reads the value that it compares with in a goroutine, perhaps after the flip.
	changed := client.GetFlagTracker().AddFlagChangeListener()
	assert.Equal(t, 2, e.Flip("flag-7"))
	assert.Equal(t, "flag-7", (<-changed).Key)
	got, err := client.IntVariation("flag-7", ldcontext.New("user-x"), 0)
	require.NoError(t, err)
	assert.Equal(t, 2, got)
	assert.Equal(t, 1, e.Streams())
}

func TestAWrongKeyIsRefused(t *testing.T) {
	e := launchdarkly.Start("sdk-key", 1, 0)
	t.Cleanup(e.Close)
	_, err := connect(t, e, "another-key")
	assert.Error(t, err)
}
