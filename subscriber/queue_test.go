package subscriber_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

// service is a process that runs a queue subscriber.
type service struct {
	*subscriber.QueueSubscriber
	*sink
	log  lines
	stop context.CancelFunc
	done chan error // what Run returned
}

// lines is a log. Run writes it whenever it likes, and the test reads it.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs a subscriber in the bubble until it has nothing left to do.
func start(a *account, options ...subscriber.Option) *service {
	s := &service{sink: &sink{}, done: make(chan error, 1)}
	options = append(append(a.options(), subscriber.Logger(slog.New(slog.NewTextHandler(&s.log, nil)))), options...)
	s.QueueSubscriber = subscriber.Queue(topic, s.sink, options...)
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	a.t.Cleanup(s.stop)
	go func() { s.done <- s.Run(ctx) }()
	synctest.Wait()
	return s
}

// settled is a service that has run for some minutes, and whose sink has looked at everything.
func settled(a *account) *service {
	s := start(a)
	pass(2 * time.Minute)
	s.take()
	return s
}

// end cancels Run's context and returns what Run returns.
func (s *service) end() error {
	s.stop()
	return <-s.done
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	time.Sleep(d) // in a synctest bubble
	synctest.Wait()
}

// fail has some operations fail.
func fail(a *account, err error, operations ...string) {
	a.intercept(func(_ context.Context, operation string) error {
		for _, o := range operations {
			if o == operation {
				return err
			}
		}
		return nil
	})
}

func TestQueueIsMadeAsPromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a, subscriber.Owner("host!/7"))
		assert.Equal(t, []string{"CreateQueue", "GetQueueAttributes", "SetQueueAttributes", "Subscribe", "ReceiveMessage"}, a.calls)
		assert.Equal(t, []string{"*"}, s.take())

		create := a.inputs["CreateQueue"].(*sqs.CreateQueueInput)
		name := *create.QueueName
		assert.Regexp(t, `^warmflags_flags_[a-z0-9]{26}$`, name)
		assert.Equal(t, map[string]string{
			"MessageRetentionPeriod": "3600", "ReceiveMessageWaitTimeSeconds": "20", "SqsManagedSseEnabled": "true",
		}, create.Attributes)
		assert.Equal(t, map[string]string{
			subscriber.TagOwner: "host-/7", subscriber.TagTopic: topic, subscriber.TagHeartbeat: time.Now().UTC().Format(time.RFC3339),
		}, create.Tags)
		assert.JSONEq(t, strings.NewReplacer("QUEUE", "arn:aws:sqs:us-east-1:000000000000:"+name, "TOPIC", topic).Replace(`{
			"Version": "2012-10-17",
			"Statement": [
				{"Sid": "TopicSends", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
				 "Resource": "QUEUE", "Condition": {"ArnEquals": {"aws:SourceArn": "TOPIC"}}},
				{"Sid": "NobodyElseSends", "Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage",
				 "Resource": "QUEUE", "Condition": {"ArnNotEquals": {"aws:SourceArn": "TOPIC"}}},
				{"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
				 "Resource": "QUEUE", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
			]}`), a.inputs["SetQueueAttributes"].(*sqs.SetQueueAttributesInput).Attributes["Policy"])
		subscribe := a.inputs["Subscribe"].(*sns.SubscribeInput)
		assert.Equal(t, map[string]string{"RawMessageDelivery": "true"}, subscribe.Attributes, "and no filter policy")
		assert.Equal(t, "sqs", *subscribe.Protocol)

		require.NoError(t, s.end())
		assert.Equal(t, []string{"Unsubscribe", "DeleteQueue"}, a.calls[len(a.calls)-2:])
	})
}

// What changes before the subscription is there is nobody's news: InvalidateAll must come after it.
func TestQueueInvalidatesAllAfterItSubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, release := newAccount(t), make(chan struct{})
		a.intercept(func(_ context.Context, operation string) error {
			if operation == "Subscribe" {
				<-release
			}
			return nil
		})
		s := start(a)
		assert.Empty(t, s.take())
		close(release)
		synctest.Wait()
		assert.Equal(t, []string{"*"}, s.take())
		require.NoError(t, s.end())
	})
}

// A policy takes up to a minute to apply, and SNS does not repeat what it refuses: what was published meanwhile may be lost.
func TestQueueInvalidatesAllOnceItsPolicyMustApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a)
		s.take()
		pass(time.Minute - time.Second)
		assert.Empty(t, s.take())
		pass(21 * time.Second)
		assert.Equal(t, []string{"*"}, s.take())
		pass(24 * time.Hour)
		assert.Empty(t, s.take(), "once")
		a.lose(true, true)
		pass(10 * time.Second)
		assert.Equal(t, []string{"*"}, s.take())
		pass(2 * time.Minute)
		assert.Equal(t, []string{"*"}, s.take(), "of each queue")
		require.NoError(t, s.end())
	})
}

func TestQueueAcknowledgesOnlyWhatTheSinkHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a)
		s.take()
		blocked := make(chan struct{})
		s.mu.Lock()
		s.blocked = blocked
		s.mu.Unlock()
		a.publish(message("", "a", "b"))
		pass(time.Second)
		assert.Zero(t, a.count("DeleteMessageBatch"))
		close(blocked)
		synctest.Wait()
		assert.Equal(t, []string{"a", "b"}, s.take())
		assert.Equal(t, 1, a.count("DeleteMessageBatch"))
		a.requireNoMessages()
		assert.Equal(t, subscriber.Stats{Messages: 1, Changes: 2, InvalidatedAll: 1, Subscribed: 1}, s.Stats())
		require.NoError(t, s.end())
	})
}

