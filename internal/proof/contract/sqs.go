package contract

import (
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sqsCases() map[string]func(T, Account) {
	return map[string]func(T, Account){
		"send, receive, delete":                       sendReceiveDelete,
		"deleting again is no error":                  deleteAgain,
		"a long poll is 20 seconds at most":           longestPoll,
		"a standard queue takes no de-duplication id": standardRefusesID,
		"a message hides and is redelivered":          visibility,
		"a hidden message can be shown":               changeVisibility,
		"a long poll ends with a message":             longPoll,
		"message attributes":                          messageAttributes,
		"batches":                                     queueBatches,
		"batch limits":                                queueBatchLimits,
		"messages are checked":                        queueRefusals,
		"a queue that does not exist":                 noQueue,
		"FIFO keeps each group's order":               fifoOrder,
		"FIFO wants group and id":                     fifoRefusals,
		"FIFO de-duplicates by id":                    fifoDeduplicates,
		"FIFO de-duplicates by content":               fifoDeduplicatesContent,
		"FIFO de-duplicates after a delete":           fifoDeduplicatesDeleted,
		"dead letters":                                deadLetters,
		"dead letters of a FIFO queue":                deadLettersFIFO,
		"attributes, tags, list":                      queueAttributes,
		"creating a queue again":                      createAgain,
	}
}

// queue is a queue in the account under test.
type queue struct {
	T
	SQS
	url *string
}

// newQueue makes a queue; with FifoQueue among the attributes, a FIFO queue.
func newQueue(t T, a Account, attributes map[string]string) *queue {
	t.Helper()
	name := newName("queue")
	if attributes["FifoQueue"] != "" {
		name += ".fifo"
	}
	out, err := a.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	require.NoError(t, err)
	return &queue{t, a.SQS, out.QueueUrl}
}

// newFIFO makes a FIFO queue, with more attributes or nil.
func newFIFO(t T, a Account, more map[string]string) *queue {
	t.Helper()
	attributes := map[string]string{"FifoQueue": "true"}
	maps.Copy(attributes, more)
	return newQueue(t, a, attributes)
}

func (q *queue) send(bodies ...string) (ids []string) {
	q.Helper()
	for _, body := range bodies {
		out, err := q.SendMessage(q.Context(), &sqs.SendMessageInput{QueueUrl: q.url, MessageBody: &body})
		require.NoError(q, err)
		ids = append(ids, *out.MessageId)
	}
	return ids
}

// sendTo sends to a group of a FIFO queue; the body is its de-duplication id too, unless the queue makes one.
func (q *queue) sendTo(group string, id *string, body string) error {
	_, err := q.SendMessage(q.Context(),
		&sqs.SendMessageInput{QueueUrl: q.url, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: id})
	return err
}

func (q *queue) sendAll(group string, bodies ...string) {
	q.Helper()
	for _, body := range bodies {
		require.NoError(q, q.sendTo(group, &body, body))
	}
}

// receive waits at most some seconds for some messages, at most count.
func (q *queue) receive(count, seconds int32) []types.Message {
	q.Helper()
	out, err := q.ReceiveMessage(q.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: q.url, MaxNumberOfMessages: count, WaitTimeSeconds: seconds,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	require.NoError(q, err)
	return out.Messages
}

// drain receives and deletes until a poll of a second finds nothing. It returns the bodies.
func (q *queue) drain() (bodies []string) {
	q.Helper()
	for {
		messages := q.receive(10, 1)
		if len(messages) == 0 {
			return bodies
		}
		for _, m := range messages {
			bodies = append(bodies, *m.Body)
			q.delete(m)
		}
	}
}

func (q *queue) delete(m types.Message) {
	q.Helper()
	_, err := q.DeleteMessage(q.Context(), &sqs.DeleteMessageInput{QueueUrl: q.url, ReceiptHandle: m.ReceiptHandle})
	require.NoError(q, err)
}

func (q *queue) attribute(name string) string {
	q.Helper()
	out, err := q.GetQueueAttributes(q.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: q.url,
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeName(name)}})
	require.NoError(q, err)
	return out.Attributes[name]
}

