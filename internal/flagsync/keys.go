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

// Keys returns the SDK key of each environment, by the environment's prefix in the table. It may cache the keys;
// refresh means that a key was refused and that the keys must be read again. It must be safe for concurrent use. Its
// errors are logged, so they must not contain a key.
type Keys func(ctx context.Context, refresh bool) (map[string]string, error)

// StaticKeys returns keys that never change.
func StaticKeys(keys map[string]string) Keys {
	return func(context.Context, bool) (map[string]string, error) { return keys, nil }
}

// key returns the SDK key of the syncer's environment. A prefix without a key is an error: another prefix's key would
// fill this environment's rows with another environment's flags.
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

// errKeyUnread is wrapped by the error of a refused key that could not be read again: the current key may be valid.
var errKeyUnread = errors.New("the key could not be read again")

// withKey calls run with the environment's SDK key. If LaunchDarkly refuses the key, it may have been rotated:
// withKey reads it again and repeats run with the new key, until the key no longer changes. A watch can run for years
// between two rotations, so there is no limit.
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
		// Several syncers may read the keys at the same time, each for its own prefix. That costs one read for each
		// refused key.
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

// ParameterKeys returns keys that are read from the SSM parameter called name, as [parameter.Parameter.Get] does, and
// parsed by [ParseKeys]. If the parameter cannot be read again, the last known keys stay in use: LaunchDarkly refuses
// a key that is no longer valid.
func ParameterKeys(client parameter.Client, name string) Keys {
	return parameter.New(client, name, true, ParseKeys).Get
}

// ParseKeys parses SDK keys. The value is one key, for the empty prefix, or a JSON object that maps prefixes to keys.
// A prefix that begins with "sdk-" is refused, because it is probably a key; so is a name such as "SDK_KEY", which
// Secrets Manager's key/value secrets have. Errors quote prefixes, but never a key. The keys that are returned with
// an error must not be used.
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
				errors.New("a prefix looks like an SDK key: the object maps prefixes to keys, not keys to prefixes"))
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
				fmt.Errorf("the SDK key of prefix %q is empty or has invalid characters", prefix))
		}
	}
	return keys, errors.Join(problems...)
}
