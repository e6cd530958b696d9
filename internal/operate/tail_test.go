package operate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/proof/deployment"
	"github.com/warmflags/warmflags/internal/table"
)

// tailed is a running Tail, in a bubble. Its fields may be read after synctest.Wait.
type tailed struct {
	seen      []string // events and changes, in their order
	passing   []operate.Passing
	interrupt context.CancelFunc
	ended     chan error
}

func tail(t *testing.T, d *deployment.Deployment, prefix *string) *tailed {
	ctx, interrupt := context.WithCancel(t.Context())
	r := &tailed{interrupt: interrupt, ended: make(chan error, 1)}
	go func() {
		r.ended <- operate.Tail(ctx, d.Account, d.Stack.TopicARN, operate.TailOptions{
			Prefix:    prefix,
			Connected: func(again bool) { r.seen = append(r.seen, fmt.Sprintf("connected, again %v", again)) },
			Changed: func(p operate.Passing) {
				r.seen = append(r.seen, p.Prefix+" "+p.Key)
				r.passing = append(r.passing, p)
			},
			Warned: func(string) { r.seen = append(r.seen, "warned") },
		})
	}()
	synctest.Wait()
	return r
}

// end interrupts it, and requires that nothing is left.
func (r *tailed) end(t *testing.T, d *deployment.Deployment) {
	r.interrupt()
	require.NoError(t, <-r.ended)
	assert.Empty(t, left(t, d)[rows(t, d):])
}

func rows(t *testing.T, d *deployment.Deployment) int {
	out, err := d.Cloud.DynamoDB.Scan(context.Background(), &dynamodb.ScanInput{TableName: aws.String("flags")})
	require.NoError(t, err)
	return len(out.Items)
}

func put(t *testing.T, d *deployment.Deployment, namespace, key string) {
	row := table.Key(namespace, key)
	row["version"], row["item"] = table.Number(7), table.Text(`{"key":"`+key+`","version":7}`)
	_, err := d.Cloud.DynamoDB.PutItem(
		context.Background(),
		&dynamodb.PutItemInput{TableName: aws.String("flags"), Item: row},
	)
	require.NoError(t, err)
	time.Sleep(time.Second) // in the bubble: until it has passed
	synctest.Wait()
}

func TestTailShowsChangesOfAllEnvironments(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		r := tail(t, d, nil)
		put(t, d, "features", "a")
		put(t, d, "production:segments", "b")
		assert.Equal(t, []string{"connected, again false", " a", "production b"}, r.seen)
		assert.Equal(t, "segments", r.passing[1].Kind)
		assert.Equal(t, 7, r.passing[1].Version)
		assert.NotNil(t, r.passing[1].SinceWrite)
		_, err := d.Cloud.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: &d.Stack.TopicARN, Message: aws.String(
			`{"type":"warmflags.changed.v1","id":"1","data":{"prefix":"production","changes":[]}}`)})
		require.NoError(t, err)
		synctest.Wait()
		assert.True(t, r.passing[2].Everything)
		r.end(t, d)
	})
}

func TestTailOfOneEnvironment(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		r := tail(t, d, aws.String(""))
		put(t, d, "production:features", "b")
		put(t, d, "features", "a")
		assert.Equal(t, []string{"connected, again false", " a"}, r.seen)
		r.end(t, d)
	})
}

// A queue that another process removed is re-created; the one InvalidateAll for a new queue's policy is no event.
func TestTailSaysWhenItMayHaveMissedChanges(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		r := tail(t, d, nil)
		time.Sleep(2 * time.Minute)
		queue := left(t, d)[rows(t, d)]
		_, err := d.Cloud.SQS.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &queue})
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		put(t, d, "features", "a")
		assert.Equal(t, []string{"connected, again false", "warned", "connected, again true", " a"}, r.seen)
		r.end(t, d)
	})
}

func TestTailThatCannotSubscribeEnds(t *testing.T) {
	probed(t, func(t *testing.T, d *deployment.Deployment) {
		d.Cloud.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "Subscribe" {
				return errors.New("access denied")
			}
			return nil
		})
		r := tail(t, d, nil)
		require.ErrorContains(t, <-r.ended, "access denied")
		r.interrupt()
		assert.Empty(t, r.seen)
		assert.Empty(t, left(t, d))
	})
}
