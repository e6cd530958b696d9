package table

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

// A read for an evaluation is attempted once, apart from the AWS SDK's retries, because its caller has a cache and
// needs a fast result. The calls of a comparison or a write are retried for up to retryLimit.
const (
	retryLimit   = 30 * time.Second
	firstBackoff = 25 * time.Millisecond // the longest wait before the second attempt
	maxBackoff   = 2 * time.Second
)

// retrier makes a call one or more times and returns the last error. The call's context ends with ctx at the latest.
type retrier func(ctx context.Context, call func(context.Context) error) error

// once makes a call once.
func once(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// withRetry makes a call until it succeeds, fails with an error that a retry cannot fix, or retryLimit has passed.
func withRetry(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, retryLimit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := call(ctx)
		if err == nil || !isRetryable(err) {
			return err
		}
		if waitBackoff(ctx, attempt) != nil {
			// The call's error is more useful than the context's.
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
}

// noSDKRetries turns off the AWS SDK's own retries, which would multiply with withRetry's. All writes use it. Reads
// keep the SDK's retries, because most reads have no others.
func noSDKRetries(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

var awsRetries = retry.NewStandard() // used only to classify errors: throttling, connections and 5xx are retryable

// isRetryable reports whether a retry may succeed after err. It does not apply to a canceled transaction, whose
// reasons settle handles one by one.
func isRetryable(err error) bool {
	var conflict *types.TransactionConflictException
	return errors.As(err, &conflict) || awsRetries.IsErrorRetryable(err)
}

// waitBackoff waits before the next attempt, with exponential backoff and full jitter
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). It returns the context's error.
func waitBackoff(ctx context.Context, attempt int) error {
	longest := min(firstBackoff<<min(attempt-1, 10), maxBackoff)
	t := time.NewTimer(rand.N(longest))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
