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

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
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

// lines is a log that Run writes while the test reads it.
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

// start runs a subscriber in the synctest bubble, and returns when it is idle.
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

// settled returns a service that has run for two minutes, so that it has already invalidated everything twice.
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

// pass waits for d of virtual time.
func pass(d time.Duration) {
	time.Sleep(d) // in a synctest bubble
	synctest.Wait()
}

// fail makes some operations fail.
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

func TestQueueIsCreatedAsDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a, subscriber.Owner("host!/7"))
		assert.Equal(t, []string{
			"CreateQueue", "GetQueueAttributes", "SetQueueAttributes", "Subscribe", "ReceiveMessage",
		}, a.calls)
		assert.Equal(t, []string{"*"}, s.take())

		create := a.inputs["CreateQueue"].(*sqs.CreateQueueInput)
		name := *create.QueueName
		assert.Regexp(t, `^warmflags_flags_[a-z0-9]{26}$`, name)
		assert.Equal(t, map[string]string{
			"MessageRetentionPeriod": "3600", "ReceiveMessageWaitTimeSeconds": "20", "SqsManagedSseEnabled": "true",
		}, create.Attributes)
		assert.Equal(t, map[string]string{
			subscriber.TagOwner: "host-/7", subscriber.TagTopic: topic,
			subscriber.TagHeartbeat: time.Now().UTC().Format(time.RFC3339),
		}, create.Tags)
		names := strings.NewReplacer("QUEUE", "arn:aws:sqs:us-east-1:000000000000:"+name, "TOPIC", topic)
		assert.JSONEq(t, names.Replace(`{
			"Version": "2012-10-17",
			"Statement": [
				{"Sid": "TopicSends", "Effect": "Allow", "Principal": {"Service": ["sns.amazonaws.com"]},
				 "Action": "sqs:SendMessage", "Resource": "QUEUE",
				 "Condition": {"ArnEquals": {"aws:SourceArn": "TOPIC"}}},
				{"Sid": "NothingElseSends", "Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage",
				 "Resource": "QUEUE", "Condition": {"ArnNotEquals": {"aws:SourceArn": "TOPIC"}}},
				{"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
				 "Resource": "QUEUE", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
			]}`), a.inputs["SetQueueAttributes"].(*sqs.SetQueueAttributesInput).Attributes["Policy"])
		subscribe := a.inputs["Subscribe"].(*sns.SubscribeInput)
		assert.Equal(t, map[string]string{"RawMessageDelivery": "true"}, subscribe.Attributes, "no filter policy")
		assert.Equal(t, "sqs", *subscribe.Protocol)

		require.NoError(t, s.end())
		assert.Equal(t, []string{"Unsubscribe", "DeleteQueue"}, a.calls[len(a.calls)-2:])
	})
}

// A change before the subscription exists is not delivered, so InvalidateAll must be called after it was created.
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

// A policy takes up to a minute to take effect, and SNS does not retry messages that it refuses. So messages that are
// published in this minute may be lost.
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
		assert.Empty(t, s.take(), "only once")
		a.lose(true, true)
		pass(10 * time.Second)
		assert.Equal(t, []string{"*"}, s.take())
		pass(2 * time.Minute)
		assert.Equal(t, []string{"*"}, s.take(), "for each queue")
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

// A message is redelivered until it is acknowledged.
func TestQueueRedeliversUntilAcknowledged(t *testing.T) {
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
		assert.Empty(t, s.take(), "the message is acknowledged")
		assert.EqualValues(t, 1, s.Stats().Errors)
		require.NoError(t, s.end())
	})
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

// After any message in the queue, the next one is delivered. Dropped messages are counted, and the log stays short.
func TestQueueIsNotBlockedByBadMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := start(a)
		s.take()
		for range 20 {
			a.publish(`{"type":"order.placed"}`)
			a.publish("flags!")
			a.publish(message("staging", "a"))
		}
		a.publish(message("", "a"))
		pass(time.Second)
		assert.Equal(t, []string{"a"}, s.take())
		assert.Equal(t, subscriber.Stats{
			Messages: 1, Changes: 1, InvalidatedAll: 1, Subscribed: 1, Foreign: 40, OtherPrefix: 20,
		}, s.Stats())
		a.requireNoMessages()
		assert.Equal(t, 2, strings.Count(s.log.String(), "dropped a message"), "once for each reason")
		pass(10 * time.Minute)
		a.publish("flags!")
		pass(time.Second)
		assert.Equal(t, 3, strings.Count(s.log.String(), "dropped a message"))
		assert.Contains(t, s.log.String(), "dropped=41")
		require.NoError(t, s.end())
	})
}

// A warmflags message that cannot be read completely may have named any item of any prefix.
func TestQueueInvalidatesAllForAnUnreadableMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		s := settled(a)
		for i, body := range []string{
			`{"type":"warmflags.changed.v1","data":{"prefix":"","changes":[{"kind":"features","key":"a"},{"kin`,
			`{"type":"warmflags.changed.v1","data":{"prefix":"","changes":null}}`,
			`{"type":"warmflags.changed.v1","data":{"prefix":"",
				"changes":[{"kind":"features","key":"a","version":"x"}]}}`,
		} {
			a.publish(body)
			pass(time.Second)
			assert.Equal(t, []string{"*"}, s.take(), body)
			assert.EqualValues(t, i+1, s.Stats().Unreadable)
		}
		a.requireNoMessages()
		assert.Contains(t, s.log.String(), "level=ERROR")
		require.NoError(t, s.end())
	})
}
