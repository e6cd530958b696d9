package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/fakeld"
)

// One stack with everything, from its first deployment to its end.
func TestStack(t *testing.T) {
	flags := fakeld.Start(sdkKey, 50, 3)
	t.Cleanup(flags.Close)
	stack := deploy(t, "whole", "StreamUri="+flags.URL(), "SyncSchedule=rate(1 minute)", "AlarmEmail=somebody@example.com")
	e := &environment{flags, webhookProxy(t, stack["WebhookUrl"])}
	consumers := startConsumers(t, stack, "", 3)

	t.Run("a webhook in, fresh values out", func(t *testing.T) {
		requireSeen(t, consumers, e.flip(t, 0))
		requireSeen(t, consumers, e.flip(t, 0, 1, 2, 3, 1, 4))
	})
	t.Run("a webhook that is not LaunchDarkly's", func(t *testing.T) {
		response, err := http.Post(e.webhook, "application/json", strings.NewReader(`{"kind":"flag"}`))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	})
}
