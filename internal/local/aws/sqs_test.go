package aws_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// bench is a queue under test.
type bench struct {
	*localaws.SQS
	t   *testing.T
	url *string
}

func newQueue(t *testing.T, c *localaws.Cloud, name string, attributes map[string]string) bench {
	t.Helper()
	if strings.HasSuffix(name, ".fifo") {
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes["FifoQueue"] = "true"
	}
	out, err := c.SQS.CreateQueue(t.Context(),
		&sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	require.NoError(t, err)
	return bench{c.SQS, t, out.QueueUrl}
}

// send sends a message. In FIFO queues, the body is "group/text" and also the deduplication ID.
func (b bench) send(bodies ...string) (ids []string) {
	b.t.Helper()
	for _, body := range bodies {
		in := &sqs.SendMessageInput{QueueUrl: b.url, MessageBody: aws.String(body)}
		if strings.HasSuffix(*b.url, ".fifo") {
			group, _, _ := strings.Cut(body, "/")
			in.MessageGroupId, in.MessageDeduplicationId = aws.String(group), aws.String(contentID(body))
		}
		out, err := b.SendMessage(b.t.Context(), in)
		require.NoError(b.t, err)
		ids = append(ids, *out.MessageId)
	}
	return ids
}

func contentID(body string) string { return strings.ReplaceAll(body, "/", "-") }

func (b bench) receive(wait int32) []types.Message {
	b.t.Helper()
	out, err := b.ReceiveMessage(b.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: b.url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	require.NoError(b.t, err)
	return out.Messages
}

func (b bench) delete(m types.Message) {
	b.t.Helper()
	_, err := b.DeleteMessage(b.t.Context(), &sqs.DeleteMessageInput{QueueUrl: b.url, ReceiptHandle: m.ReceiptHandle})
	require.NoError(b.t, err)
}

func (b bench) attributes() map[string]string {
	b.t.Helper()
	out, err := b.GetQueueAttributes(b.t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: b.url,
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	require.NoError(b.t, err)
	return out.Attributes
}

func bodies(messages []types.Message) []string {
	list := []string{}
	for _, m := range messages {
		list = append(list, *m.Body)
	}
	return list
}

func TestQueueVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, localaws.New(), "q", nil)
		q.send("a", "b")
		first := q.receive(0)
		require.Equal(t, []string{"a", "b"}, bodies(first))
		assert.Equal(t, "2", q.attributes()["ApproximateNumberOfMessagesNotVisible"])
		q.delete(first[0])
		require.Empty(t, q.receive(0))
		pass(29 * time.Second)
		require.Empty(t, q.receive(0))
		pass(time.Second)
		second := q.receive(0)
		require.Equal(t, []string{"b"}, bodies(second))
		assert.Equal(t, "2", second[0].Attributes["ApproximateReceiveCount"])
		q.delete(first[1])
		assert.Equal(t, "1", q.attributes()["ApproximateNumberOfMessagesNotVisible"],
			"an old receipt handle deletes nothing")
		_, err := q.ChangeMessageVisibility(t.Context(),
			&sqs.ChangeMessageVisibilityInput{QueueUrl: q.url, ReceiptHandle: second[0].ReceiptHandle,
				VisibilityTimeout: 0})
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, bodies(q.receive(0)))
	})
}

func TestLongPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		q := newQueue(t, c, "q", nil)
		began := time.Now()
		require.Empty(t, q.receive(20))
		assert.Equal(t, 20*time.Second, time.Since(began))

		go func() {
			pass(7 * time.Second)
			q.send("a")
		}()
		began = time.Now()
		require.Equal(t, []string{"a"}, bodies(q.receive(20)))
		assert.Equal(t, 7*time.Second, time.Since(began))
		require.Empty(t, q.receive(20))
		require.Equal(t, []string{"a"}, bodies(q.receive(20)), "a message that becomes visible ends the wait")
		assert.Equal(t, 37*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: q.url, WaitTimeSeconds: 20})
		require.ErrorIs(t, err, context.DeadlineExceeded)

		go func() {
			pass(time.Second)
			_, err := c.SQS.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: q.url})
			assert.NoError(t, err)
		}()
		_, err = q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.url, WaitTimeSeconds: 20})
		var gone *types.QueueDoesNotExist
		require.ErrorAs(t, err, &gone)
		_, err = c.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
		var recently *types.QueueDeletedRecently
		require.ErrorAs(t, err, &recently)
		pass(time.Minute)
		newQueue(t, c, "q", nil)
	})
}

func TestFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, localaws.New(), "q.fifo", nil)
		q.send("x/1", "x/2", "y/1")
		one, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.url, MaxNumberOfMessages: 1})
		require.NoError(t, err)
		require.Equal(t, []string{"x/1"}, bodies(one.Messages))
		require.Equal(t, []string{"y/1"}, bodies(q.receive(0)), "a group with a hidden message waits")
		q.delete(one.Messages[0])
		two := q.receive(0)
		require.Equal(t, []string{"x/2"}, bodies(two))
		pass(time.Minute)
		_, err = q.DeleteMessage(t.Context(),
			&sqs.DeleteMessageInput{QueueUrl: q.url, ReceiptHandle: two[0].ReceiptHandle})
		requireCode(t, err, "InvalidParameterValue", "receipt handle has expired")
		require.Equal(t, []string{"x/2", "y/1"}, bodies(q.receive(0)))
	})
}

func TestDeduplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, localaws.New(), "q.fifo", map[string]string{"ContentBasedDeduplication": "true"})
		send := func(body string) string {
			out, err := q.SendMessage(t.Context(),
				&sqs.SendMessageInput{QueueUrl: q.url, MessageBody: aws.String(body), MessageGroupId: aws.String("g")})
			require.NoError(t, err)
			return *out.MessageId
		}
		first := send("a")
		require.Equal(t, first, send("a"), "a duplicate gets the ID of the first message")
		for _, m := range q.receive(0) {
			q.delete(m)
		}
		pass(5*time.Minute - time.Second)
		require.Equal(t, first, send("a"), "also after the first message was deleted")
		require.Empty(t, q.receive(0))
		pass(time.Second)
		require.NotEqual(t, first, send("a"))
		require.Len(t, q.receive(0), 1)
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, localaws.New(), "q", map[string]string{"MessageRetentionPeriod": "60"})
		q.send("a")
		pass(time.Minute)
		require.Equal(t, "1", q.attributes()["ApproximateNumberOfMessages"])
		pass(time.Second)
		require.Equal(t, "0", q.attributes()["ApproximateNumberOfMessages"])
	})
}

func TestQueueTagsAndLists(t *testing.T) {
	c := localaws.New()
	q := newQueue(t, c, "warm-1", nil)
	newQueue(t, c, "warm-2", nil)
	newQueue(t, c, "other", nil)
	_, err := c.SQS.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: q.url, Tags: map[string]string{"owner": "me"}})
	require.NoError(t, err)
	tags, err := c.SQS.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: q.url})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"owner": "me"}, tags.Tags)
	var names []string
	pages := sqs.NewListQueuesPaginator(c.SQS,
		&sqs.ListQueuesInput{QueueNamePrefix: aws.String("warm-"), MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		names = append(names, page.QueueUrls...)
	}
	assert.Len(t, names, 2)
}

func TestQueueMapping(t *testing.T) {
	report := func(ids ...string) (r events.SQSEventResponse) {
		for _, id := range ids {
			r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
		}
		return r
	}
	all := []string{"a", "b", "c"}
	for name, test := range map[string]struct {
		first func(events.SQSEvent) (events.SQSEventResponse, error)
		again []string // what is redelivered
	}{
		"success": {func(events.SQSEvent) (events.SQSEventResponse, error) { return report(), nil }, nil},
		"one failed": {func(e events.SQSEvent) (events.SQSEventResponse, error) {
			return report(e.Records[1].MessageId), nil
		}, []string{"b"}},
		"no identifier": {func(events.SQSEvent) (events.SQSEventResponse, error) { return report(""), nil }, all},
		"not in batch":  {func(events.SQSEvent) (events.SQSEventResponse, error) { return report("x"), nil }, all},
		"error": {func(events.SQSEvent) (events.SQSEventResponse, error) {
			return report(), errors.New("broken")
		}, all},
		"panic": {func(events.SQSEvent) (events.SQSEventResponse, error) { panic("broken") }, all},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := localaws.New()
				q := newQueue(t, c, "q", nil)
				q.send("a", "b", "c")
				var batches [][]string
				var came []time.Duration
				began := time.Now()
				m := &localaws.QueueMapping{SQS: c.SQS, QueueURL: *q.url, Logger: slog.New(slog.DiscardHandler),
					Handler: func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
						var keys []string
						for _, r := range e.Records {
							keys = append(keys, r.Body)
						}
						batches, came = append(batches, keys), append(came, time.Since(began))
						if len(batches) == 1 {
							return test.first(e)
						}
						return events.SQSEventResponse{}, nil
					}}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- m.Run(ctx) }()
				pass(time.Hour)
				cancel()
				require.NoError(t, <-ended)
				want := [][]string{all}
				if test.again != nil {
					want = append(want, test.again)
					assert.Equal(t, 30*time.Second, came[1], "when the visibility timeout ends")
				}
				assert.Equal(t, want, batches)
				left := q.attributes()
				assert.Equal(t, "0", left["ApproximateNumberOfMessages"])
				assert.Equal(t, "0", left["ApproximateNumberOfMessagesNotVisible"])
			})
		})
	}
}

func TestQueueMappingErrors(t *testing.T) {
	err := (&localaws.QueueMapping{BatchSize: 11, Concurrency: -1, Poll: -1}).Run(t.Context())
	for _, text := range []string{"Handler are required", "BatchSize is 11", "Concurrency is -1", "Poll is -1ns"} {
		require.ErrorContains(t, err, text)
	}
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		q := newQueue(t, c, "q", nil)
		calls := 0
		c.Intercept(func(_ context.Context, operation string, _ any) error {
			if calls++; calls < 4 && operation != "DeleteQueue" {
				return errors.New("broken")
			}
			return nil
		})
		m := &localaws.QueueMapping{SQS: c.SQS, QueueURL: *q.url,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Handler: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				return events.SQSEventResponse{}, nil
			}}
		ended := make(chan error)
		go func() { ended <- m.Run(t.Context()) }()
		pass(time.Minute)
		_, err := c.SQS.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: q.url})
		require.NoError(t, err)
		var gone *types.QueueDoesNotExist
		require.ErrorAs(t, <-ended, &gone)
	})
}
