package contract

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fifoOrder: a group with a hidden message waits; other groups do not.
func fifoOrder(t T, a Account) {
	q := newFIFO(t, a, nil)
	q.sendAll("x", "x1", "x2", "x3")
	q.sendAll("y", "y1")
	first := q.receive(1, 1)
	require.Equal(t, []string{"x1"}, bodiesOf(first))
	assert.Equal(t, "x", first[0].Attributes["MessageGroupId"])
	require.Equal(t, []string{"y1"}, bodiesOf(q.receive(10, 1)), "x waits for x1")
	assert.Empty(t, q.receive(10, 0))
	q.delete(first[0])
	assert.Equal(t, []string{"x2", "x3"}, bodiesOf(q.receive(10, 1)))
}

func fifoRefusals(t T, a Account) {
	q := newFIFO(t, a, nil)
	_, noGroup := q.SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: q.url, MessageBody: aws.String("x"), MessageDeduplicationId: aws.String("x")})
	assert.Equal(t, "MissingParameter", codeOf(noGroup))
	assert.Equal(t, "InvalidParameterValue", codeOf(q.sendTo("g", nil, "x")), "no id, and the queue makes none")
	_, err := a.SQS.CreateQueue(t.Context(),
		&sqs.CreateQueueInput{QueueName: aws.String(newName("queue")),
			Attributes: map[string]string{"FifoQueue": "true"}})
	assert.Equal(t, "InvalidParameterValue", codeOf(err), "a FIFO queue's name ends in .fifo")
}

func standardRefusesID(t T, a Account) {
	_, err := a.SQS.SendMessage(t.Context(),
		&sqs.SendMessageInput{QueueUrl: newQueue(t, a, nil).url, MessageBody: aws.String("x"),
			MessageDeduplicationId: aws.String("x")})
	assert.Equal(t, "InvalidParameterValue", codeOf(err))
}

func fifoDeduplicates(t T, a Account) {
	q := newFIFO(t, a, nil)
	require.NoError(t, q.sendTo("g", aws.String("one"), "first"))
	require.NoError(t, q.sendTo("g", aws.String("one"), "another body under the same id"))
	require.NoError(t, q.sendTo("g", aws.String("two"), "first"))
	assert.Equal(t, []string{"first", "first"}, q.drain())
}

func fifoDeduplicatesContent(t T, a Account) {
	q := newFIFO(t, a, map[string]string{"ContentBasedDeduplication": "true"})
	require.NoError(t, q.sendTo("g", nil, "a"))
	require.NoError(t, q.sendTo("g", nil, "a"))
	require.NoError(t, q.sendTo("g", nil, "b"))
	assert.Equal(t, []string{"a", "b"}, q.drain())
}

// fifoDeduplicatesDeleted: the ID counts for five minutes, also after the message was deleted.
func fifoDeduplicatesDeleted(t T, a Account) {
	q := newFIFO(t, a, nil)
	q.sendAll("g", "a")
	require.Equal(t, []string{"a"}, q.drain())
	q.sendAll("g", "a", "b")
	assert.Equal(t, []string{"b"}, q.drain())
}

func redrive(target *queue, after int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, target.attribute("QueueArn"), after)
}

func deadLetters(t T, a Account) {
	dead := newQueue(t, a, nil)
	q := newQueue(t, a, map[string]string{"VisibilityTimeout": "1", "RedrivePolicy": redrive(dead, 2)})
	id := q.send("a")[0]
	for range 2 {
		require.Len(t, q.receive(1, 10), 1)
	}
	assert.Empty(t, q.receive(1, 3), "received often enough")
	letters := dead.receive(1, 3)
	require.Len(t, letters, 1)
	assert.Equal(t, []string{id, "a"}, []string{*letters[0].MessageId, *letters[0].Body})
}

// deadLettersFIFO: after the message was moved to the dead-letter queue, its group can be received.
func deadLettersFIFO(t T, a Account) {
	dead := newFIFO(t, a, nil)
	q := newFIFO(t, a, map[string]string{"VisibilityTimeout": "1", "RedrivePolicy": redrive(dead, 1)})
	q.sendAll("g", "a", "b")
	require.Equal(t, []string{"a"}, bodiesOf(q.receive(1, 1)))
	assert.Equal(t, []string{"b"}, bodiesOf(q.receive(1, 10)))
	assert.Equal(t, []string{"a"}, bodiesOf(dead.receive(1, 3)))
}

func queueAttributes(t T, a Account) {
	q := newQueue(t, a, map[string]string{"MessageRetentionPeriod": "3600"})
	assert.Equal(t, "3600", q.attribute("MessageRetentionPeriod"))
	assert.Equal(t, "30", q.attribute("VisibilityTimeout"), "the default")
	assert.Regexp(t, `^arn:aws:sqs:us-east-1:\d{12}:contract-queue-`, q.attribute("QueueArn"))
	policy := `{"Version":"2012-10-17","Statement":[]}`
	_, err := q.SetQueueAttributes(t.Context(),
		&sqs.SetQueueAttributesInput{QueueUrl: q.url,
			Attributes: map[string]string{"Policy": policy, "VisibilityTimeout": "7"}})
	require.NoError(t, err)
	assert.JSONEq(t, policy, q.attribute("Policy"))
	assert.Equal(t, "7", q.attribute("VisibilityTimeout"))
	_, err = q.TagQueue(t.Context(),
		&sqs.TagQueueInput{QueueUrl: q.url, Tags: map[string]string{"warmflags:owner": "host/1"}})
	require.NoError(t, err)
	tags, err := q.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: q.url})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"warmflags:owner": "host/1"}, tags.Tags)
	name := (*q.url)[len(*q.url)-len(newName("queue")):]
	listed, err := q.ListQueues(t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: &name})
	require.NoError(t, err)
	assert.Equal(t, []string{*q.url}, listed.QueueUrls)
}

func createAgain(t T, a Account) {
	name := aws.String(newName("queue"))
	create := func(seconds string) (*string, error) {
		out, err := a.SQS.CreateQueue(t.Context(),
			&sqs.CreateQueueInput{QueueName: name, Attributes: map[string]string{"VisibilityTimeout": seconds}})
		if err != nil {
			return nil, err
		}
		return out.QueueUrl, nil
	}
	first, err := create("5")
	require.NoError(t, err)
	again, err := create("5")
	require.NoError(t, err)
	assert.Equal(t, first, again)
	_, err = create("6")
	assert.Equal(t, "QueueAlreadyExists", codeOf(err), "with other attributes")
}
