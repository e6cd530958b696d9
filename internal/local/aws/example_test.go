package aws_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// A write to a table reaches a Lambda handler through the table's stream.
func Example() {
	cloud := localaws.New()
	defer cloud.Close()
	stream := cloud.CreateFlagTable("flags")

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	_, err := cloud.DynamoDB.PutItem(ctx,
		&dynamodb.PutItemInput{TableName: aws.String("flags"), Item: map[string]types.AttributeValue{
			"namespace": &types.AttributeValueMemberS{Value: "features"},
			"key":       &types.AttributeValueMemberS{Value: "dark-mode"},
		}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mapping := localaws.StreamMapping{
		Streams: cloud.Streams, StreamARN: stream,
		Handler: func(_ context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			for _, r := range e.Records {
				fmt.Println(r.EventName, r.Change.Keys["key"].String())
			}
			stop()
			return events.DynamoDBEventResponse{}, nil
		},
	}
	fmt.Println(mapping.Run(ctx))
	// Output:
	// INSERT dark-mode
	// <nil>
}

// TestWholePath does what the demo needs: every change of a table reaches every queue, through a stream and a topic.
func TestWholePath(t *testing.T) {
	const changes, queues = 1000, 20
	c := localaws.New()
	defer c.Close()
	stream := c.CreateFlagTable("flags")
	topic := newTopic(t, c)
	ctx, stop := context.WithCancel(t.Context())
	arrived := make(chan int, queues)
	var consumers sync.WaitGroup
	for i := range queues {
		q := subscribe(t, c, topic, fmt.Sprintf("q%d", i))
		m := localaws.QueueMapping{SQS: c.SQS, QueueURL: *q.url, Handler: countTo(changes, arrived)}
		consumers.Go(func() { assert.NoError(t, m.Run(ctx)) })
	}
	ended := make(chan error)
	m := localaws.StreamMapping{Streams: c.Streams, StreamARN: stream, Poll: time.Millisecond,
		Handler: func(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			for _, r := range e.Records {
				message := aws.String(r.Change.Keys["key"].String())
				if _, err := c.SNS.Publish(ctx, &sns.PublishInput{TopicArn: topic, Message: message}); err != nil {
					return events.DynamoDBEventResponse{}, err
				}
			}
			return events.DynamoDBEventResponse{}, nil
		}}
	go func() { ended <- m.Run(ctx) }()
	for i := range changes {
		put(t, c.DynamoDB, flag(fmt.Sprint(i), i))
	}
	for range queues {
		require.Equal(t, changes, <-arrived)
	}
	stop()
	require.NoError(t, <-ended)
	consumers.Wait()
}

// countTo returns a handler that counts distinct messages, and sends the count when it reaches the number.
func countTo(want int, arrived chan<- int) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	seen := map[string]bool{}
	return func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		for _, r := range e.Records {
			seen[r.Body] = true
		}
		if len(seen) == want {
			arrived <- want
		}
		return events.SQSEventResponse{}, nil
	}
}
