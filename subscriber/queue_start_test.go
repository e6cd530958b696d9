package subscriber_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

// If SQS, SNS or permissions fail during the start, Run retries as it does later, and removes what it created.
func TestQueueRetriesItsStart(t *testing.T) {
	for _, operation := range []string{"CreateQueue", "GetQueueAttributes", "SetQueueAttributes", "Subscribe"} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				fail(a, errors.New("access denied"), operation)
				s := start(a)
				pass(10 * time.Minute)
				assert.Equal(t, [2]int{0, 0}, a.left())
				assert.Empty(t, s.take())
				assert.LessOrEqual(t, a.count(operation), 30, "the intervals grow")
				assert.EqualValues(t, a.count("CreateQueue"), s.Stats().Errors)
				assert.Contains(t, s.log.String(), "access denied")
				assert.LessOrEqual(t, strings.Count(s.log.String(), "access denied"), 2)
				a.intercept(nil)
				pass(time.Minute)
				assert.Equal(t, []string{"*"}, s.take())
				a.publish(message("", "a"))
				pass(time.Second)
				assert.Equal(t, []string{"a"}, s.take())
				require.NoError(t, s.end())
				assert.Equal(t, [2]int{0, 0}, a.left())
			})
		})
	}
	t.Run("until its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			fail(a, errors.New("access denied"), "Subscribe")
			s := start(a)
			require.NoError(t, s.end())
			assert.Equal(t, [2]int{0, 0}, a.left())
		})
	})
}

func TestQueueOutage(t *testing.T) {
	for name, c := range map[string]struct {
		lasts time.Duration
		want  []string
	}{
		"short: the queue kept everything": {30 * time.Minute, []string{"a"}},
		"long: messages have expired":      {2 * time.Hour, []string{"*"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				s := settled(a)
				fail(a, errors.New("no route"), "ReceiveMessage")
				pass(20 * time.Second) // the current receive ends
				before := a.count("ReceiveMessage")
				a.publish(message("", "a"))
				pass(c.lasts)
				attempts := a.count("ReceiveMessage") - before
				assert.InDelta(t, c.lasts.Minutes()*1.5, attempts, c.lasts.Minutes()+10,
					"one attempt in each half minute to minute")
				a.intercept(nil)
				pass(2 * time.Minute)
				assert.Equal(t, c.want, s.take())
				assert.LessOrEqual(t, strings.Count(s.log.String(), "no route"), int(c.lasts/(10*time.Minute))+1)
				require.NoError(t, s.end())
			})
		})
	}
}

func TestQueueCleansUp(t *testing.T) {
	t.Run("when its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			s := start(a)
			require.NoError(t, s.end())
			assert.Equal(t, [2]int{0, 0}, a.left())
		})
	})
	t.Run("queue and subscription were already removed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			s := start(a)
			a.lose(true, true)
			require.NoError(t, s.end())
		})
	})
	t.Run("within its own time limit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			s := start(a, subscriber.CleanupTimeout(3*time.Second))
			a.intercept(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
			began := time.Now()
			err := s.end()
			assert.Equal(t, 3*time.Second, time.Since(began))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "remove subscription")
			assert.ErrorContains(t, err, "remove queue")
		})
	})
	t.Run("the queue even when the subscription stays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t)
			s := start(a)
			fail(a, errors.New("access denied"), "Unsubscribe")
			assert.ErrorContains(t, s.end(), "access denied")
			assert.Empty(t, a.queues())
		})
	})
	t.Run("its context ended while it created them", func(t *testing.T) {
		for _, operation := range []string{"CreateQueue", "GetQueueAttributes", "SetQueueAttributes", "Subscribe"} {
			synctest.Test(t, func(t *testing.T) {
				a, release := newAccount(t), make(chan struct{})
				a.intercept(func(_ context.Context, o string) error {
					if o == operation {
						<-release
					}
					return nil
				})
				s := start(a)
				s.stop()
				synctest.Wait()
				close(release)
				require.NoError(t, <-s.done)
				assert.Equal(t, [2]int{0, 0}, a.left(), operation)
			})
		}
	})
}

// SQS may not find a new queue for a second, as AWS documents. Run does not treat such a queue as deleted.
func TestQueueThatSQSDoesNotFindYet(t *testing.T) {
	for _, operation := range []string{"GetQueueAttributes", "SetQueueAttributes", "ReceiveMessage"} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				began := time.Now()
				a.intercept(func(_ context.Context, o string) error {
					if o == operation && time.Since(began) < 2500*time.Millisecond {
						return &sqstypes.QueueDoesNotExist{Message: aws.String("not yet")}
					}
					return nil
				})
				s := start(a)
				pass(10 * time.Second)
				assert.Equal(t, 1, a.count("CreateQueue"))
				assert.Equal(t, []string{"*"}, s.take())
				require.NoError(t, s.end())
			})
		})
	}
}
