package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The pause before a write is repeated after a conflict is random. Its maximum is firstPause, and doubles with each
// attempt up to lastPause.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// withRetry calls f until it returns nil or an error other than a conflict with another write, or until ctx ends.
func withRetry(ctx context.Context, f func() error) error {
	for attempt := 0; ; attempt++ {
		err := f()
		if err == nil {
			return nil
		}
		if !isConflict(err) {
			return err
		}
		timer := time.NewTimer(rand.N(min(firstPause<<min(attempt, 10), lastPause)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up after %d attempts: %w", attempt+1, errors.Join(ctx.Err(), err))
		}
	}
}

// isConflict reports whether a write failed because of another write, or because a transaction was throttled. The
// caller then reads and writes again. A throttled single put is not a conflict, because AWS's client has already
// retried it.
func isConflict(err error) bool {
	var failed *types.ConditionalCheckFailedException
	var conflict *types.TransactionConflictException
	if errors.As(err, &failed) || errors.As(err, &conflict) {
		return true
	}
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		return false
	}
	for _, reason := range canceled.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "", "None", "ConditionalCheckFailed", "TransactionConflict", "ProvisionedThroughputExceeded",
			"ThrottlingError":
		default:
			return false // such as a validation error
		}
	}
	return true
}
