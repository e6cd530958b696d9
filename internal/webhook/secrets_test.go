package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/webhook"
)

func TestParseSecrets(t *testing.T) {
	for text, want := range map[string][]string{
		"one":                  {"one"},
		"one\n":                {"one"},
		"old\nnew":             {"old", "new"},
		"\r\n old \r\n\nnew\r": {"old", "new"},
		"{not JSON":            {"{not JSON"},
	} {
		got, err := webhook.ParseSecrets(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "\n", " \r\n\t"} {
		_, err := webhook.ParseSecrets(text)
		require.ErrorContains(t, err, "the value has no secret")
	}
	for _, text := range []string{`{"webhook-secret":"s3cret"}`, "\n { \"a\": \"s3cret\",\n \"b\": 1 }\n", "{}"} {
		_, err := webhook.ParseSecrets(text)
		require.ErrorContains(t, err, "as plaintext, not as a key/value pair")
		assert.NotContains(t, err.Error(), "s3cret")
	}
}
