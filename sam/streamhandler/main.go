// Streamhandler is the Lambda function on the flag table's stream: it publishes the changes to the topic.
//
//	TOPIC_ARN         the topic; required
//	MAX_MESSAGE_SIZE  the topic's MaximumMessageSize in bytes; default 262144
//	JOURNAL_COPIES    the number of copies of the journal, 0 to 100; default 0, which removes the journal
//	TABLE_NAME        the flag table, which contains the journal; required
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
		slog.Error("streamhandler cannot start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler) // the handler decodes the event itself
}

func build(ctx context.Context) (*streamhandler.Handler, error) {
	vars := env.Read(os.LookupEnv)
	topic := vars.Required("TOPIC_ARN", "the topic that changes are published to")
	maxSize := vars.Int("MAX_MESSAGE_SIZE", 256<<10)
	copies := vars.IntUpTo("JOURNAL_COPIES", journal.MaxCopies)
	table := vars.Required("TABLE_NAME", "the flag table, which contains the journal")
	if err := vars.Err(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	writer := &journal.Writer{Client: dynamodb.NewFromConfig(cfg), Table: table, Region: cfg.Region, Copies: copies}

	return streamhandler.New(sns.NewFromConfig(cfg), streamhandler.TopicARN(topic),
		streamhandler.MaxMessageSize(maxSize), streamhandler.OnPublished(writer.AppendOrRemove(copies > 0))), nil
}
