package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/warmflags/warmflags/internal/parameter"
)

// Secrets returns the secrets that LaunchDarkly may have signed with: one, or during a rotation the old and the
// new one. [Handler] refuses an empty list and an empty secret. With refresh it reads them again; without, it may return
// what it read before, for as long as a removed secret may still be accepted. It is called for each request and must be
// safe for concurrent use. Its error is logged and must not contain a secret.
type Secrets func(ctx context.Context, refresh bool) ([]string, error)

// Static returns secrets that never change, for tests and demonstrations. Elsewhere use [Parameter]: everybody who may
// view a function's configuration can read a secret in its environment.
func Static(secrets ...string) Secrets {
	return func(context.Context, bool) ([]string, error) { return secrets, nil }
}

// Parameter returns secrets that are read from the parameter called name, as [parameter.Parameter.Get] does. Its text is as
// [ParseSecrets] reads it. To rotate: add the new secret on a line of its own, change it in LaunchDarkly, then remove the
// old line. A removed secret is accepted for five minutes at most, also when the parameter cannot be read.
func Parameter(client parameter.Client, name string) Secrets {
	return parameter.New(client, name, false, ParseSecrets).Get
}

// ParseSecrets returns the secrets in text, one per line. Empty lines, and blanks around a secret, are ignored. Its errors do
// not quote the text.
func ParseSecrets(text string) ([]string, error) {
	// A secret that Secrets Manager's console made under "Key/value". Its text would be a line like any other, and every
	// signature would be wrong.
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
		return nil, errors.New("the value is a JSON object: store LaunchDarkly's webhook secret itself, as plaintext, not as a key/value pair")
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
