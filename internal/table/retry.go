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

// A read for an evaluation is attempted once (the AWS SDK retries it): its caller has a cache and wants an answer
// soon. Calls of a comparison or a write are retried for up to retryLimit.
const (
	retryLimit   = 30 * time.Second
	firstBackoff = 25 * time.Millisecond // the longest wait before the second attempt
	maxBackoff   = 2 * time.Second
)

// retrier makes a call once or more, with a context that ends with ctx at the latest, and returns the call's last
// error.
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
			// The call's own error says more than the context's.
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
	}
}

// noSDKRetries turns off the AWS SDK's own retries, which would multiply with ours. All writes have it. Reads keep
// the SDK's retries: most reads have no others.
func noSDKRetries(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

var awsRetries = retry.NewStandard() // only asked what is retryable: throttling, connections, 5xx

// isRetryable reports whether a retry may succeed after err. It is not asked about a canceled transaction: settle
// looks at each of its reasons.
func isRetryable(err error) bool {
	var conflict *types.TransactionConflictException
	return errors.As(err, &conflict) || awsRetries.IsErrorRetryable(err)
}

// waitBackoff waits before the next attempt: exponential backoff with full jitter
// (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Its error is the context's.
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