// A consumer that dies before it acknowledges gets the message again.
func TestQueueMessageComesAgainUntilAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a)
		s.take()
		fail(a, errors.New("cut off"), "DeleteMessageBatch")
		a.publish(message("", "a"))
		pass(time.Second)
		assert.Equal(t, []string{"a"}, s.take())
		a.intercept(nil)
		pass(visibility)
		assert.Equal(t, []string{"a"}, s.take())
		pass(visibility)
		assert.Empty(t, s.take(), "acknowledged at last")
		assert.EqualValues(t, 1, s.Stats().Errors)
		require.NoError(t, s.end())
	})
}

func TestQueueGoneIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		a.lose(true, false)
		a.publish(message("", "lost"))
		pass(time.Second)
		assert.Equal(t, []string{"*"}, s.take())
		assert.Equal(t, [2]int{1, 1}, a.left(), "the old subscription is removed too")

		a.publish(message("", "a"))
		pass(time.Second)
		assert.Equal(t, []string{"a"}, s.take())
		assert.EqualValues(t, 2, s.Stats().Subscribed)
		require.NoError(t, s.end())
	})
}

// A queue that is gone while SQS or SNS fail is made as soon as they work again.
func TestQueueIsMadeAnewAfterTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		fail(a, errors.New("throttled"), "Subscribe")
		a.lose(true, true)
		pass(10 * time.Minute)
		assert.Empty(t, s.take(), "nothing is fresh before there is a subscription")
		assert.LessOrEqual(t, a.count("CreateQueue"), 30, "at growing intervals")
		assert.Empty(t, a.queues(), "no half made queue is left behind")
		a.intercept(nil)
		pass(time.Minute)
		assert.Equal(t, []string{"*"}, s.take())
		require.NoError(t, s.end())
	})
}

func TestQueueSubscribesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		a.lose(false, true)
		pass(6 * time.Minute)
		assert.Equal(t, []string{"*"}, s.take())
		a.publish(message("", "a"))
		pass(time.Second)
		assert.Equal(t, []string{"a"}, s.take())
		assert.Equal(t, 1, a.count("CreateQueue"))

		fail(a, errors.New("access denied"), "GetSubscriptionAttributes")
		pass(time.Hour)
		assert.Equal(t, 2, a.count("Subscribe"), "an error does not say that the subscription is gone")
		assert.Empty(t, s.take())
		require.NoError(t, s.end())
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
				pass(20 * time.Second) // the receive under way ends
				before := a.count("ReceiveMessage")
				a.publish(message("", "a"))
				pass(c.lasts)
				tries := a.count("ReceiveMessage") - before
				assert.InDelta(t, c.lasts.Minutes()*1.5, tries, c.lasts.Minutes()+10, "a try every half minute to minute")
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
	t.Run("what is gone already is no error", func(t *testing.T) {
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
	t.Run("what was being made when its context ended", func(t *testing.T) {
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
	t.Run("what was made before the start failed", func(t *testing.T) {
		for _, operation := range []string{"CreateQueue", "GetQueueAttributes", "SetQueueAttributes", "Subscribe"} {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				fail(a, errors.New("access denied"), operation)
				s := start(a)
				assert.ErrorContains(t, <-s.done, "access denied")
				assert.Equal(t, [2]int{0, 0}, a.left(), operation)
				assert.Empty(t, s.take())
			})
		}
	})
}

// AWS: a queue may be unknown for a second after it was made. That is not a queue that is gone.
func TestQueueIsNotKnownAtOnce(t *testing.T) {
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

func TestQueueHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a)
		pass(3*time.Hour + time.Minute)
		assert.Equal(t, 3, a.count("TagQueue"))
		beat, err := time.Parse(time.RFC3339, a.tag(subscriber.TagHeartbeat))
		require.NoError(t, err)
		assert.Less(t, time.Since(beat), 2*time.Minute)
		assert.NotEmpty(t, a.tag(subscriber.TagOwner), "the other tags stay")
		require.NoError(t, s.end())
	})
}

func TestTwoPrefixesShareATopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		staging, production := start(a, subscriber.Prefix("staging")), start(a, subscriber.Prefix("production"))
		staging.take()
		production.take()
		a.publish(message("staging", "flag"))
		a.publish(message("production", "flag", "other"))
		a.publish(message("", "flag"))
		pass(time.Second)
		assert.Equal(t, []string{"flag"}, staging.take())
		assert.Equal(t, []string{"flag", "other"}, production.take())
		assert.EqualValues(t, 2, staging.Stats().OtherPrefix)
		assert.EqualValues(t, 2, production.Stats().OtherPrefix)
		require.NoError(t, staging.end())
		require.NoError(t, production.end())
	})
}

// Whatever is in the queue, the next message gets through, nothing is lost in silence, and the log stays short.
func TestQueueBadMessagesBlockNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a)
		s.take()
		for range 20 {
			a.publish(`{"type":"order.placed"}`)
			a.publish(`{"type":"warmflags.changed.v1"`)
			a.publish("flags!")
			a.publish(message("staging", "a"))
		}
		a.publish(message("", "a"))
		pass(time.Second)
		assert.Equal(t, []string{"a"}, s.take())
		assert.Equal(t, subscriber.Stats{
			Messages: 1, Changes: 1, InvalidatedAll: 1, Subscribed: 1, Foreign: 20, Malformed: 40, OtherPrefix: 20,
		}, s.Stats())
		a.requireNoMessages()
		assert.Equal(t, 3, strings.Count(s.log.String(), "dropped message"), "once a reason")
		pass(10 * time.Minute)
		a.publish("flags!")
		pass(time.Second)
		assert.Equal(t, 4, strings.Count(s.log.String(), "dropped message"))
		assert.Contains(t, s.log.String(), "dropped=41")
		require.NoError(t, s.end())
	})
}
