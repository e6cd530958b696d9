// Streamhandler is the Lambda function on the flag table's stream: it publishes what changed to the topic.
//
//	TOPIC_ARN         the topic; required
//	MAX_MESSAGE_SIZE  the topic's MaximumMessageSize in bytes; default 262144
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/sam/internal/env"
	"github.com/warmflags/warmflags/streamhandler"
)

func main() {
	slog.SetDefault(lambdacontext.NewLogger())
	handler, err := build(context.Background())
	if err != nil {
		slog.Error("streamhandler cannot start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler) // a lambda.Handler, which decodes the event by itself
}

func build(ctx context.Context) (*streamhandler.Handler, error) {
	vars := env.Read(os.LookupEnv)
	topic := vars.Required("TOPIC_ARN", "the topic that changes are published to")
	maxSize := vars.Int("MAX_MESSAGE_SIZE", 256<<10)
	if err := vars.Err(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return streamhandler.New(sns.NewFromConfig(cfg),
		streamhandler.TopicARN(topic), streamhandler.MaxMessageSize(maxSize)), nil
}
