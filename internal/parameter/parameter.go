// Package parameter reads one parameter of SSM's Parameter Store and keeps the value for five minutes.
//
// The parameter is normally a SecureString. For the name /aws/reference/secretsmanager/NAME, SSM returns a secret of
// Secrets Manager (https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html).
package parameter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/warmflags/warmflags/internal/clock"
)

const (
	// maxAge is how long a value is used before it is read again. So a warm container uses a new value, and stops using
	// a removed one, within five minutes.
	maxAge = 5 * time.Minute
	// readTimeout limits GetParameter, including the SDK's retries.
	readTimeout = 5 * time.Second
)

// ErrWrong is wrapped by errors that no retry can fix: the parameter does not exist, the function may not read it, or
// its value cannot be used. Every read fails until the parameter or the permissions are corrected.
var ErrWrong = errors.New("correct the parameter")

// Client is the part of *ssm.Client that a [Parameter] uses.
type Client interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Parameter is a parameter of Parameter Store with a value of type T. It is safe for concurrent use.
type Parameter[T any] struct {
	client Client
	name   string
	parse  func(string) (T, error)
	stale  bool // whether Get returns the last known value when a read fails

	// turn guards the fields below: the goroutine that has sent to it may use them, until it receives from it. It is
	// held during a read, so that concurrent calls share one read. It is not a mutex, because a call that waits must
	// end when its context ends.
	turn  chan struct{}
	known bool
	value T // replaced but never changed, because callers keep it
	read  clock.Instant
}

// New returns the parameter called name. Parse parses the parameter's text; its errors are logged and must not quote a
// secret. With stale, [Parameter.Get] returns the last known value and logs a warning if the value is older than five
// minutes and cannot be read again.
func New[T any](client Client, name string, stale bool, parse func(text string) (T, error)) *Parameter[T] {
	return &Parameter[T]{client: client, name: name, stale: stale, parse: parse, turn: make(chan struct{}, 1)}
}

// Get returns the value, which callers must not change. It reads the value if it is five minutes old, and always with
// refresh. After a failed read, the known value is still returned until it is five minutes old. The error wraps
// [ErrWrong] if no retry can fix it.
func (p *Parameter[T]) Get(ctx context.Context, refresh bool) (T, error) {
	var none T
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return none, fmt.Errorf("read parameter %q: %w", p.name, context.Cause(ctx))
	}
	now := clock.Now()
	if p.known && !refresh && p.read.Age(now) < maxAge {
		return p.value, nil
	}
	value, err := p.get(ctx)
	switch {
	case err == nil:
		p.value, p.read, p.known = value, now, true
		return value, nil
	case p.known && p.stale && !refresh:
		slog.WarnContext(ctx, "cannot read the parameter; using its last known value", "error", err)
		p.read = now
		return p.value, nil
	}
	return none, err
}

// get reads the parameter once.
func (p *Parameter[T]) get(ctx context.Context) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.name, WithDecryption: aws.Bool(true)})
	if isWrong(err) {
		err = fmt.Errorf("%w: %w", ErrWrong, err)
	}
	if err != nil {
		return none, fmt.Errorf("read parameter %q: %w", p.name, err)
	}
	text := ""
	if out.Parameter != nil {
		text = aws.ToString(out.Parameter.Value)
	}
	value, err := p.parse(text)
	if err != nil {
		return none, fmt.Errorf("read parameter %q: %w: %w", p.name, ErrWrong, err)
	}
	return value, nil
}

// isWrong reports whether err is an error that no retry can fix.
func isWrong(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ParameterNotFound", "ParameterVersionNotFound", "AccessDeniedException", "InvalidKeyId",
		"ValidationException":
		return true
	}
	return false
}
