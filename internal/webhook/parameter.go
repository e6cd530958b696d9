package webhook

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

const (
	// keepSecrets is how long a container goes on accepting a secret that was taken out of the parameter.
	keepSecrets = 5 * time.Minute
	// readTimeout limits GetParameter, with the SDK's retries in it.
	readTimeout = 5 * time.Second
)

// SSM is what [Parameter] uses of *ssm.Client.
type SSM interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Parameter keeps the secrets in an SSM parameter, a SecureString (or a Secrets Manager secret, by its name
// /aws/reference/secretsmanager/...). Each line of it is a secret; empty lines, and blanks around a secret, do not
// count. To rotate: add the new secret on a line of its own, change it in LaunchDarkly, then take out the old line.
//
// What was read is kept for five minutes. After that, when the parameter cannot be read, neither can a webhook be
// verified: an old secret is not accepted for ever.
func Parameter(client SSM, name string) Secrets {
	p := &parameter{client: client, name: name, turn: make(chan struct{}, 1)}
	return p.get
}

// parameter is [Parameter]'s state.
type parameter struct {
	client SSM
	name   string

	// turn guards all below: who has put into it has them. It is held while reading, so that concurrent requests share one
	// call; it is no mutex because a request that waits for its turn goes away with its context.
	turn chan struct{}
	// secrets is never changed, only replaced: it is handed out.
	secrets []string
	// read is when, by the wall clock; zero: never.
	read time.Time
}

// get is the [Secrets]. Those who wait for their turn during a refresh refresh again after it; [Handler] asks for one at most
// once an interval. When a read fails, what was kept stays, and is good until its five minutes are over.
func (p *parameter) get(ctx context.Context, refresh bool) ([]string, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("read parameter %q: %w", p.name, context.Cause(ctx))
	}
	if !refresh && !olderThan(p.read, keepSecrets) {
		return p.secrets, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out, err := p.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read parameter %q: %w", p.name, err)
	}
	var secrets []string
	if out.Parameter != nil {
		for line := range strings.Lines(aws.ToString(out.Parameter.Value)) {
			if secret := strings.TrimSpace(line); secret != "" {
				secrets = append(secrets, secret)
			}
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("read parameter %q: it holds no secret: put LaunchDarkly's webhook secret into it", p.name)
	}
	p.secrets, p.read = secrets, time.Now().Round(0)
	return secrets, nil
}
