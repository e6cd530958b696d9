// Command function is a Lambda function in daemon mode that evaluates ten flags; the first of them is what it answers.
//
//	TABLE      the flag table
//	INTERVAL   the journal's; without it, nobody looks at the journal
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/benchmarks"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/journal"
)

func main() {
	ctx, table := context.Background(), os.Getenv("TABLE")
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	db := dynamodb.NewFromConfig(cfg)
	store := cachedstore.New(dynamostore.DataStore(table).Client(db), cachedstore.TTL(time.Hour))
	wrap := func(handler func(context.Context) (int, error)) lambda.Handler { return lambda.NewHandler(handler) }
	if text := os.Getenv("INTERVAL"); text != "" {
		interval, err := time.ParseDuration(text)
		if err != nil {
			log.Fatal(err)
		}
		follower := journal.Follow(table, store, journal.Client(db), journal.Interval(interval))
		go func() { _ = follower.Refresh(ctx) }()
		wrap = func(handler func(context.Context) (int, error)) lambda.Handler {
			return follower.Handler(lambda.NewHandler(handler))
		}
	}
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true,
	}, 0)
	if err != nil {
		log.Fatal(err)
	}
	user := ldcontext.New("user")
	lambda.Start(wrap(func(context.Context) (version int, err error) {
		for i := range 10 {
			value, err := client.IntVariation(benchmarks.FlagKey(i), user, -1)
			if err != nil {
				return 0, fmt.Errorf("evaluate %q: %w", benchmarks.FlagKey(i), err)
			}
			if i == 0 {
				version = value
			}
		}
		return version, nil
	}))
}
