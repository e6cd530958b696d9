package test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/test/emulator"
)

// pythonConsumer is the program in docs/messages.md, with a cache that prints what it drops.
func pythonConsumer(t *testing.T) string {
	t.Helper()
	document, err := os.ReadFile("../docs/messages.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(document), "```python\n")
	require.True(t, found)
	program, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	return program + `
import sys
url = subscribe(sys.argv[1], sys.argv[2])
run(url, lambda kind, key: print("drop", kind, key, flush=True), lambda: print("drop all", flush=True))
`
}

// startConsumer runs the program until the test ends, and returns the lines that it prints.
func startConsumer(t *testing.T, cloud *emulator.Cloud, topic, queue string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	command := exec.CommandContext(ctx, emulator.Python(), "-c", pythonConsumer(t), topic, queue)
	command.Env = append(os.Environ(), cloud.Environment()...)
	command.Stderr = t.Output()
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = command.Wait() // the error says that it was killed
	})
	return lines
}

// The consumer in docs/messages.md works as the page says, in an account that enforces policies. A queue without a
// policy receives nothing although no call fails, as the page warns.
func TestTheDocumentsConsumer(t *testing.T) {
	cloud, err := emulator.StartCloud(
		"ministack-messages",
		"http://127.0.0.1:1",
	) // no functions run here that would call this endpoint
	require.NoError(t, err)
	t.Cleanup(cloud.Stop)
	snsClient := sns.NewFromConfig(cloud.Config())
	out, err := snsClient.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("flags")})
	require.NoError(t, err)
	topic := *out.TopicArn
	without := subscribeWithoutPolicy(t, cloud, topic)
	lines := startConsumer(t, cloud, topic, "consumer")
	require.Equal(t, "drop all", receive(t, lines, "start"))

	text := func(prefix string, keys ...string) string {
		m := change.Message{ID: "1", Prefix: prefix}
		for _, key := range keys {
			m.Changes = append(m.Changes, change.Change{Kind: change.KindFeatures, Key: key, Version: 1})
		}
		b, err := json.Marshal(m)
		require.NoError(t, err)
		return string(b)
	}
	for _, c := range []struct {
		body string
		want []string // lines; nil: the next line is of a later message
	}{
		{text("production", "a", "b"), []string{"drop features a", "drop features b"}},
		{text("staging", "c"), nil},
		{`{"type":"order.placed"}`, nil},
		{`hello`, nil},
		{text("production"), []string{"drop all"}},
		{text("production", "d"), []string{"drop features d"}},
		{`{"type":"warmflags.changed.v1","data":{"prefix":"production","changes":null}}`, []string{"drop all"}},
		{`{"type":"warmflags.changed.v1","data":{"prefix":"production","cha`, []string{"drop all"}},
		{text("production", "last"), []string{"drop features last"}},
	} {
		_, err := snsClient.Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Message: &c.body})
		require.NoError(t, err)
		for _, want := range c.want {
			assert.Equal(t, want, receive(t, lines, "line for "+c.body))
		}
	}
	messages, err := sqs.NewFromConfig(cloud.Config()).ReceiveMessage(t.Context(),
		&sqs.ReceiveMessageInput{QueueUrl: &without})
	require.NoError(t, err)
	assert.Empty(t, messages.Messages)
}

// subscribeWithoutPolicy subscribes a queue as the page does, except for the policy, and returns its URL.
func subscribeWithoutPolicy(t *testing.T, cloud *emulator.Cloud, topic string) (url string) {
	t.Helper()
	sqsClient := sqs.NewFromConfig(cloud.Config())
	queue, err := sqsClient.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("without-policy")})
	require.NoError(t, err)
	name := sqstypes.QueueAttributeNameQueueArn
	out, err := sqsClient.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{name},
	})
	require.NoError(t, err)
	_, err = sns.NewFromConfig(cloud.Config()).Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: aws.String(out.Attributes[string(name)]),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	require.NoError(t, err)
	return *queue.QueueUrl
}
