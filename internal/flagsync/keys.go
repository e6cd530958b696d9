package flagsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
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
	key := keys[s.store.Prefix()]
	if key == "" {
		return "", fmt.Errorf("there is no SDK key for prefix %q, only for %q", s.store.Prefix(), slices.Sorted(maps.Keys(keys)))
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

const (
	// keepKeys is how long a container goes on with what was read: so long may pass until it syncs a prefix that was
	// added, and leaves alone one that was taken out. The webhook's secrets are kept as long.
	keepKeys = 5 * time.Minute
	// readTimeout limits GetParameter, with the SDK's retries in it.
	readTimeout = 5 * time.Second
)

// SSM is the part of [ssm.Client] that [SSMKeys] uses.
type SSM interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// SSMKeys reads keys from a parameter in SSM's Parameter Store, normally a SecureString, or a secret of Secrets
// Manager by the name /aws/reference/secretsmanager/<secret>
// (https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html). The value
// is as [ParseKeys] reads it. It is remembered for five minutes, or until a refresh. When the parameter cannot be read
// again after that, what is remembered stays in use, with a warning in [slog.Default]: LaunchDarkly still says whether a
// key is good.
func SSMKeys(client SSM, parameter string) Keys {
	var mu sync.Mutex // guards known and read, and makes readers wait for one read
	var known map[string]string
	var read time.Time // when, by the wall clock: a sandbox's monotonic clock stops while it is frozen
	return func(ctx context.Context, refresh bool) (map[string]string, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now().Round(0)
		age := now.Sub(read)
		if known != nil && !refresh && 0 <= age && age < keepKeys { // a clock that stepped back says nothing about an age
			return known, nil
		}
		keys, err := readKeys(ctx, client, parameter)
		if err != nil {
			if known == nil || refresh {
				return nil, err
			}
			slog.WarnContext(ctx, "flagsync: goes on with the SDK keys that it knows", "error", err)
			keys = known
		}
		known, read = keys, now
		return keys, nil
	}
}

// readKeys is one read of the parameter.
func readKeys(ctx context.Context, client SSM, parameter string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &parameter, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read SDK keys from parameter %q: %w", parameter, err)
	}
	if out.Parameter == nil {
		return nil, fmt.Errorf("read SDK keys from parameter %q: the answer is empty", parameter)
	}
	keys, err := ParseKeys(aws.ToString(out.Parameter.Value))
	if err != nil {
		return nil, fmt.Errorf("read SDK keys from parameter %q: %w", parameter, err)
	}
	return keys, nil
}

// ParseKeys reads SDK keys: one key, which belongs to the empty prefix, or a JSON object of prefix to key. Its
// errors quote prefixes, never a key, not even one that stands where a prefix should: a prefix that begins with "sdk-" is
// refused. Where it returns an error, the keys are not to be used.
func ParseKeys(value string) (map[string]string, error) {
	value = strings.TrimSpace(value)
	keys := map[string]string{"": value}
	if strings.HasPrefix(value, "{") {
		keys = nil
		if json.Unmarshal([]byte(value), &keys) != nil {
			return nil, errors.New("the value begins with { but is no JSON object of prefix to SDK key")
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the value has no SDK key")
	}
	var problems []error
	for prefix, key := range keys {
		if strings.HasPrefix(prefix, "sdk-") { // prefixes are in logs, metrics and the table
			problems = append(problems, errors.New("a prefix looks like an SDK key: the object is of prefix to key, not of key to prefix"))
			continue
		}
		if key == "" || strings.ContainsAny(key, " \t\r\n\"{}") {
			problems = append(problems, fmt.Errorf("the SDK key of prefix %q is empty, or has characters that no key has", prefix))
		}
	}
	return keys, errors.Join(problems...)
}
