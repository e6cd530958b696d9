package operate_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/proof/deployment"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/subscriber"
)

const key = "sdk-status"

// stack is a deployment whose environment "production" is synced with a LaunchDarkly of 3 flags and a segment.
type stack struct {
	*deployment.Deployment
	t   *testing.T
	ld  *launchdarkly.Environment
	now time.Time // of the report
}

func newStack(t *testing.T) *stack {
	s := &stack{Deployment: deployment.Start(), t: t, ld: launchdarkly.Start(key, 3, 1), now: time.Now()}
	t.Cleanup(s.Close)
	t.Cleanup(s.ld.Close)
	s.Keys = `{"production": "` + key + `"}`
	s.Stack.Parameters["StreamUri"] = s.ld.URL()
	s.sync()
	s.now = time.Now()
	return s
}

// sync syncs the environment as the stack's function does.
func (s *stack) sync() {
	_, err := flagsync.New(&table.Environment{Client: s.Cloud.DynamoDB, Table: "flags", Prefix: "production"},
		flagsync.StaticKeys(map[string]string{"production": key}), flagsync.StreamURI(s.ld.URL()), flagsync.Linger(-1),
		flagsync.Timeout(time.Minute), flagsync.Logger(slog.New(slog.DiscardHandler))).Sync(s.t.Context())
	require.NoError(s.t, err)
}

func (s *stack) status() *operate.Report {
	return operate.Status(s.t.Context(), s.Account, &s.Stack, s.now)
}

// An idle stack without alarms and consumers, to which everything else is compared.
func TestStatusOfAStackThatWorks(t *testing.T) {
	r := newStack(t).status()
	assert.Equal(t, "OK: the table is equal to LaunchDarkly, and changes are published", r.Outcome)
	assert.True(t, r.OK)
	assert.Empty(t, r.Problems)
	assert.Empty(t, r.NotKnown)
	require.Len(t, r.Environments.List, 1)
	e := r.Environments.List[0]
	assert.Equal(t, "production", e.Prefix)
	assert.Equal(t, operate.Differences{Unchanged: 4}, e.Differences)
	assert.NotNil(t, e.Sync.Synced)
}

// changed is a problem: what makes it, and how it is reported.
type changed struct {
	name   string
	change func(*stack)
	want   string // the beginning of the worst problem
	hint   string // a part of its hint
}

func disabled(function string) func(*stack) {
	return func(s *stack) { s.Mappings["flags-"+function][0].State = aws.String("Disabled") }
}

func fail(operation string) func(*stack) {
	return func(s *stack) {
		s.Fail = func(called string) error {
			if called == operation {
				return errors.New("access denied")
			}
			return nil
		}
	}
}

// environmentProblems are those of the table's content.
var environmentProblems = []changed{
	{
		"LaunchDarkly has a change",
		func(s *stack) { s.ld.Flip("flag-0") },
		`environment "production" differs from LaunchDarkly in 1 row`,
		"run: warmflags sync --stack flags --prefix production",
	},
	{
		"the last sync was long ago",
		func(s *stack) { s.now = s.now.Add(31 * time.Minute) },
		`environment "production" was last synced 31m0s ago`,
		"read the log of FlagsyncFunction; run: warmflags doctor --stack flags",
	},
	{"it may be longer ago", func(s *stack) {
		s.Stack.Parameters["SyncLateSeconds"], s.now = "3600", s.now.Add(31*time.Minute)
	}, "", ""},
	{"another environment was never synced", func(s *stack) {
		s.Keys = `{"production": "` + key + `", "staging": "` + key + `"}`
	}, `environment "staging" was never synced`, "run: warmflags sync --stack flags --prefix staging; read"},
	{"LaunchDarkly refuses the key", func(s *stack) { s.Keys = `{"production": "sdk-wrong"}` },
		`LaunchDarkly refuses the SDK key of environment "production"`, "run: warmflags doctor --stack flags"},
	{"the key is gone", func(s *stack) { s.Keys = `{"other": "` + key + `"}` },
		`environment "other" was never synced`, "run: warmflags sync --stack flags --prefix other; read"},
	{"the parameter cannot be read", fail("GetParameter"), "the SDK keys cannot be read: ",
		"run: warmflags doctor --stack flags"},
	{"the parameter is no key", func(s *stack) { s.Keys = "{" }, "the SDK keys cannot be read: ",
		"run: warmflags doctor --stack flags"},
	{"the table cannot be read", func(s *stack) {
		s.Cloud.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "Scan" {
				return errors.New("no table")
			}
			return nil
		})
	}, "it is not known whether flags are up to date: ", ""},
}

