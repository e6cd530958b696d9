package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Whoever reads for an evaluation wants an answer soon, and has a cache: those calls are made once (the AWS SDK
// retries them). Whoever writes wants it done: those calls are repeated for as long as retryLimit.
const (
	retryLimit   = 30 * time.Second
	backoffFirst = 25 * time.Millisecond // the most that is waited before the second attempt
	backoffMost  = 2 * time.Second
)

// A trier makes a call one time or more, with a context that ends with ctx at the latest, and returns the call's last error.
type trier func(context.Context, func(context.Context) error) error

// once is the trier of reads for an evaluation.
func once(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// patiently makes a call until it succeeds, fails for good, or retryLimit has passed.
func patiently(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := call(ctx)
		if err == nil || !isRetryable(err) {
			return err
		}
		if backoff(ctx, attempt) != nil {
			// The call's own error says more than that time is up.
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
}

// noSDKRetries turns the AWS SDK's own retries off, where ours would multiply with them. All writes have it; reads keep the
// SDK's, since most of them have no others.
func noSDKRetries(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

var awsRetries = retry.NewStandard() // only asked what is retryable: throttling, connections, 5xx

// isRetryable says whether time may heal an error of a call. A canceled transaction is not asked here: its reasons
// are looked at one by one in settle.
func isRetryable(err error) bool {
	var conflict *types.TransactionConflictException
	return errors.As(err, &conflict) || awsRetries.IsErrorRetryable(err)
}

// backoff waits before the next attempt, exponentially and with full jitter
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Its error is the context's.
func backoff(ctx context.Context, attempt int) error {
	most := min(backoffFirst<<min(attempt-1, 10), backoffMost)
	t := time.NewTimer(rand.N(most))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
