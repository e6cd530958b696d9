package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/warmflags/warmflags/internal/parameter"
)

// Secrets returns the secrets with which LaunchDarkly may have signed: one, or the old and the new one during a
// rotation. [Handler] refuses an empty list and an empty secret. With refresh, Secrets reads the secrets again. Without
// refresh, it may return known secrets, for as long as a removed secret may still be accepted. It is called for each
// request and must be safe for concurrent use. Its error is logged and must not contain a secret.
type Secrets func(ctx context.Context, refresh bool) ([]string, error)

// Static returns secrets that never change, for tests and demonstrations. Otherwise use [Parameter], because everyone
// who may view a function's configuration can read secrets in its environment variables.
func Static(secrets ...string) Secrets {
	return func(context.Context, bool) ([]string, error) { return secrets, nil }
}

// Parameter returns secrets that [parameter.Parameter.Get] reads from the parameter called name and [ParseSecrets]
// parses. To rotate a secret, add the new one on a new line, change the secret in LaunchDarkly, then remove the old
// line. A removed secret is accepted for at most five minutes, even if the parameter cannot be read.
func Parameter(client parameter.Client, name string) Secrets {
	return parameter.New(client, name, false, ParseSecrets).Get
}

// ParseSecrets returns the secrets in text, one per line. It ignores empty lines and blanks around a secret. Its errors
// do not quote the text.
func ParseSecrets(text string) ([]string, error) {
	// Secrets Manager's console stores a secret under "Key/value" as a JSON object. Used as a secret, it would make
	// every signature wrong.
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
		return nil, errors.New("the value is a JSON object: " +
			"store LaunchDarkly's webhook secret itself, as plaintext, not as a key/value pair")
	}
	var secrets []string
	for line := range strings.Lines(text) {
		if secret := strings.TrimSpace(line); secret != "" {
			secrets = append(secrets, secret)
		}
	}
	if len(secrets) == 0 {
		return nil, errors.New("the value has no secret: store LaunchDarkly's webhook secret in it")
	}
	return secrets, nil
}