// pipelineProblems are those of what surrounds the table.
var pipelineProblems = []changed{
	{
		"the stream's mapping is disabled",
		disabled("StreamhandlerFunction"),
		"changes are not published: the event source mapping of the table's stream is Disabled",
		"run: aws lambda update-event-source-mapping --region us-east-1 --uuid uuid-of-StreamhandlerFunction --enabled",
	},
	{"the stream's mapping is gone", func(s *stack) { s.Mappings["flags-StreamhandlerFunction"] = nil },
		"changes are not published: StreamhandlerFunction has no event source mapping", "deploy"},
	{
		"the mapping is on an old stream",
		func(s *stack) { s.Mappings["flags-StreamhandlerFunction"][0].EventSourceArn = aws.String("arn:old") },
		"changes are not published: the event source mapping reads the old stream arn:old",
		"sam deploy --region us-east-1 --stack-name flags --parameter-overrides ExistingTableName=flags " +
			"ExistingTableStreamArn=arn:",
	},
	{"the last batch failed", func(s *stack) {
		s.Mappings["flags-StreamhandlerFunction"][0].LastProcessingResult = aws.String("PROBLEM: Function call failed")
	}, "the last changes could not be published: PROBLEM", "log of StreamhandlerFunction"},
	{
		"the mappings cannot be read",
		fail("ListEventSourceMappings"),
		"it is not known whether changes are published: access denied",
		"",
	},
	{
		"the sync's mapping is disabled",
		disabled("FlagsyncFunction"),
		"nothing handles the sync's requests",
		"uuid-of-FlagsyncFunction",
	},
	{"the stack only announces", func(s *stack) {
		disabled("FlagsyncFunction")(s)
		s.Stack.Parameters["Sync"] = "false"
	}, "", ""},
	{"changes expired", func(s *stack) {
		_, err := s.Cloud.SQS.SendMessage(
			s.t.Context(),
			&sqs.SendMessageInput{QueueUrl: &s.Stack.StreamFailureQueueURL, MessageBody: aws.String("{}")},
		)
		require.NoError(s.t, err)
	}, "changes expired before they were published: 1 report waiting", "StreamFailureFunction"},
	{
		"changes wait",
		func(s *stack) { s.Lag = []cwtypes.Datapoint{point(s, 1, 5e3), point(s, 0, 90e3)} },
		"changes wait 1m30s to be published",
		"StreamhandlerFunction",
	},
	{"changes waited", func(s *stack) { s.Lag = []cwtypes.Datapoint{point(s, 0, 5e3), point(s, 1, 90e3)} }, "", ""},
	{"an alarm fires", func(s *stack) { s.alarm(cwtypes.StateValueAlarm) }, "alarm FlagsNotSynced fires: late",
		"docs/alarms.md"},
	{"an alarm is fine", func(s *stack) { s.alarm(cwtypes.StateValueOk) }, "", ""},
	{
		"a consumer's queue is gone",
		func(s *stack) { s.consumer("warmflags_changes_gone", "") },
		"1 consumer queue without a reader",
		"run: warmflags reap --stack flags",
	},
	{
		"a consumer is dead",
		func(s *stack) { s.consumer("warmflags_changes_dead", "2000-01-01T00:00:00Z") },
		"1 consumer queue without a reader",
		"run: warmflags reap --stack flags",
	},
	{
		"a consumer lives",
		func(s *stack) { s.consumer("warmflags_changes_live", s.now.UTC().Format(time.RFC3339)) },
		"",
		"",
	},
	{"another program's queue", func(s *stack) { s.consumer("orders", "2000-01-01T00:00:00Z") }, "", ""},
}

func point(s *stack, minutesAgo int, milliseconds float64) cwtypes.Datapoint {
	return cwtypes.Datapoint{
		Timestamp: aws.Time(s.now.Add(-time.Duration(minutesAgo) * time.Minute)),
		Maximum:   &milliseconds,
	}
}

func (s *stack) alarm(state cwtypes.StateValue) {
	s.Stack.Resources["FlagsNotSynced"] = "flags-alarm"
	s.Alarms = []cwtypes.MetricAlarm{
		{AlarmName: aws.String("flags-alarm"), AlarmDescription: aws.String("late"), StateValue: state},
	}
}

// consumer subscribes a queue, and makes it unless it has no heartbeat.
func (s *stack) consumer(queue, heartbeat string) {
	topic := s.Stack.TopicARN
	arn := "arn:aws:sqs:us-east-1:000000000000:" + queue
	if heartbeat != "" {
		_, err := s.Cloud.SQS.CreateQueue(
			s.t.Context(),
			&sqs.CreateQueueInput{QueueName: &queue, Tags: map[string]string{
				subscriber.TagTopic: topic, subscriber.TagOwner: "host/1", subscriber.TagHeartbeat: heartbeat,
			}},
		)
		require.NoError(s.t, err)
	}
	_, err := s.Cloud.SNS.Subscribe(
		s.t.Context(),
		&sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &arn,
			Attributes: map[string]string{"RawMessageDelivery": "true"}},
	)
	require.NoError(s.t, err)
}

