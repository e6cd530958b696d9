// Flagsync is the Lambda function on the queue of requests. It makes the table equal to LaunchDarkly.
//
//	TABLE_NAME          the flag table; required
//	SDK_KEY_PARAMETER   the SSM parameter with the SDK key, or with a JSON object of prefix to SDK key; required
//	QUEUE_URL           the FIFO queue of requests; required
//	STREAM_URI          the URL of LaunchDarkly's stream, such as https://stream.eu.launchdarkly.com, or of a Relay
//	                    Proxy; default https://stream.launchdarkly.com
//	PAYLOAD_FILTER      the key of a LaunchDarkly payload filter; default: all flags
//	MAX_REMOVALS        the share of a kind's items, from 0 to 1, that one payload may remove if it removes more than
//	                    10; default, and 0: a third
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/sam/internal/env"
)

func main() {
	slog.SetDefault(lambdacontext.NewLogger())
	handler, err := build(context.Background())
	if err != nil {
		slog.Error("flagsync cannot start", "error", err)
		os.Exit(1)
	}
	lambda.Start(handler.Handle)
}

func build(ctx context.Context) (*flagsync.Handler, error) {
	vars := env.Read(os.LookupEnv)
	table := vars.Required("TABLE_NAME", "the flag table")
	parameter := vars.Required("SDK_KEY_PARAMETER", "the SSM parameter with the SDK key")
	queue := vars.Required("QUEUE_URL", "the FIFO queue of requests")
	removals := vars.Number("MAX_REMOVALS")
	if err := vars.Err(); err != nil {
		return nil, err
	}
	if size := lambdacontext.MemoryLimitInMB; size > 0 { // near the limit, collect garbage sooner: payloads are large
		debug.SetMemoryLimit(int64(size) << 20 / 4 * 3)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	options := []flagsync.Option{
		flagsync.MaxRemovals(removals), flagsync.Queue(sqs.NewFromConfig(cfg), queue),
		flagsync.StreamURI(os.Getenv("STREAM_URI")), flagsync.PayloadFilter(os.Getenv("PAYLOAD_FILTER")),
	}
	keys := flagsync.ParameterKeys(ssm.NewFromConfig(cfg), parameter)
	return flagsync.NewHandler(dynamodb.NewFromConfig(cfg), table, keys, options...), nil
}
