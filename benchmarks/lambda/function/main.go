// Command function is a Lambda function in daemon mode that evaluates ten flags and answers with the value of the
// first.
//
//	TABLE_NAME   the flag table
//	INTERVAL     of the journal's polls; without it there are none, and only the TTL keeps flags fresh
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/benchmarks"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/journal"
)

const ttl = time.Hour

func main() {
	client, wrap, err := start(os.Getenv("INTERVAL"))
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

// start returns a client, and what wraps the function's handler.
func start(interval string) (client *ld.LDClient, wrap func(any) lambda.Handler, err error) {
	config := ld.Config{Events: ldcomponents.NoEvents(), Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true}
	if interval == "" {
		config.DataStore = cachedstore.New(dynamostore.DataStore(os.Getenv("TABLE_NAME")), cachedstore.TTL(ttl))
		config.DataSource = ldcomponents.ExternalUpdatesOnly()
		client, err = ld.MakeCustomClient("sdk-key", config, 0)
		return client, lambda.NewHandler, err
	}
	d, err := time.ParseDuration(interval)
	if err != nil {
		return nil, nil, err
	}
	flags, err := warmflags.Open(context.Background(), warmflags.LaunchDarkly(config),
		warmflags.Cache(cachedstore.TTL(ttl)), warmflags.Journal(journal.Interval(d)))
	if err != nil {
		return nil, nil, err
	}
	return flags.Client, flags.Handler, nil
}