func bodiesOf(messages []types.Message) []string {
	bodies := []string{}
	for _, m := range messages {
		bodies = append(bodies, *m.Body)
	}
	return bodies
}

func sendReceiveDelete(t T, a Account) {
	q := newQueue(t, a, nil)
	out, err := q.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: q.url, MessageBody: aws.String("hello")})
	require.NoError(t, err)
	got := q.receive(10, 1)
	require.Len(t, got, 1)
	m := got[0]
	assert.Equal(t, []string{"hello", *out.MessageId, "1"},
		[]string{*m.Body, *m.MessageId, m.Attributes["ApproximateReceiveCount"]})
	assert.NotEmpty(t, m.Attributes["SentTimestamp"])
	assert.Equal(t, "1", q.attribute("ApproximateNumberOfMessagesNotVisible"))
	q.delete(m)
	assert.Equal(t, "0", q.attribute("ApproximateNumberOfMessagesNotVisible"))
	assert.Empty(t, q.receive(10, 0))
}

// deleteAgain is no error, so that a delete whose answer was lost can be sent again.
func deleteAgain(t T, a Account) {
	q := newQueue(t, a, nil)
	q.send("a")
	m := q.receive(1, 1)
	require.Len(t, m, 1)
	q.delete(m[0])
	q.delete(m[0])
}

func visibility(t T, a Account) {
	q := newQueue(t, a, map[string]string{"VisibilityTimeout": "5"})
	q.send("a")
	first := q.receive(1, 1)
	require.Len(t, first, 1)
	assert.Empty(t, q.receive(10, 0), "it is hidden")
	second := q.receive(10, 10)
	require.Len(t, second, 1)
	assert.Equal(t, []string{*first[0].MessageId, "2"},
		[]string{*second[0].MessageId, second[0].Attributes["ApproximateReceiveCount"]})
	assert.NotEqual(t, *first[0].ReceiptHandle, *second[0].ReceiptHandle)
}

func changeVisibility(t T, a Account) {
	q := newQueue(t, a, nil)
	q.send("a")
	m := q.receive(1, 1)
	require.Len(t, m, 1)
	_, err := q.ChangeMessageVisibility(t.Context(),
		&sqs.ChangeMessageVisibilityInput{QueueUrl: q.url, ReceiptHandle: m[0].ReceiptHandle, VisibilityTimeout: 0})
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, bodiesOf(q.receive(1, 1)))
	_, err = q.ChangeMessageVisibility(t.Context(),
		&sqs.ChangeMessageVisibilityInput{QueueUrl: q.url, ReceiptHandle: aws.String("broken"), VisibilityTimeout: 0})
	assert.Equal(t, "ReceiptHandleIsInvalid", codeOf(err))
}

func longPoll(t T, a Account) {
	q := newQueue(t, a, map[string]string{"ReceiveMessageWaitTimeSeconds": "20"})
	got := make(chan []types.Message, 1)
	go func() {
		out, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.url})
		if err != nil {
			out = &sqs.ReceiveMessageOutput{}
		}
		got <- out.Messages
	}()
	q.send("a")
	assert.Equal(t, []string{"a"}, bodiesOf(<-got))
}

func queueRefusals(t T, a Account) {
	q := newQueue(t, a, nil)
	for body, code := range map[string]string{"": "MissingParameter",
		strings.Repeat("x", 1<<20+1): "InvalidParameterValue"} {
		_, err := q.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: q.url, MessageBody: &body})
		assert.Equal(t, code, codeOf(err), "%.5q", body)
	}
	_, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.url, MaxNumberOfMessages: 11})
	assert.Equal(t, "InvalidParameterValue", codeOf(err))
}

func longestPoll(t T, a Account) {
	q := newQueue(t, a, nil)
	q.send("a")
	_, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.url, WaitTimeSeconds: 21})
	assert.Equal(t, "InvalidParameterValue", codeOf(err))
}

