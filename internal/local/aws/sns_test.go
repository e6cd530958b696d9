package aws_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

func newTopic(t *testing.T, c *localaws.Cloud) *string {
	t.Helper()
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	out, err := c.SNS.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("changes")})
	require.NoError(t, err)
	return out.TopicArn
}

// subscribe makes a queue and subscribes it.
func subscribe(t *testing.T, c *localaws.Cloud, topic *string, name string) bench {
	t.Helper()
	q := newQueue(t, c, name, nil)
	_, err := c.SNS.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(q.attributes()["QueueArn"]),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	require.NoError(t, err)
	return q
}

func publish(t *testing.T, c *localaws.Cloud, topic *string, text string) {
	t.Helper()
	_, err := c.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: topic, Message: aws.String(text)})
	require.NoError(t, err)
}

func TestCloseEndsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		topic := newTopic(t, c)
		q := subscribe(t, c, topic, "q")
		c.Intercept(func(_ context.Context, operation string, _ any) error {
			if operation == "Deliver" {
				return errors.New("broken")
			}
			return nil
		})
		publish(t, c, topic, "x")
		pass(time.Hour)
		assert.Greater(t, c.Calls("Deliver"), 100)
		c.Close() // a goroutine that remains would deadlock the bubble
		c.Close()
		require.Empty(t, q.receive(0))
	})
}

func TestDeliveryFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := localaws.New()
		defer c.Close()
		topic := newTopic(t, c)
		q := subscribe(t, c, topic, "q")
		c.Intercept(func(_ context.Context, _ string, input any) error {
			if d, ok := input.(*localaws.Delivery); ok && d.Body == "late" && d.Attempt < 3 {
				return errors.New("broken")
			} else if ok && d.Body == "lost" {
				return localaws.ErrLost
			}
			return nil
		})
		publish(t, c, topic, "late")
		publish(t, c, topic, "lost")
		publish(t, c, topic, "soon")
		require.Equal(t, []string{"soon"}, bodies(q.receive(0)))
		pass(3 * time.Second)
		require.Equal(t, []string{"late"}, bodies(q.receive(0)))
		require.Empty(t, q.receive(20))
	})
}
