package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/warmflags/warmflags/internal/operate"
)

// clients are those of AWS that the commands use.
type clients struct {
	aws      aws.Config
	describe func(ctx context.Context, stack string) (*operate.Stack, error)
	account  operate.Account
}

// connector makes the clients, of a region or, where it is empty, of the environment's.
type connector func(ctx context.Context, region string) (clients, error)

// maxBackoff bounds the pause before a request is repeated: a person waits for it. The metadata service of EC2 is asked
// with the same retries, so on other machines missing credentials are reported within a second or two.
const maxBackoff = 500 * time.Millisecond

// neverHelps returns false, which means no retry, for errors that a retry a moment later does not fix: nothing listens,
// or the credentials cannot be read, which was retried already.
func neverHelps(err error) aws.Ternary {
	for _, hopeless := range []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, hopeless) {
			return aws.FalseTernary
		}
	}
	if strings.Contains(err.Error(), "get credentials:") {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// loadAWS takes credentials, endpoint and, where it is empty, region from the environment, as every AWS program does.
func loadAWS(ctx context.Context, region string) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),        // no option when it is empty
		config.WithLogger(logging.Nop{}), // the SDK's warnings are not for the person on call
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxBackoff = maxBackoff
				o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(neverHelps)}, o.Retryables...)
			})
		}))
	if err != nil {
		return cfg, fmt.Errorf("load AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, withHint(errors.New("there is no AWS region"),
			"pass --region, or set AWS_REGION, or a region in the profile")
	}
	return cfg, nil
}

// connectAWS is the [connector] of AWS itself, or of what the environment says is.
func connectAWS(ctx context.Context, region string) (clients, error) {
	cfg, err := loadAWS(ctx, region)
	if err != nil {
		return clients{}, err
	}
	return clients{
		aws: cfg,
		describe: func(ctx context.Context, name string) (*operate.Stack, error) {
			return operate.Describe(ctx, cfg, name)
		},
		account: operate.Connect(cfg),
	}, nil
}
