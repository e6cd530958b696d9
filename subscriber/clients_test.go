package subscriber_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/subscriber"
)

var (
	_ subscriber.SNS = (*sns.Client)(nil)
	_ subscriber.SQS = (*sqs.Client)(nil)
)

type roundTripper func(*http.Request) string

func (f roundTripper) Do(r *http.Request) (*http.Response, error) {
	body := f(r)
	status := http.StatusOK
	if body == "" {
		status = http.StatusForbidden
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// Real clients, on a wire that we hold: the queue may be in another region than the topic, which SNS knows only in
// its own.
func TestQueueMakesClients(t *testing.T) {
	var calls []string
	config := aws.Config{
		Region: "eu-west-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
		HTTPClient: roundTripper(func(r *http.Request) string {
			operation := r.Header.Get("X-Amz-Target")
			calls = append(calls, r.URL.Host+" "+operation)
			switch operation {
			case "AmazonSQS.CreateQueue":
				return `{"QueueUrl":"https://sqs.eu-west-1.amazonaws.com/123456789012/q"}`
			case "AmazonSQS.GetQueueAttributes":
				return `{"Attributes":{"QueueArn":"arn:aws:sqs:eu-west-1:123456789012:q"}}`
			case "AmazonSQS.SetQueueAttributes", "AmazonSQS.DeleteQueue":
				return `{}`
			}
			return ""
		}),
	}
	s := &sink{}
	err := subscriber.Queue(topic, s, subscriber.AWSConfig(config)).Run(context.Background())
	assert.ErrorContains(t, err, `subscribe queue "arn:aws:sqs:eu-west-1:123456789012:q" to topic "`+topic+`"`)
	assert.Equal(t, []string{
		"sqs.eu-west-1.amazonaws.com AmazonSQS.CreateQueue",
		"sqs.eu-west-1.amazonaws.com AmazonSQS.GetQueueAttributes",
		"sqs.eu-west-1.amazonaws.com AmazonSQS.SetQueueAttributes",
		"sns.us-east-1.amazonaws.com ",
		"sqs.eu-west-1.amazonaws.com AmazonSQS.DeleteQueue",
	}, calls)
	assert.Empty(t, s.take())
}
