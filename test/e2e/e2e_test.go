package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/test/emulator"
)

// One stack with everything, from its first deployment to its end. The subtests follow each other.
func TestStack(t *testing.T) {
	flags := launchdarkly.Start(sdkKey, 50, 3)
	t.Cleanup(flags.Close)
	parameters := []string{
		"StreamUri=" + flags.URL(),
		"SyncSchedule=rate(1 minute)",
		"AlarmEmail=oncall@example.com",
		"TableDeletionProtection=true",
	}
	stack := deploy(t, stackName, parameters...)
	e := &environment{flags, webhookProxy(t, stack["WebhookUrl"])}
	t.Cleanup(func() { world.gate.inTheWay(nil, nil) })
	t.Run("the schedule fills the table, without a webhook", func(t *testing.T) { filled(t, stack["TableName"]) })
	t.Run("the command line", func(t *testing.T) { commandLine(t, e) })

	consumers, stop := startConsumers(t, stack, "", 3)
	requireSeen(t, consumers, map[string]int{launchdarkly.FlagKey(0): 1, launchdarkly.FlagKey(49): 1})
	t.Run("a webhook in, fresh values out", func(t *testing.T) {
		requireSeen(t, consumers, e.flip(t, 0))
		requireSeen(t, consumers, e.flip(t, 0, 1, 2, 3, 1, 4))
	})
	t.Run("a webhook that is not LaunchDarkly's is refused", func(t *testing.T) {
		syncs, began := flags.Streams(), time.Now()
		response, err := http.Post(e.webhook, "application/json", strings.NewReader(`{"kind":"flag"}`))
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
		requireSeen(t, consumers, e.flip(t, 5))
		// Each sync opens a stream, and a retried one another.
		scheduled := 1 + int(time.Since(began)/time.Minute)
		assert.LessOrEqual(t, flags.Streams(), syncs+2+scheduled, "this change's sync, and the schedule's")
	})
	t.Run("without TLS, queue and topic refuse even the account's root", func(t *testing.T) {
		_, err := sqs.NewFromConfig(world.cloud.Config()).SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: aws.String(stack["RequestQueueUrl"]), MessageBody: aws.String("plain"),
			MessageGroupId: aws.String("all"),
		})
		require.ErrorContains(t, err, "AccessDenied")
		message := map[string]any{"TopicArn": stack["TopicArn"], "Message": "plain"}
		err = boto(t.Context(), "sns", "publish", message, nil)
		require.ErrorContains(t, err, "AuthorizationError")
	})
	t.Run("the topic refuses for a while", func(t *testing.T) { topicRefuses(t, e, consumers) })
	t.Run("streamhandler is killed in mid-batch", func(t *testing.T) { killed(t, e, consumers) })
	t.Run("LaunchDarkly cannot be read for a while", func(t *testing.T) { tableRefuses(t, e, consumers) })
	t.Run("a poison record", func(t *testing.T) { poison(t, e, consumers, stack["TableName"]) })
	t.Run("records that expired unpublished", func(t *testing.T) {
		expired(t, consumers, stack["StreamFailureQueueUrl"])
	})
	t.Run("an update while flags flip", func(t *testing.T) { update(t, e, consumers, parameters) })
	t.Run("warmflags status --probe follows a change through the stack", measure)
	t.Run("nothing is left over", func(t *testing.T) {
		assert.Zero(t, waiting(t, stack["RequestQueueUrl"]))
		assert.Zero(t, waiting(t, stack["StreamFailureQueueUrl"]))
	})
	t.Run("each function made the calls of sam/calls.json", checkCalls)
	t.Run("deletion keeps the table", func(t *testing.T) {
		stop()
		deletion(t, stack)
	})
}

// publishes reports whether a call is streamhandler's Publish.
func publishes(c call) bool {
	return c.action == "sns:Publish" && strings.Contains(c.function, "StreamhandlerFunction")
}

