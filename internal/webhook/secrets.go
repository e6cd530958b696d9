package webhook

import "context"

// Secrets returns the secrets that LaunchDarkly may have signed with: one, or during a rotation the old and the
// new. No secret, or an empty one, is refused by [Handler]. With refresh it reads them where they are kept; without,
// it may return what it read before, for as long as an old secret may go on being accepted. It is called for each
// request, and must be safe for concurrent use. Its error must not contain a secret: it is logged.
type Secrets func(ctx context.Context, refresh bool) ([]string, error)

// Static is secrets that never change, for tests and demonstrations. Elsewhere use [Parameter]: a secret in a
// function's environment can be read by everybody who may look at the function.
func Static(secrets ...string) Secrets {
	return func(context.Context, bool) ([]string, error) { return secrets, nil }
}
