package flagsync_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// queueBench is the stack's queue and function in a bubble. It records the time of each attempt, from the start.
type queueBench struct {
	*streamBench
	url      string
	mu       sync.Mutex // guards attempts
	attempts []time.Duration
}

// newQueueBench makes a queue with the settings of template.yaml, which sam/template_test.go compares.
func newQueueBench(t *testing.T, answer func(n int, s sink)) *queueBench {
	q := &queueBench{streamBench: newStreamBench(t, answer)}
	name := "requests.fifo"
	out, err := q.cloud.SQS.CreateQueue(t.Context(),
		&sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{
			"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "130",
			"MessageRetentionPeriod": "3600",
		}})
	require.NoError(t, err)
	q.url = *out.QueueUrl
	return q
}

// send sends requests to the message group "all", as the schedule does.
func (q *queueBench) send(t *testing.T, causes ...string) {
	for _, cause := range causes {
		body := `{"reason":"webhook","cause":"` + cause + `"}`
		_, err := q.cloud.SQS.SendMessage(t.Context(),
			&sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body, MessageGroupId: aws.String("all")})
		require.NoError(t, err)
	}
}

// run runs the event source mapping until the test ends. Lambda handles one batch of a FIFO queue per message group
// at a time, and gives each at most the function's 120 s.
func (q *queueBench) run(t *testing.T, keys flagsync.Keys, groups int, more ...flagsync.Option) {
	h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, keys, q.options(more...)...)
	began := time.Now()
	mapping := &localaws.QueueMapping{
		SQS: q.cloud.SQS, QueueURL: q.url, Logger: slog.New(slog.DiscardHandler), BatchSize: 1, Concurrency: groups,
		Handler: func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			q.mu.Lock()
			q.attempts = append(q.attempts, time.Since(began).Round(time.Second))
			q.mu.Unlock()
			ctx, cancel := context.WithTimeout(ctx, 120*time.Second)
			defer cancel()
			return h.Handle(ctx, e)
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, mapping.Run(ctx)) })
	t.Cleanup(func() { stop(); running.Wait() })
}

// withQueue returns the option Queue for this queue.
func (q *queueBench) withQueue() flagsync.Option { return flagsync.Queue(q.cloud.SQS, q.url) }

// waiting returns the number of messages in the queue, including those that are being handled.
func (q *queueBench) waiting(t *testing.T) int {
	out, err := q.cloud.SQS.GetQueueAttributes(t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{"All"}})
	require.NoError(t, err)
	n, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	hidden, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return n + hidden
}

// A failed request is retried at intervals of at most 60 s for an hour, the queue's retention period. Then SQS drops
// it.
func TestAFailedRequestIsRetriedForAnHour(t *testing.T) {
	for name, c := range map[string]struct {
		queue bool
		after []int // s from an attempt to the next. Each waits 10 s for LaunchDarkly.
		most  time.Duration
	}{
		"with the option Queue":     {true, []int{11, 12, 14, 18, 26, 42, 70, 70, 70}, 70 * time.Second},
		"at the visibility timeout": {false, slices.Repeat([]int{130}, 9), 130 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var up atomic.Bool
				q := newQueueBench(t, func(_ int, s sink) {
					if up.Load() {
						s.payload("a:1")
					}
				})
				var options []flagsync.Option
				if c.queue {
					options = append(options, q.withQueue())
				}
				q.send(t, "1")
				q.run(t, oneKey(sdkKey), 1, options...)
				time.Sleep(2 * time.Hour) // virtual
				synctest.Wait()
				want := []time.Duration{0}
				for i, s := range c.after {
					want = append(want, want[i]+time.Duration(s)*time.Second)
				}
				assert.Equal(t, want, q.attempts[:len(want)])
				for i := range q.attempts[1:] {
					assert.LessOrEqual(t, q.attempts[i+1]-q.attempts[i], c.most)
				}
				assert.InDelta(t, time.Hour, q.attempts[len(q.attempts)-1], float64(c.most))
				assert.Equal(t, 0, q.waiting(t), "SQS has dropped the request")

				up.Store(true)
				attempts, calls := len(q.attempts), q.cloud.Calls("ChangeMessageVisibility")
				q.send(t, "2")
				time.Sleep(time.Minute)
				synctest.Wait()
				assert.Len(t, q.attempts, attempts+1)
				assert.Equal(t, map[string]int{"a": 1}, q.flags(t, ""))
				assert.Equal(t, 0, q.waiting(t))
				assert.Equal(t, calls, q.cloud.Calls("ChangeMessageVisibility"), "the request succeeded")
			})
		})
	}
}