func TestStatusNamesTheWorstProblem(t *testing.T) {
	for _, c := range append(environmentProblems, pipelineProblems...) {
		t.Run(c.name, func(t *testing.T) {
			s := newStack(t)
			c.change(s)
			r := s.status()
			if c.want == "" {
				assert.True(t, r.OK, r.Outcome)
				return
			}
			assert.False(t, r.OK)
			require.NotEmpty(t, r.Problems)
			assert.Contains(t, r.Outcome, "PROBLEM: "+c.want)
			assert.Contains(t, r.Problems[0].Hint, c.hint)
		})
	}
}

func TestStatusPutsWhatNobodyLearnsOfFirst(t *testing.T) {
	s := newStack(t)
	s.consumer("warmflags_changes_gone", "")
	s.ld.Flip("flag-0")
	disabled("StreamhandlerFunction")(s)
	r := s.status()
	require.Len(t, r.Problems, 3)
	assert.Contains(t, r.Problems[0].Problem, "changes are not published")
	assert.Contains(t, r.Problems[1].Problem, "differs from LaunchDarkly")
	assert.Contains(t, r.Problems[2].Problem, "consumer queue")
	assert.Contains(t, r.Outcome, "(and 2 more)")
	assert.Equal(t, 1, r.Environments.List[0].Differences.Update)
}

// A guard is what the sync itself would say; the lower version of one item holds that item only.
func TestStatusShowsWhatIsHeld(t *testing.T) {
	s := newStack(t)
	for i := range 15 { // more than the payload may remove
		row := table.Key("production:features", "old-"+string(rune('a'+i)))
		row["version"], row["item"] = table.Number(1), table.Text(`{"key":"old","version":1}`)
		_, err := s.Cloud.DynamoDB.PutItem(
			t.Context(),
			&dynamodb.PutItemInput{TableName: aws.String("flags"), Item: row},
		)
		require.NoError(t, err)
	}
	r := s.status()
	assert.Contains(t, r.Outcome, `PROBLEM: a guard holds environment "production": `)
	assert.Contains(t, r.Problems[0].Hint, "run: warmflags sync --stack flags --prefix production --force")
	assert.Equal(t, 15, r.Environments.List[0].Differences.Remove)
}

// What cannot be read is named, and the rest is there.
func TestStatusShowsTheRestOfWhatCannotBeRead(t *testing.T) {
	for operation, part := range map[string]string{
		"GetMetricStatistics": "lag: access denied",
		"FilterLogEvents":     "webhooks: access denied",
		"DescribeAlarms":      "alarms: access denied",
	} {
		s := newStack(t)
		s.alarm(cwtypes.StateValueOk)
		fail(operation)(s)
		r := s.status()
		assert.Equal(t, []string{part}, r.NotKnown)
		assert.True(t, r.OK)
		assert.Equal(
			t,
			"OK: the table is equal to LaunchDarkly, and changes are published; not known: 1 of the parts below",
			r.Outcome,
		)
	}
	s := newStack(t)
	s.alarm(cwtypes.StateValueInsufficientData)
	assert.Equal(
		t,
		[]string{"alarms: CloudWatch has not evaluated 1 of 1 alarms (INSUFFICIENT_DATA)"},
		s.status().NotKnown,
	)
}

// In JSON, a list without elements is [] and not null, also if nothing can be read: a program that goes through it
// needs no special case.
func TestStatusAsJSONHasNoNullLists(t *testing.T) {
	s := newStack(t)
	reports := map[string]*operate.Report{"works": s.status()}
	s.Fail = func(string) error { return errors.New("access denied") }
	s.Keys = "{"
	reports["fails"] = s.status()
	for name, r := range reports {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(r)
			require.NoError(t, err)
			assert.Contains(t, string(text), `"consumers":{`)
			nullable := map[string]bool{"seconds": true, "accepted": true, "refused": true, "synced": true}
			for _, match := range regexp.MustCompile(`"(\w+)":null`).FindAllStringSubmatch(string(text), -1) {
				assert.Contains(t, nullable, match[1])
			}
			assert.Equal(t, 1, strings.Count(string(text), `"unknown_environments":[]`))
			assert.Contains(t, string(text), `"names":[],"firing":[]`)
			assert.Contains(t, string(text), `"list":[]`)
			assert.Contains(t, string(text), `"latest":[`)
		})
	}
}

// A report is read while the environment's rows are there or not: nothing is written.
func TestStatusWritesNothing(t *testing.T) {
	s := newStack(t)
	s.ld.Flip("flag-0")
	s.StopPublishing()
	before := writes(s)
	s.status()
	assert.Equal(t, before, writes(s))
}

func writes(s *stack) (n int) {
	for _, operation := range []string{
		"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems",
		"CreateQueue", "Subscribe", "Publish", "SendMessage",
	} {
		n += s.Cloud.Calls(operation)
	}
	return n
}