func noQueue(t T, a Account) {
	q := newQueue(t, a, nil)
	gone := aws.String(strings.Replace(*q.url, "contract-queue-", "contract-none-", 1))
	errs := map[string]error{}
	_, errs["send"] = q.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: gone, MessageBody: aws.String("x")})
	_, errs["receive"] = q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: gone})
	_, errs["attributes"] = q.GetQueueAttributes(t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: gone, AttributeNames: []types.QueueAttributeName{"All"}})
	name := aws.String((*q.url)[strings.LastIndexByte(*q.url, '/')+1:])
	found, err := q.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: name})
	require.NoError(t, err)
	assert.Equal(t, *q.url, *found.QueueUrl)
	_, err = q.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: q.url})
	require.NoError(t, err)
	_, errs["look for a deleted one"] = q.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: name})
	_, errs["receive from a deleted one"] = q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.url})
	for name, err := range errs {
		var missing *types.QueueDoesNotExist
		assert.ErrorAs(t, err, &missing, name)
	}
}

func (q *queue) set(name, value string) {
	q.Helper()
	_, err := q.SetQueueAttributes(q.Context(),
		&sqs.SetQueueAttributesInput{QueueUrl: q.url, Attributes: map[string]string{name: value}})
	require.NoError(q, err)
}

func messageAttributes(t T, a Account) {
	q := newQueue(t, a, nil)
	given := map[string]types.MessageAttributeValue{
		"kind":   {DataType: aws.String("String.Array"), StringValue: aws.String(`["features"]`)},
		"prefix": {DataType: aws.String("String"), StringValue: aws.String("eu:prod")},
	}
	_, err := q.SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: q.url, MessageBody: aws.String("x"), MessageAttributes: given})
	require.NoError(t, err)
	got := q.receive(1, 1)
	require.Len(t, got, 1)
	require.Len(t, got[0].MessageAttributes, len(given))
	for name, v := range got[0].MessageAttributes {
		assert.Equal(t, []*string{given[name].DataType, given[name].StringValue}, []*string{v.DataType, v.StringValue})
	}
}

func queueBatches(t T, a Account) {
	q := newQueue(t, a, nil)
	want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	in := &sqs.SendMessageBatchInput{QueueUrl: q.url}
	for _, body := range want {
		in.Entries = append(in.Entries,
			types.SendMessageBatchRequestEntry{Id: aws.String("id" + body), MessageBody: aws.String(body)})
	}
	sent, err := q.SendMessageBatch(t.Context(), in)
	require.NoError(t, err)
	assert.Len(t, sent.Successful, 10)
	assert.Empty(t, sent.Failed)
	got := []types.Message{}
	for more := q.receive(10, 1); len(more) > 0; more = q.receive(10, 1) {
		got = append(got, more...)
	}
	require.ElementsMatch(t, want, bodiesOf(got))
	remove := &sqs.DeleteMessageBatchInput{QueueUrl: q.url}
	for i, m := range got {
		remove.Entries = append(remove.Entries,
			types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
	}
	remove.Entries[3].ReceiptHandle = aws.String("broken")
	removed, err := q.DeleteMessageBatch(t.Context(), remove)
	require.NoError(t, err)
	assert.Len(t, removed.Successful, 9)
	require.Len(t, removed.Failed, 1)
	assert.Equal(t, "3", *removed.Failed[0].Id)
	assert.Equal(t, "1", q.attribute("ApproximateNumberOfMessagesNotVisible"))
}

func queueBatchLimits(t T, a Account) {
	q := newQueue(t, a, nil)
	entries := func(count, size int) (list []types.SendMessageBatchRequestEntry) {
		for i := range count {
			list = append(list,
				types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)),
					MessageBody: aws.String(strings.Repeat("x", size))})
		}
		return list
	}
	same := entries(2, 1)
	same[1].Id = same[0].Id
	for code, list := range map[string][]types.SendMessageBatchRequestEntry{
		"TooManyEntriesInBatchRequest": entries(11, 1), "BatchEntryIdsNotDistinct": same,
		"BatchRequestTooLong": entries(2, 1<<19+1),
	} {
		_, err := q.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: q.url, Entries: list})
		assert.Equal(t, "AWS.SimpleQueueService."+code, codeOf(err))
	}
}