// 300 edits cost one sync: a request that was sent before a successful sync took its token is done by that sync.
func TestRequestsThatASyncHasDoneAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(n int, s sink) { s.payload("a:" + strconv.Itoa(n)) })
		for i := range 300 {
			q.send(t, strconv.Itoa(i))
			time.Sleep(10 * time.Millisecond) // virtual: 3 s for all
		}
		time.Sleep(2 * time.Second)
		q.run(t, oneKey(sdkKey), 1, q.withQueue())
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, 0, q.waiting(t))
		assert.Len(t, q.log.lines(t, "request handled"), 300)
		assert.Len(t, q.log.lines(t, "flags synced"), 1)
		assert.Equal(t, 1, q.stream.connections())
		assert.Equal(t, 2, q.cloud.Calls("UpdateItem"), "one token, one time of the sync")

		q.send(t, "later")
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, q.log.lines(t, "flags synced"), 2, "a later request needs a sync")
		assert.Equal(t, map[string]int{"a": 2}, q.flags(t, ""))
	})
}

// The clocks of SQS and of the function may differ by a second. Only a sync that succeeded has done a request.
func TestWhichSyncHasDoneARequest(t *testing.T) {
	for name, c := range map[string]struct {
		sent   time.Duration // before the sync
		answer func(s sink)
		syncs  int
	}{
		"sent well before it":                {1001 * time.Millisecond, func(s sink) { s.payload("a:1") }, 1},
		"sent a second before it, or less":   {time.Second, func(s sink) { s.payload("a:1") }, 2},
		"sent when it began":                 {0, func(s sink) { s.payload("a:1") }, 2},
		"sent well before one that failed":   {time.Hour, func(sink) {}, 2},
		"sent well before one that was held": {time.Hour, func(s sink) { s.Refuse(401) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newStreamBench(t, func(_ int, s sink) { c.answer(s) })
				h := flagsync.NewHandler(b.cloud.DynamoDB, tableName, oneKey(sdkKey), b.options()...)
				sent := strconv.FormatInt(time.Now().Add(-c.sent).UnixMilli(), 10)
				_, err := h.Handle(t.Context(), one("m1", forAll))
				require.NoError(t, err)
				e := one("m2", forAll)
				e.Records[0].Attributes = map[string]string{"SentTimestamp": sent}
				_, err = h.Handle(t.Context(), e)
				require.NoError(t, err)
				assert.Equal(t, c.syncs, b.stream.connections())
			})
		})
	}
}

// Running FirstSync again causes another sync, also within SQS's five minutes of deduplication.
func TestFirstSyncTwiceSyncsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) { s.payload("a:1") })
		q.run(t, oneKey(sdkKey), 1, q.withQueue())
		for i := range 2 { // the command in the stack's output FirstSync: the same body, and an id of its own
			_, err := q.cloud.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{
				QueueUrl: &q.url, MessageBody: aws.String(`{"reason":"first"}`), MessageGroupId: aws.String("all"),
				MessageDeduplicationId: aws.String("first-" + strconv.FormatInt(time.Now().Unix(), 10)),
			})
			require.NoError(t, err)
			time.Sleep(time.Minute)
			synctest.Wait()
			assert.Equal(t, i+1, q.stream.connections())
		}
	})
}

