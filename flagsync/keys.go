package flagsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Keys gives the SDK key of each environment, by the environment's prefix in the table. With refresh, a key was
// refused: what was remembered is read again. It is safe for concurrent use.
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

// withKey calls run with the environment's key. When it is refused, it was perhaps rotated: it is read again, once.
func (s *Syncer) withKey(ctx context.Context, run func(key string) error) error {
	key, err := s.key(ctx, false)
	if err != nil {
		return err
	}
	if err = run(key); !errors.Is(err, ErrUnauthorized) {
		return err
	}
	// Others may do the same at the same time, each for its own prefix: that costs a read each, and only then.
	fresh, again := s.key(ctx, true)
	switch {
	case again != nil:
		return errors.Join(err, again)
	case fresh == key:
		return err
	}
	return run(fresh)
}

// SSM is the part of [ssm.Client] that [SSMKeys] uses.
type SSM interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// SSMKeys reads keys from a parameter in SSM's Parameter Store, normally a SecureString, or a secret of Secrets
// Manager by the name /aws/reference/secretsmanager/<secret>
// (https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html). The value
// is as [ParseKeys] reads it. It is remembered until a refresh.
func SSMKeys(client SSM, parameter string) Keys {
	var mu sync.Mutex // guards known, and makes readers wait for one read
	var known map[string]string
	return func(ctx context.Context, refresh bool) (map[string]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil && !refresh {
			return known, nil
		}
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
		known = keys
		return keys, nil
	}
}

// ParseKeys reads SDK keys: one key, which belongs to the empty prefix, or a JSON object of prefix to key. Its
// errors never quote the value. Where it returns an error, the keys are not to be used.
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
		if key == "" || strings.ContainsAny(key, " \t\r\n\"{}") {
			problems = append(problems, fmt.Errorf("the SDK key of prefix %q is empty, or has characters that no key has", prefix))
		}
	}
	return keys, errors.Join(problems...)
}
