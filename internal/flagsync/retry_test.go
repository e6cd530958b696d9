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
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/table"
)

// queueBench is the stack's queue and function, in a bubble: the times of each try, from the start.
type queueBench struct {
	*streamBench
	url, dead string
	mu        sync.Mutex // guards tries and sizes
	tries     []time.Duration
	sizes     []int
}

func newQueueBench(t *testing.T, answer func(n int, s sink)) *queueBench {
	q := &queueBench{streamBench: newStreamBench(t, answer)}
	create := func(name string, more map[string]string) string {
		attributes := map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"}
		for k, v := range more {
			attributes[k] = v
		}
		out, err := q.cloud.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		require.NoError(t, err)
		return *out.QueueUrl
	}
	q.dead = create("dead.fifo", nil)
	q.url = create("requests.fifo", map[string]string{
		"VisibilityTimeout": "130", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead.fifo","maxReceiveCount":15}`,
	})
	return q
}

func (q *queueBench) send(t *testing.T, bodies ...string) {
	for _, body := range bodies {
		_, err := q.cloud.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body, MessageGroupId: aws.String("sync")})
		require.NoError(t, err)
	}
}

// run is the event source mapping, until the bubble's test is over.
func (q *queueBench) run(t *testing.T, more ...flagsync.Option) {
	h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, oneKey(sdkKey), q.options(more...)...)
	began := time.Now()
	mapping := &localaws.QueueMapping{SQS: q.cloud.SQS, QueueURL: q.url, Logger: slog.New(slog.DiscardHandler), Handler: func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		q.mu.Lock()
		q.tries, q.sizes = append(q.tries, time.Since(began).Round(time.Second)), append(q.sizes, len(e.Records))
		q.mu.Unlock()
		return h.Handle(ctx, e)
	}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, mapping.Run(ctx)) })
	t.Cleanup(func() { stop(); running.Wait() })
}

func (q *queueBench) waiting(t *testing.T, url string) int {
	out, err := q.cloud.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	require.NoError(t, err)
	n, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	hidden, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return n + hidden
}

func TestAFailedBatchComesAgainSoonAndThenIsADeadLetter(t *testing.T) {
	for name, c := range map[string]struct {
		retry bool
		after []int // s from a try to the next. Each waits 10s for LaunchDarkly.
	}{
		"soon":                        {true, []int{11, 12, 14, 18, 26, 42, 70, 70, 70, 70, 70, 70, 70, 70}},
		"at the queue's own time-out": {false, slices.Repeat([]int{130}, 14)},
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
				if c.retry {
					options = append(options, flagsync.Retry(q.cloud.SQS, q.url))
				}
				q.send(t, "1", "2", "3")
				q.run(t, options...)
				time.Sleep(40 * time.Minute) // virtual
				synctest.Wait()
				want := []time.Duration{0}
				for i, s := range c.after {
					want = append(want, want[i]+time.Duration(s)*time.Second)
				}
				assert.Equal(t, want, q.tries)
				assert.Equal(t, slices.Repeat([]int{3}, 15), q.sizes, "all requests are one sync")
				assert.Equal(t, 3, q.waiting(t, q.dead))
				assert.Equal(t, 0, q.waiting(t, q.url))

				up.Store(true)
				calls := q.cloud.Calls("ChangeMessageVisibility")
				q.send(t, "4")
				time.Sleep(time.Minute)
				synctest.Wait()
				assert.Len(t, q.tries, 16)
				assert.Equal(t, map[string]int{"a": 1}, q.flags(t, ""))
				assert.Equal(t, 0, q.waiting(t, q.url))
				assert.Equal(t, calls, q.cloud.Calls("ChangeMessageVisibility"), "what went well is let alone")
			})
		})
	}
}