// No webhook can be ahead of LaunchDarkly's stream where none came: a scheduled sync does not wait for late patches.
func TestScheduledSyncsDoNotLinger(t *testing.T) {
	for reason, want := range map[string]time.Duration{"schedule": 0, "webhook": 2 * time.Second,
		"first": 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := newStreamBench(t, func(_ int, s sink) { s.payload("a:1") })
			h := flagsync.NewHandler(b.cloud.DynamoDB, tableName, oneKey(sdkKey),
				b.options(flagsync.Linger(0), flagsync.Linger(2*time.Second))...)
			began := time.Now()
			_, err := h.Handle(t.Context(), one("m1", `{"reason":"`+reason+`","cause":"1"}`))
			require.NoError(t, err)
			assert.Equal(t, want, time.Since(began), reason)
		})
	}
}

// A sync that lost its token is not acknowledged, also when there was nothing to write.
func TestALostTokenIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) { s.payload("a:1") })
		_, err := flagsync.New(q.environment(""), oneKey(sdkKey), q.options()...).Sync(t.Context())
		require.NoError(t, err)
		lost := 0
		q.cloud.Intercept(func(ctx context.Context, operation string, _ any) error {
			if operation == "Query" && lost < 2 {
				lost++
				_, err := q.environment("").TakeToken(ctx)
				return err
			}
			return nil
		})
		q.send(t, "1")
		q.run(t, oneKey(sdkKey), 1, q.withQueue())
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []time.Duration{0, time.Second}, q.attempts)
		assert.Equal(t, 0, q.waiting(t))
		lines := q.log.lines(t, "request handled")
		require.Len(t, lines, 2)
		for i, failed := range []int{1, 0} {
			assert.EqualValues(t, failed, lines[i]["RequestsFailed"])
			assert.EqualValues(t, 0, lines[i]["RequestsHeld"])
		}
		assert.InDelta(t, 1, lines[1]["age_s"], 0.1)
	})
}

// The function ends a sync that hangs while there is time left for the log line and the retry.
func TestTheHandlerKeepsTimeForTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) { s.payload("a:1") })
		q.send(t, "1")
		out, err := q.cloud.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.url})
		require.NoError(t, err)
		q.cloud.Intercept(func(ctx context.Context, operation string, _ any) error {
			if operation == "Query" {
				<-ctx.Done()
			}
			return nil
		})
		h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, oneKey(sdkKey), q.options(q.withQueue())...)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		response, err := h.Handle(ctx, events.SQSEvent{Records: []events.SQSMessage{{
			MessageId: *out.Messages[0].MessageId, Body: forAll, ReceiptHandle: *out.Messages[0].ReceiptHandle,
			Attributes: map[string]string{"ApproximateReceiveCount": "40"},
		}}})
		require.NoError(t, err)
		assert.Len(t, response.BatchItemFailures, 1)
		assert.Equal(t, 15*time.Second, time.Since(began))
		time.Sleep(59 * time.Second)
		synctest.Wait()
		assert.Equal(t, 0, q.receive(t))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, q.receive(t), "redelivered after a minute at most, whatever the number of attempts")
	})
}

func (q *queueBench) receive(t *testing.T) int {
	out, err := q.cloud.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.url})
	require.NoError(t, err)
	return len(out.Messages)
}

// unwilling is an SQS client whose ChangeMessageVisibility fails.
type unwilling struct{ flagsync.QueueClient }

func (unwilling) ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput,
	...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	return nil, errors.New("access denied")
}

func TestALateRedeliveryIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(_ int, s sink) { s.fail() })
		h := flagsync.NewHandler(b.cloud.DynamoDB, tableName, oneKey(sdkKey),
			b.options(flagsync.Queue(unwilling{}, "https://queue"))...)
		response, err := h.Handle(t.Context(), one("m1", forAll))
		require.NoError(t, err)
		assert.Len(t, response.BatchItemFailures, 1)
		lines := b.log.lines(t, "failed request is redelivered only after the visibility timeout")
		require.Len(t, lines, 1)
		assert.Equal(t, "access denied", lines[0]["error"])
	})
}
