package flagsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/warmflags/warmflags/internal/parameter"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// Keys gives the SDK key of each environment, by the environment's prefix in the table. With refresh, a key was
// refused: what was remembered is read again. It is safe for concurrent use. Its errors are logged: they must not
// quote a key.
type Keys func(ctx context.Context, refresh bool) (map[string]string, error)

// StaticKeys are keys that never change.
func StaticKeys(keys map[string]string) Keys {
	return func(context.Context, bool) (map[string]string, error) { return keys, nil }
}

// key is the key of the syncer's environment. A prefix without a key is an error, never the key of another prefix: it
// would fill one environment's rows with another's flags.
func (s *Syncer) key(ctx context.Context, refresh bool) (string, error) {
	keys, err := s.keys(ctx, refresh)
	if err != nil {
		return "", err
	}
	key := keys[s.environment.Prefix]
	if key == "" {
		return "", fmt.Errorf("there is no SDK key for prefix %q, only for %q", s.environment.Prefix,
			slices.Sorted(maps.Keys(keys)))
	}
	return key, nil
}

// errKeyUnread is in the error of a refused key that could not be read again: there may be a better one.
var errKeyUnread = errors.New("the key could not be read again")

// withKey calls run with the environment's key. When it is refused, it was perhaps rotated: it is read again, and run
// is called again for as long as that gives another one. For a watch, years may be between two refusals.
func (s *Syncer) withKey(ctx context.Context, run func(key string) error) error {
	key, err := s.key(ctx, false)
	if err != nil {
		return err
	}
	for {
		err := run(key)
		if !errors.Is(err, ErrUnauthorized) {
			return err
		}
		// Others may do the same at the same time, each for its own prefix: that costs a read each, and only then.
		fresh, unread := s.key(ctx, true)
		switch {
		case unread != nil:
			return errors.Join(err, fmt.Errorf("%w: %w", errKeyUnread, unread))
		case fresh == key:
			return err
		}
		key = fresh
	}
}

// ParameterKeys returns keys that are read from the parameter called name, as [parameter.Parameter.Get] does. Its
// text is as [ParseKeys] reads it. When the parameter cannot be read again, the last known keys stay in use:
// LaunchDarkly still refuses a key that is no longer valid.
func ParameterKeys(client parameter.Client, name string) Keys {
	return parameter.New(client, name, true, ParseKeys).Get
}

// ParseKeys reads SDK keys: one key, which belongs to the empty prefix, or a JSON object of prefix to key. Its errors
// quote prefixes, never a key, not even one in the place of a prefix: a prefix that begins with "sdk-" is refused. So
// is a name such as "SDK_KEY", which Secrets Manager's key/value secrets have. Do not use the keys that come with an
// error.
func ParseKeys(value string) (map[string]string, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil, errors.New("the value has no SDK key")
	}
	keys := map[string]string{"": value}
	if strings.HasPrefix(value, "{") {
		keys = nil
		if json.Unmarshal([]byte(value), &keys) != nil {
			return nil, errors.New("the value begins with { but is not a JSON object of prefix to SDK key")
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the value has no SDK key")
	}
	var problems []error
	for prefix, key := range keys {
		if strings.HasPrefix(prefix, "sdk-") { // prefixes are in logs, metrics and the table
			problems = append(problems,
				errors.New("a prefix looks like an SDK key: the object is of prefix to key, not of key to prefix"))
			continue
		}
		if err := layout.CheckPrefix(prefix); err != nil {
			problems = append(problems, err)
		}
		if name := strings.ToLower(prefix); strings.Contains(name, "sdk") && strings.Contains(name, "key") {
			problems = append(problems,
				fmt.Errorf("prefix %q looks like the name of a key: for one environment store the SDK key itself, "+
					"as plaintext, not as a key/value pair; for several, a JSON object of prefix to SDK key", prefix))
		}
		if key == "" || strings.ContainsAny(key, " \t\r\n\"{}") {
			problems = append(problems,
				fmt.Errorf("the SDK key of prefix %q is empty, or has characters that no key has", prefix))
		}
	}
	return keys, errors.Join(problems...)
}