// An environment that fails for days must not make the others wait long for each flip.
func TestOthersDoNotWaitLongForOneThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(_ int, s sink) { s.payload("a:1") })
		b.cloud.Intercept(func(_ context.Context, _ string, input any) error {
			in, ok := input.(*dynamodb.UpdateItemInput)
			if ok && assert.ObjectsAreEqual(table.Key("staging:$sync", "staging:$sync"), in.Key) {
				return errors.New("no such table")
			}
			return nil
		})
		keys := flagsync.StaticKeys(map[string]string{"production": "sdk-1", "staging": "sdk-2"})
		queue := &visibilities{}
		h := flagsync.NewHandler(b.cloud.DynamoDB, tableName, keys, b.options(flagsync.Retry(queue, "https://queue"))...)
		for tries := 1; tries <= 6; tries++ {
			e := batch("m1")
			e.Records[0].Attributes = map[string]string{"ApproximateReceiveCount": strconv.Itoa(tries)}
			_, err := h.Handle(t.Context(), e)
			require.ErrorContains(t, err, "no such table")
		}
		assert.Equal(t, visibilities{1, 2, 4, 8, 10, 10}, *queue)
	})
}

// visibilities is an SQS that notes how long requests stay hidden, in seconds.
type visibilities []int32

func (v *visibilities) ChangeMessageVisibility(_ context.Context, in *sqs.ChangeMessageVisibilityInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	*v = append(*v, in.VisibilityTimeout)
	return &sqs.ChangeMessageVisibilityOutput{}, nil
}

// A sync that lost its fence is not acknowledged, also when there was nothing to write.
func TestALostFenceComesAgain(t *testing.T) {
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
		q.run(t, flagsync.Retry(q.cloud.SQS, q.url))
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []time.Duration{0, time.Second}, q.tries)
		assert.Equal(t, 0, q.waiting(t, q.url)+q.waiting(t, q.dead))
		lines := q.log.lines(t, "requests handled")
		require.Len(t, lines, 2)
		for i, failed := range []int{1, 0} {
			assert.EqualValues(t, failed, lines[i]["BatchFailures"])
			assert.EqualValues(t, failed, lines[i]["EnvironmentsFailed"])
			assert.EqualValues(t, 1, lines[i]["Requests"])
			assert.EqualValues(t, 0, lines[i]["EnvironmentsHeld"])
		}
		assert.InDelta(t, 1, lines[1]["RequestAge"], 0.1)
	})
}

// The function ends a sync that hangs while it still has time to say so.
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
		h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, oneKey(sdkKey), q.options(flagsync.Retry(q.cloud.SQS, q.url))...)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		response, err := h.Handle(ctx, events.SQSEvent{Records: []events.SQSMessage{{
			MessageId: *out.Messages[0].MessageId, ReceiptHandle: *out.Messages[0].ReceiptHandle,
			Attributes: map[string]string{"ApproximateReceiveCount": "40"},
		}}})
		require.Error(t, err)
		assert.Len(t, response.BatchItemFailures, 1)
		assert.Equal(t, 15*time.Second, time.Since(began))
		time.Sleep(59 * time.Second)
		synctest.Wait()
		assert.Equal(t, 0, q.receive(t))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, q.receive(t), "at most a minute, after however many tries")
	})
}

func (q *queueBench) receive(t *testing.T) int {
	out, err := q.cloud.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.url})
	require.NoError(t, err)
	return len(out.Messages)
}

// unwilling is an SQS that refuses.
type unwilling struct{}

func (unwilling) ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error) {
	return nil, errors.New("access denied")
}

func TestARetryThatCannotBeHastenedIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(_ int, s sink) { s.refuse() })
		h := flagsync.NewHandler(b.cloud.DynamoDB, tableName, oneKey(sdkKey), b.options(flagsync.Retry(unwilling{}, "https://queue"))...)
		_, err := h.Handle(t.Context(), batch("m1"))
		require.ErrorIs(t, err, flagsync.ErrUnauthorized)
		lines := b.log.lines(t, "a failed request comes again later than it could")
		require.Len(t, lines, 1)
		assert.Equal(t, "access denied", lines[0]["error"])

		h = flagsync.NewHandler(b.cloud.DynamoDB, tableName, oneKey(sdkKey), b.options(flagsync.Retry(nil, ""))...)
		_, err = h.Handle(t.Context(), batch("m1"))
		require.ErrorContains(t, err, "option Retry needs an SQS client")
	})
}
