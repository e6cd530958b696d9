// Webhook is the Lambda function that receives LaunchDarkly's webhook. It puts a request to sync into the queue.
//
//	QUEUE_URL                 the FIFO queue of requests; required
//	WEBHOOK_SECRET_PARAMETER  the SSM parameter with the webhook's secrets, one per line; required
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/warmflags/warmflags/internal/webhook"
	"github.com/warmflags/warmflags/sam/internal/env"
)

func main() {
	slog.SetDefault(lambdacontext.NewLogger())
	handler, err := build(context.Background())
	if err != nil {
		slog.Error("webhook cannot start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler.Handle)
}

func build(ctx context.Context) (*webhook.Handler, error) {
	vars := env.Read(os.LookupEnv)
	queue := vars.Required("QUEUE_URL", "the FIFO queue of requests")
	secret := vars.Required("WEBHOOK_SECRET_PARAMETER", "the SSM parameter with the webhook's secret")
	if err := vars.Err(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return webhook.New(queue, webhook.Parameter(ssm.NewFromConfig(cfg), secret), sqs.NewFromConfig(cfg)), nil
}
