package warmflags_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
)

// In a process that is frozen between invocations, nothing polls on a timer, the cache reads nothing in the background,
// and an evaluation without Handler is logged. In any other process it is the reverse. InLambda decides, and not the
// environment, nor an option of the cache.
func TestInLambdaOverridesTheEnvironment(t *testing.T) {
	for _, inLambda := range []bool{true, false} {
		t.Run(fmt.Sprint(inLambda), func(t *testing.T) {
			asLambda(t)
			if inLambda {
				t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "")
			}
			t.Setenv("_X_AMZN_TRACE_ID", "Root=1-2-3")
			synctest.Test(t, func(t *testing.T) {
				s := newStack(t)
				flags := s.open(warmflags.InLambda(inLambda),
					warmflags.Cache(cachedstore.TTL(day), cachedstore.InLambda(!inLambda)))
				defer flags.Close(t.Context())
				require.False(t, evaluate(t, flags))
				before := flags.Stats()
				flags.Invalidate(change.Change{Kind: change.KindFeatures, Key: key})
				<-time.After(time.Minute + time.Second/2)
				synctest.Wait()
				polls := flags.Stats().Journal.Polls - before.Journal.Polls
				reads := flags.Stats().Cache.Reads - before.Cache.Reads
				logged := strings.Count(s.log.String(), "use lambda.Start(flags.Handler(handle))")
				if inLambda {
					assert.Equal(t, []int{0, 0, 1}, []int{polls, reads, logged}, s.log.String())
				} else {
					assert.Equal(t, []int{60, 1, 0}, []int{polls, reads, logged}, s.log.String())
				}
			})
		})
	}
}
