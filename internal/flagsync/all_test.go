package flagsync_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/request"
	"github.com/warmflags/warmflags/internal/table"
)

// manyKeys returns the SDK keys of n environments: sdk-0 for the prefix env-0, and so on.
func manyKeys(n int) flagsync.Keys {
	keys := map[string]string{}
	for i := range n {
		keys[fmt.Sprintf("env-%d", i)] = fmt.Sprintf("sdk-%d", i)
	}
	return flagsync.StaticKeys(keys)
}

func TestARequestForAllIsOneForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) { s.payload("a:1") })
		h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, manyKeys(23), q.options(q.withQueue())...)
		for range 2 { // Lambda may deliver a request twice
			line := q.requireDone(t, h, one("11111111-2222-3333-4444-555555555555", forAll))
			assert.EqualValues(t, 23, line["requests_sent"])
		}
		assert.Equal(t, 2*3, q.cloud.Calls("SendMessageBatch"), "ten requests per call")
		assert.Zero(t, q.stream.connections(), "the request for all syncs nothing itself")
		assert.Equal(t, 23, q.waiting(t), "a request that is sent again is dropped")

		groups := map[string]bool{}
		for range 3 {
			out, err := q.cloud.SQS.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
				QueueUrl: &q.url, MaxNumberOfMessages: 10,
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
			})
			require.NoError(t, err)
			for _, m := range out.Messages {
				r, err := request.Parse(*m.Body)
				require.NoError(t, err)
				assert.Equal(t, "webhook", r.Reason)
				want, err := r.Message()
				require.NoError(t, err)
				assert.Equal(t, want.Group, m.Attributes["MessageGroupId"])
				groups[want.Group] = true
			}
		}
		assert.Len(t, groups, 23)
	})
}

// unreliable is an SQS client whose first SendMessageBatch fails for the last message.
type unreliable struct {
	flagsync.QueueClient
	refused int
}

func (u *unreliable) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput,
	_ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if u.refused > 0 {
		return u.QueueClient.SendMessageBatch(ctx, in)
	}
	u.refused++
	in.Entries = in.Entries[:len(in.Entries)-1]
	out, err := u.QueueClient.SendMessageBatch(ctx, in)
	out.Failed = append(out.Failed, types.BatchResultErrorEntry{Message: aws.String("internal error")})
	return out, err
}

// A message that SQS did not accept is sent when the request is redelivered; the others are dropped as duplicates.
func TestARequestThatIsNotSentIsSentLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) { s.payload("a:1") })
		h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, manyKeys(3),
			q.options(flagsync.Queue(&unreliable{QueueClient: q.cloud.SQS}, q.url))...)
		response, err := h.Handle(t.Context(), one("m1", forAll))
		require.NoError(t, err)
		require.Len(t, response.BatchItemFailures, 1)
		assert.Contains(t, q.lineOf(t, one("m1", forAll))["error"], "1 of 3 failed: internal error")
		assert.Equal(t, 2, q.waiting(t))
		q.requireDone(t, h, one("m1", forAll))
		assert.Equal(t, 3, q.waiting(t))
	})
}

func TestARequestForSeveralEnvironmentsNeedsTheQueue(t *testing.T) {
	b := newBench(t)
	h := flagsync.NewHandler(b.cloud.DynamoDB, tableName, manyKeys(2), b.options()...)
	response, err := h.Handle(t.Context(), one("m1", forAll))
	require.NoError(t, err)
	assert.Len(t, response.BatchItemFailures, 1)
	assert.Contains(t, b.lineOf(t, one("m1", forAll))["error"], "option Queue is missing")
}

// One late environment among fifty is enough for the alarm FlagsNotSynced.
func TestOldestSyncAgeIsOfTheOldestEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) {
			switch s.key {
			case "sdk-7": // silent
			case "sdk-8":
				s.refuse()
			default:
				s.payload("a:1")
			}
		})
		h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, manyKeys(50), q.options(q.withQueue())...)
		age := func() any { return q.requireDone(t, h, one(time.Now().String(), forAll))["OldestSyncAge"] }
		assert.EqualValues(t, 0, age(), "after the first deployment no sync is late")
		assert.Equal(t, 50, q.cloud.Calls("UpdateItem"), "one write per environment: when it was first seen")
		q.run(t, manyKeys(50), 51, q.withQueue())
		for minutes := 5; minutes <= 30; minutes += 5 { // the schedule
			time.Sleep(5 * time.Minute)
			assert.EqualValues(t, minutes*60, age(), "an environment that was never synced")
		}
		assert.Empty(t, q.log.lines(t, "the age of some environments is unknown"))

		// An operator fixes it with another program that writes the table.
		token, err := q.environment("env-7").TakeToken(t.Context())
		require.NoError(t, err)
		require.NoError(t, q.environment("env-7").EndSync(t.Context(), token, time.Now(), false))
		time.Sleep(time.Minute)
		assert.Less(t, age(), 302.0,
			"the alarm clears by itself; an environment that is held has another alarm, and none for its age")
	})
}

// A row that cannot be read neither fails the request nor hides the other environments' ages.
func TestOldestSyncAgeWithoutSomeRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueueBench(t, func(_ int, s sink) { s.payload("a:1") })
		h := flagsync.NewHandler(q.cloud.DynamoDB, tableName, manyKeys(3), q.options(q.withQueue())...)
		q.requireDone(t, h, one("m1", forAll))
		q.cloud.Intercept(func(ctx context.Context, operation string, input any) error {
			in, ok := input.(*dynamodb.GetItemInput)
			switch {
			case !ok:
			case assert.ObjectsAreEqual(table.Key("env-1:$sync", "env-1:$sync"), in.Key):
				return errors.New("throttled")
			case assert.ObjectsAreEqual(table.Key("env-2:$sync", "env-2:$sync"), in.Key):
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		time.Sleep(time.Minute)
		began := time.Now()
		line := q.requireDone(t, h, one("m2", forAll))
		assert.InDelta(t, 60, line["OldestSyncAge"], 10)
		assert.Equal(t, 10*time.Second, time.Since(began))
		lines := q.log.lines(t, "the age of some environments is unknown")
		require.Len(t, lines, 1)
		assert.EqualValues(t, 2, lines[0]["environments"])

		q.cloud.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "GetItem" {
				return errors.New("access denied")
			}
			return nil
		})
		assert.NotContains(t, q.requireDone(t, h, one("m3", forAll)), "OldestSyncAge",
			"without any age there is no metric, and the alarm treats that as late")
	})
}

// CloudWatch reads exactly these metrics from a request's line and a sync's line.
func TestMetricsOfARequest(t *testing.T) {
	b := newBench(t)
	b.ld.set("sdk-1", "a:1")
	line := b.requireDone(t, b.handler(&parameter{value: aws.String("sdk-1")}), one("m1", forAll))
	names := func(line map[string]any) (all []string) {
		text, err := json.Marshal(line["_aws"])
		require.NoError(t, err)
		var declared struct {
			CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
		}
		require.NoError(t, json.Unmarshal(text, &declared))
		for _, m := range declared.CloudWatchMetrics[0].Metrics {
			all = append(all, m.Name)
		}
		return all
	}
	assert.Equal(t, []string{"RequestsHeld", "RequestsFailed", "RequestsUnreadable", "OldestSyncAge"}, names(line))
	assert.Equal(t, []string{"SyncDuration"}, names(b.log.lines(t, "flags synced")[0]))
}