// topicRefuses makes SNS answer with an internal error, so that all attempts of the SDK fail as well, and then that the
// function may not publish, as during a deployment of its role.
func topicRefuses(t *testing.T, e *environment, consumers []*consumer) {
	var refused atomic.Int64
	enough := make(chan struct{})
	world.gate.inTheWay(func(c call) int {
		if !publishes(c) || refused.Load() >= 8 {
			return 0
		}
		if refused.Add(1) == 8 {
			close(enough)
		}
		if refused.Load()%2 == 0 {
			return http.StatusForbidden
		}
		return http.StatusInternalServerError
	}, nil)
	versions := e.flip(t, 10, 11, 10)
	select {
	case <-enough:
	case <-time.After(patience):
		require.Fail(t, "no call to the topic")
	}
	maps.Copy(versions, e.flip(t, 12))
	requireSeen(t, consumers, versions)
	world.gate.inTheWay(nil, nil)
}

// killed kills streamhandler before a message is published, and then after one was published, before it can return.
func killed(t *testing.T, e *environment, consumers []*consumer) {
	var deaths atomic.Int64
	kill := func(c call) { deaths.Add(int64(world.gate.kill(c.function))) }
	world.gate.inTheWay(func(c call) int {
		if publishes(c) && deaths.Load() == 0 {
			kill(c)
			return http.StatusBadGateway // no caller is left to receive it
		}
		return 0
	}, nil)
	requireSeen(t, consumers, e.flip(t, 13, 14))
	require.Positive(t, deaths.Load())

	before := deaths.Load()
	died, once := make(chan struct{}), sync.Once{}
	world.gate.inTheWay(nil, func(c call) {
		if publishes(c) {
			once.Do(func() { kill(c); close(died) })
		}
	})
	requireSeen(t, consumers, e.flip(t, 13, 15))
	<-died // which may come after its message
	world.gate.inTheWay(nil, nil)
	require.Greater(t, deaths.Load(), before)
	requireSeen(t, consumers, e.flip(t, 14)) // the shard goes on
}

// tableRefuses makes syncs fail: the requests are redelivered soon.
func tableRefuses(t *testing.T, e *environment, consumers []*consumer) {
	var refused atomic.Int64
	world.gate.inTheWay(func(c call) int {
		if strings.HasPrefix(c.action, "dynamodb:") && strings.Contains(c.function, "FlagsyncFunction") &&
			refused.Add(1) <= 2 {
			return http.StatusForbidden
		}
		return 0
	}, nil)
	requireSeen(t, consumers, e.flip(t, 16, 17))
	world.gate.inTheWay(nil, nil)
	require.Greater(t, refused.Load(), int64(2))
}

// poison writes rows that no LaunchDarkly client would: they must not stop the shard.
func poison(t *testing.T, e *environment, consumers []*consumer, table string) {
	db := dynamodb.NewFromConfig(world.gate.config())
	for _, row := range []map[string]types.AttributeValue{
		{
			"namespace": text("features"), "key": text("poison"),
			"item": text("this is no JSON"), "version": text("nor a number"),
		},
		{"namespace": text("\x00:::"), "key": text("\ufffd"), "item": text("")},
		{
			"namespace": text("nothing we know"), "key": text("k"),
			"item": text("{}"), "version": &types.AttributeValueMemberN{Value: "1e40"},
		},
	} {
		_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: row})
		require.NoError(t, err)
	}
	requireSeen(t, consumers, e.flip(t, 18, 19))
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// expired sends what Lambda sends when it discards records. They expire after 23 hours, which no test can wait.
func expired(t *testing.T, consumers []*consumer, queueURL string) {
	before := make([]int64, len(consumers))
	for i, c := range consumers {
		before[i] = c.all.Load()
	}
	_, err := sqs.NewFromConfig(
		world.gate.config(),
	).SendMessage(
		t.Context(),
		&sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: aws.String(
			`{"version":"1.0","requestContext":{"condition":"RecordAgeExpired"},"DDBStreamBatchInfo":{"shardId":"shardId-1",` +
				`"startSequenceNumber":"1","endSequenceNumber":"9","batchSize":9}}`,
		)},
	)
	require.NoError(t, err)
	for i, c := range consumers {
		c.await(t, "receive that anything may have changed", func() bool { return c.all.Load() > before[i] })
	}
}

