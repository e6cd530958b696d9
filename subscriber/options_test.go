package subscriber_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/subscriber"
)

// All wrong options are reported together, by the first call that returns an error.
func TestWrongOptions(t *testing.T) {
	bad := []subscriber.Option{
		subscriber.Logger(nil), subscriber.OnMessage(nil), nil, subscriber.Prefix(strings.Repeat("p", 513)),
	}
	all := []string{
		"the sink is nil", "option Logger: the logger is nil", "option OnMessage: the function is nil",
		"an option is nil", "option Prefix: the prefix has 513 bytes"}

	t.Run("Queue", func(t *testing.T) {
		err := subscriber.Queue("flags", nil, append(bad, subscriber.CleanupTimeout(-1), subscriber.Owner(""),
			subscriber.AllowSHA1(), subscriber.SNSClient(nil), subscriber.SQSClient(nil))...).Run(context.Background())
		for _, problem := range append(all, `topic "flags"`, "CleanupTimeout: -1ns", "Owner",
			"AllowSHA1: it has no effect on subscriber.Queue", "SNSClient", "SQSClient") {
			assert.ErrorContains(t, err, problem)
		}
	})
	t.Run("Endpoint", func(t *testing.T) {
		_, err := subscriber.Endpoint("flags", nil, append(bad, subscriber.Certificates(nil),
			subscriber.HTTPClient(nil), subscriber.Owner("me"))...)
		for _, problem := range append(all, `topic "flags"`, "Certificates", "HTTPClient",
			"Owner: it has no effect on subscriber.Endpoint") {
			assert.ErrorContains(t, err, problem)
		}
		_, err = subscriber.Endpoint("arn:aws-iso:sns:us-iso-east-1:123456789012:flags", &sink{})
		assert.ErrorContains(t, err, `partition "aws-iso"`)
	})
	t.Run("Lambda", func(t *testing.T) {
		err := subscriber.Lambda(nil, append(bad, subscriber.AWSConfig(aws.Config{}),
			subscriber.SNSClient(&fakeSNS{}))...).Handle(context.Background(), events.SNSEvent{})
		for _, problem := range append(all, "AWSConfig: it has no effect on subscriber.Lambda",
			"SNSClient: it has no effect on subscriber.Lambda") {
			assert.ErrorContains(t, err, problem)
		}
	})
	for _, arn := range []string{
		"", "flags", "arn:aws:sqs:us-east-1:123456789012:flags", "arn:aws:sns::123456789012:flags",
		"arn:aws:sns:us-east-1::flags", "arn:aws:sns:us-east-1:123456789012:",
		topic + ":8a21d249-4329-4871-acc6-7be709c6ea7f", "arn:aws:sns:us-east-1:123456789012:*",
	} {
		err := subscriber.Queue(arn, &sink{}).Run(context.Background())
		assert.ErrorContains(t, err, "pass the ARN of an SNS topic", arn)
	}
}

func TestLambda(t *testing.T) {
	s := &waker{}
	var passed []string // prefixes
	l := subscriber.Lambda(s, subscriber.Prefix("staging"), subscriber.Logger(slog.New(slog.DiscardHandler)),
		subscriber.OnMessage(func(m change.Message) { passed = append(passed, m.Prefix) }))
	event := events.SNSEvent{}
	for _, m := range []string{message("staging", "a"), "broken", message("", "b"), message("staging", "c")} {
		event.Records = append(event.Records, events.SNSEventRecord{SNS: events.SNSEntity{Message: m}})
	}
	require.NoError(t, l.Handle(context.Background(), event))
	assert.Equal(t, []string{"*", "a", "c"}, s.take(),
		"earlier messages may have been delivered to another container, and Handle does not call Wake")
	assert.Equal(t, []string{"staging", "", "staging"}, passed, "of every prefix, if it can be read")
	require.NoError(t, l.Handle(context.Background(), event))
	assert.Equal(t, []string{"a", "c"}, s.take())
	assert.Equal(t, subscriber.Stats{Messages: 4, Changes: 4, InvalidatedAll: 1, OtherPrefix: 2, Foreign: 2}, l.Stats())
}

// waker is a sink that is a [change.Waker] too.
type waker struct{ sink }

func (w *waker) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, "wake")
}
