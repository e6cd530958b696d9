package main

import (
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/subscriber"
)

func TestReap(t *testing.T) {
	a := newAccount(t, 0)
	topic, err := a.cloud.SNS.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("flags")})
	require.NoError(t, err)
	for name, lived := range map[string]string{"warmflags_flags_old": "2000-01-01T00:00:00Z", "warmflags_flags_new": "2999-01-01T00:00:00Z"} {
		_, err := a.cloud.SQS.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Tags: map[string]string{
			subscriber.TagTopic: *topic.TopicArn, subscriber.TagHeartbeat: lived, subscriber.TagOwner: "host/7",
		}})
		require.NoError(t, err)
	}
	reap := func(args ...string) (code int, out, problems string) {
		var stdout, stderr strings.Builder
		code = program{&stdout, &stderr, os.Getenv, a.connect}.run(t.Context(), append([]string{"reap", "--topic", *topic.TopicArn}, args...)...)
		return code, stdout.String(), stderr.String()
	}
	code, out, _ := reap("--dry-run")
	assert.Zero(t, code)
	assert.Regexp(t, `host/7 +2000-01-01T00:00:00Z +\S+/warmflags_flags_old`, out)
	assert.NotContains(t, out, "warmflags_flags_new")
	assert.Contains(t, out, "1 would be removed\n")
	code, out, _ = reap("--json")
	assert.Zero(t, code)
	assert.Regexp(t, `^\[\n  {\n    "queue": "\S+/warmflags_flags_old",\n    "owner": "host/7",\n    "heartbeat": "2000-01-01T00:00:00Z"\n  }\n\]\n$`, out)
	code, out, _ = reap()
	assert.Zero(t, code)
	assert.Equal(t, "0 removed\n", out)
	code, _, problems := reap("--dead-after", "1h")
	assert.Equal(t, 1, code)
	assert.Contains(t, problems, "use 2 hours at least")
	code, _, problems = reap("--topic", "flags")
	assert.Equal(t, 2, code)
	assert.Contains(t, problems, "the topic is not an ARN: flags")
}