// update deploys the stack again with other parameters, and without the journal, while flags flip.
func update(t *testing.T, e *environment, consumers []*consumer, parameters []string) {
	done := make(chan error, 1)
	var deploying sync.WaitGroup
	t.Cleanup(deploying.Wait)
	deploying.Go(func() {
		_, err := tryDeploy(t, stackName, append(parameters,
			"LogRetentionDays=7", "Tracing=true", "TableDeletionProtection=false", "JournalCopies=0")...)
		done <- err
	})
	versions := map[string]int{}
	for i, updated := 20, false; !updated; i++ {
		select {
		case err := <-done:
			require.NoError(t, err)
			updated = true
		default:
		}
		maps.Copy(versions, e.flip(t, 20+i%10))
		requireSeen(t, consumers[:1], versions)
		<-time.After(250 * time.Millisecond) // more than the syncs can keep up with would be left over
	}
	requireSeen(t, consumers, versions)
	requireSeen(t, consumers, e.flip(t, 30))
}

// measure follows one change through the stack with the command line.
func measure(t *testing.T) {
	arguments := []string{"run", "./cmd/warmflags", "status", "--stack", stackName, "--probe", "--json"}
	command := exec.CommandContext(t.Context(), "go", arguments...) //nolint:gosec // constants
	command.Dir = root()
	command.Env = append(append(os.Environ(), world.cloud.Environment()...), "AWS_ENDPOINT_URL="+world.gate.server.URL)
	var problems bytes.Buffer
	command.Stderr = &problems
	said, err := command.Output()
	require.NoError(t, err, problems.String())
	var report operate.ProbeReport
	require.NoError(t, json.Unmarshal(said, &report), string(said))
	assert.Len(t, report.Hops, 3, "no journal, which the update has switched off")
	assert.True(t, report.Removed)
	db := dynamodb.NewFromConfig(world.gate.config())
	rows, err := db.Scan(t.Context(), &dynamodb.ScanInput{TableName: &report.Table})
	require.NoError(t, err)
	for _, row := range rows.Items {
		assert.NotContains(t, row["namespace"].(*types.AttributeValueMemberS).Value, operate.ProbePrefix)
	}
	for _, hop := range report.Hops {
		t.Logf("%s: %.0f ms", hop.Name, hop.MS)
	}
}

// waiting returns the number of messages in a queue, received ones included, once it is 0 or after patience.
func waiting(t *testing.T, queueURL string) int {
	t.Helper()
	client := sqs.NewFromConfig(world.gate.config())
	for late := time.After(patience); ; {
		out, err := client.GetQueueAttributes(
			t.Context(),
			&sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: []sqsName{"All"}},
		)
		require.NoError(t, err)
		sum := 0
		for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
			sum += number(t, out.Attributes[name])
		}
		select {
		case <-late:
			return sum
		case <-time.After(200 * time.Millisecond):
		}
		if sum == 0 {
			return 0
		}
	}
}

// deletion deletes the stack: the table is kept, and everything else is removed.
func deletion(t *testing.T, stack map[string]string) {
	_, err := sam(t.Context(), "delete", "--stack-name", stackName, "--no-prompts", "--region", emulator.Region)
	require.NoError(t, err)
	var description struct{ Table struct{ TableStatus string } }
	require.NoError(
		t,
		boto(t.Context(), "dynamodb", "describe_table", map[string]any{"TableName": stack["TableName"]}, &description),
	)
	assert.Equal(t, "ACTIVE", description.Table.TableStatus)
	assert.Empty(t, left(t, stackName))
}
