// Streamfailure is the Lambda function on the queue of reports about stream records that expired unpublished. For each
// prefix in the table, it publishes that anything may have changed.
//
//	TABLE_NAME        the flag table; required
//	TOPIC_ARN         the topic; required
//	MAX_MESSAGE_SIZE  the topic's MaximumMessageSize in bytes; default 262144
//	JOURNAL_COPIES    as for streamhandler; each prefix's journal gets a new epoch
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/sam/internal/env"
	"github.com/warmflags/warmflags/streamhandler"
)

func main() {
	slog.SetDefault(lambdacontext.NewLogger())
	handler, err := build(context.Background())
	if err != nil {
		slog.Error("streamfailure cannot start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler.Handle)
}

func build(ctx context.Context) (*streamhandler.FailureHandler, error) {
	vars := env.Read(os.LookupEnv)
	table := vars.Required("TABLE_NAME", "the flag table")
	topic := vars.Required("TOPIC_ARN", "the topic that changes are published to")
	maxSize := vars.Int("MAX_MESSAGE_SIZE", 256<<10)
	copies := vars.IntUpTo("JOURNAL_COPIES", journal.MaxCopies)
	if err := vars.Err(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg)
	writer := &journal.Writer{Client: client, Table: table, Region: cfg.Region, Copies: copies}
	return streamhandler.NewFailureHandler(sns.NewFromConfig(cfg), table, client, streamhandler.TopicARN(topic),
		streamhandler.MaxMessageSize(maxSize), streamhandler.OnPublished(writer.AppendOrRemove(copies > 0))), nil
}
