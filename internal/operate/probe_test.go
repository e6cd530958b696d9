package operate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/proof/deployment"
)

// probed is a stack without LaunchDarkly, in a bubble.
func probed(t *testing.T, test func(t *testing.T, d *deployment.Deployment)) {
	synctest.Test(t, func(t *testing.T) {
		d := deployment.Start()
		defer d.Close()
		test(t, d)
	})
}

// left are the rows, queues of consumers and subscriptions that exist.
func left(t *testing.T, d *deployment.Deployment) (left []string) {
	ctx := context.Background()
	rows, err := d.Cloud.DynamoDB.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("flags")})
	require.NoError(t, err)
	for _, row := range rows.Items {
		left = append(left, row["namespace"].(*types.AttributeValueMemberS).Value)
	}
	queues, err := d.Cloud.SQS.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("warmflags_")})
	require.NoError(t, err)
	left = append(left, queues.QueueUrls...)
	subscriptions, err := d.Cloud.SNS.ListSubscriptionsByTopic(
		ctx,
		&sns.ListSubscriptionsByTopicInput{TopicArn: &d.Stack.TopicARN},
	)
	require.NoError(t, err)
	for _, s := range subscriptions.Subscriptions {
		left = append(left, *s.SubscriptionArn)
	}
	return left
}

func hops(r *operate.ProbeReport) (names []string) {
	for _, h := range r.Hops {
		names = append(names, h.Name)
	}
	return names
}

var allHops = []string{
	"write to the table",
	"stream to streamhandler, by its clock",
	"on the topic, since the write",
	"in the journal, since the write",
}

func TestProbeFollowsAnItemAndRemovesIt(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		r, err := operate.Probe(t.Context(), d.Account, &d.Stack, 1)
		require.NoError(t, err)
		assert.Equal(t, allHops, hops(r))
		assert.Equal(t, 1, r.Writes)
		assert.True(t, r.Removed)
		assert.Empty(t, r.Left)
		<-time.After(time.Second) // of the bubble's time, in which streamhandler handles the removal
		assert.Empty(t, left(t, d))
	})
}

func TestProbeOfAStackWithoutAJournal(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		r, err := operate.Probe(t.Context(), d.Account, &d.Stack, 0)
		require.NoError(t, err)
		assert.Equal(t, allHops[:3], hops(r))
	})
}

// What SNS sends before a new queue's policy applies is lost, so the item is written again.
func TestProbeWritesAgain(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		d.StopPublishing()
		time.AfterFunc(12*time.Second, d.Publish)
		r, err := operate.Probe(t.Context(), d.Account, &d.Stack, 1)
		require.NoError(t, err)
		assert.Equal(t, 3, r.Writes, "at 0, 5 and 10 seconds")
		assert.Equal(t, allHops, hops(r))
		<-time.After(time.Second)
		assert.Empty(t, left(t, d))
	})
}

func TestProbeFindsAStreamThatIsStopped(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		d.StopPublishing()
		began := time.Now()
		r, err := operate.Probe(t.Context(), d.Account, &d.Stack, 1)
		require.ErrorIs(t, err, operate.ErrNotSeen)
		assert.Contains(t, r.Problem, "was not announced on the topic in 2m0s")
		assert.Equal(t, allHops[:1], hops(r))
		assert.True(t, r.Removed)
		assert.Contains(t, r.Left, `a journal of prefix "warmflags-probe"`)
		assert.Less(t, time.Since(began), 3*time.Minute)
		assert.Empty(t, left(t, d), "the item, the queue")
	})
}

// Ctrl-C at any step: nothing is left.
func TestProbeThatIsInterruptedRemovesWhatItMade(t *testing.T) {
	for _, operation := range []string{"CreateQueue", "Subscribe", "PutItem", "ReceiveMessage", "Publish"} {
		t.Run(operation, func(t *testing.T) {
			probed(t, func(t *testing.T, d *deployment.Deployment) {
				ctx, interrupt := context.WithCancel(t.Context())
				defer interrupt()
				d.Cloud.Intercept(func(_ context.Context, called string, _ any) error {
					if called == operation {
						interrupt()
					}
					return nil
				})
				_, err := operate.Probe(ctx, d.Account, &d.Stack, 1)
				require.ErrorIs(t, err, context.Canceled)
				d.Cloud.Intercept(nil)
				synctest.Wait()
				assert.Empty(t, left(t, d))
			})
		})
	}
}

func TestProbeThatCannotSubscribeEndsAtOnce(t *testing.T) {
	for _, operation := range []string{"CreateQueue", "Subscribe", "PutItem"} {
		t.Run(operation, func(t *testing.T) {
			probed(t, func(t *testing.T, d *deployment.Deployment) {
				d.Cloud.Intercept(func(_ context.Context, called string, _ any) error {
					if called == operation {
						return errors.New("access denied")
					}
					return nil
				})
				began := time.Now()
				r, err := operate.Probe(t.Context(), d.Account, &d.Stack, 1)
				require.ErrorContains(t, err, "access denied")
				assert.NotNil(t, r.Hops, "an empty list in JSON, not null")
				assert.Less(t, time.Since(began), time.Minute)
				assert.Empty(t, left(t, d))
			})
		})
	}
}

// What cannot be removed is an error that names it.
func TestProbeNamesWhatIsLeft(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		d.Cloud.Intercept(func(_ context.Context, called string, _ any) error {
			if called == "DeleteItem" {
				return errors.New("access denied")
			}
			return nil
		})
		r, err := operate.Probe(t.Context(), d.Account, &d.Stack, 1)
		require.ErrorContains(t, err, `remove item "probe-`)
		assert.False(t, r.Removed)
		assert.Equal(t, allHops, hops(r))
		synctest.Wait()
		assert.Contains(t, strings.Join(left(t, d), " "), "warmflags-probe:features")
	})
}
