package subscriber_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		Request: r}, nil
}

// wire returns a configuration for clients whose SQS calls succeed and whose SNS calls are refused. It calls call for
// each request.
func wire(region string, call func(host, operation, body string)) aws.Config {
	queueARN := "arn:aws:sqs:" + region + ":123456789012:q"
	return aws.Config{
		Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
		HTTPClient: roundTripper(func(r *http.Request) string {
			operation := r.Header.Get("X-Amz-Target")
			body, _ := io.ReadAll(r.Body)
			call(r.URL.Host, operation, string(body))
			switch operation {
			case "AmazonSQS.CreateQueue":
				return `{"QueueUrl":"https://sqs.` + region + `.amazonaws.com/123456789012/q"}`
			case "AmazonSQS.GetQueueAttributes":
				return `{"Attributes":{"QueueArn":"` + queueARN + `"}}`
			case "AmazonSQS.SetQueueAttributes", "AmazonSQS.DeleteQueue":
				return `{}`
			}
			return ""
		}),
	}
}

// The queue may be in a region other than the topic's. Calls of SNS go to the topic's region.
func TestQueueCreatesClients(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var calls []string
	config := wire("eu-west-1", func(host, operation, _ string) {
		calls = append(calls, host+" "+operation)
		if operation == "AmazonSQS.DeleteQueue" {
			cancel()
		}
	})
	s := &sink{}
	var log lines
	err := subscriber.Queue(topic, s, subscriber.AWSConfig(config),
		subscriber.Logger(slog.New(slog.NewTextHandler(&log, nil)))).Run(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"sqs.eu-west-1.amazonaws.com AmazonSQS.CreateQueue",
		"sqs.eu-west-1.amazonaws.com AmazonSQS.GetQueueAttributes",
		"sqs.eu-west-1.amazonaws.com AmazonSQS.SetQueueAttributes",
		"sns.us-east-1.amazonaws.com ",
		"sqs.eu-west-1.amazonaws.com AmazonSQS.DeleteQueue",
	}, calls)
	assert.Empty(t, s.take())
}

// For each pair of regions, SNS may send with the principal that AWS documents in "Sending Amazon SNS messages to an
// Amazon SQS queue or AWS Lambda function in a different Region". In an opt-in region SNS has its own principal.
func TestQueuePolicyForEveryPairOfRegions(t *testing.T) {
	byDefault := strings.Fields(`us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 sa-east-1
		eu-central-1 eu-north-1 eu-west-1 eu-west-2 eu-west-3
		ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2`)
	optIn := strings.Fields(`af-south-1 ap-east-1 ap-south-2 ap-southeast-3 ap-southeast-4 ap-northeast-3
		eu-south-1 eu-south-2 eu-central-2 il-central-1 me-south-1 me-central-1 xx-future-1`)
	for _, topicRegion := range append(byDefault, optIn...) {
		for _, queueRegion := range append(byDefault, optIn...) {
			topic := "arn:aws:sns:" + topicRegion + ":123456789012:flags"
			ctx, cancel := context.WithCancel(t.Context())
			policy := ""
			config := wire(queueRegion, func(_, operation, body string) {
				switch operation {
				case "AmazonSQS.SetQueueAttributes":
					var in struct{ Attributes map[string]string }
					assert.NoError(t, json.Unmarshal([]byte(body), &in))
					policy = in.Attributes["Policy"]
				case "AmazonSQS.DeleteQueue":
					cancel()
				}
			})
			err := subscriber.Queue(topic, &sink{}, subscriber.AWSConfig(config),
				subscriber.Logger(slog.New(slog.DiscardHandler))).Run(ctx)
			topicOptIn, queueOptIn := slices.Contains(optIn, topicRegion), slices.Contains(optIn, queueRegion)
			if topicRegion != queueRegion && topicOptIn && queueOptIn {
				require.ErrorContains(t, err, "use an SQS client of the topic's region", topicRegion+" "+queueRegion)
				continue
			}
			require.NoError(t, err)
			principal := "sns.amazonaws.com"
			switch {
			case topicRegion == queueRegion:
			case topicOptIn:
				principal = "sns." + topicRegion + ".amazonaws.com"
			case queueOptIn:
				principal = "sns." + queueRegion + ".amazonaws.com"
			}
			for sender, want := range map[send]bool{
				{principal, topic, true}: true, {principal, topic + "2", true}: false, {principal, topic, false}: false,
				{"", "", true}: false, {"events.amazonaws.com", topic, true}: false,
			} {
				got, err := allows(policy, "arn:aws:sqs:"+queueRegion+":123456789012:q", sender)
				require.NoError(t, err)
				assert.Equal(t, want, got, "%s to %s: %+v", topicRegion, queueRegion, sender)
			}
		}
	}
}
