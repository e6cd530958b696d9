// Lambda is a function whose flags are in memory when it wakes up, and fresh. It needs dynamodb:GetItem and
// dynamodb:Query on the flag table, no VPC, and no call to LaunchDarkly but for events.
//
//	TABLE          the flag table
//	PREFIX         the LaunchDarkly environment in it; may be empty
//	LD_SDK_KEY     for events; without it none are sent
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/journal"
)

func main() {
	ctx, table, prefix := context.Background(), os.Getenv("TABLE"), os.Getenv("PREFIX")
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	db := dynamodb.NewFromConfig(cfg) // one for both: a second one costs cold start
	store := cachedstore.New(dynamostore.DataStore(table).Prefix(prefix).Client(db))
	follower := journal.Follow(table, store, journal.Prefix(prefix), journal.Client(db))
	go func() { _ = follower.Refresh(ctx) }() // while the client starts; it logs what goes wrong

	// Daemon mode, and no diagnostic event to LaunchDarkly at each cold start.
	flags := ld.Config{DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), DiagnosticOptOut: true}
	if os.Getenv("LD_SDK_KEY") == "" {
		flags.Events = ldcomponents.NoEvents()
	}
	client, err := ld.MakeCustomClient(os.Getenv("LD_SDK_KEY"), flags, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	if err := follower.FlushEvents(ctx, client); err != nil { // after each answer
		log.Fatal(err)
	}
	lambda.Start(journal.Wrap(follower, func(_ context.Context, user string) (string, error) {
		// An error, as of a flag that is not there yet, comes with the default.
		if on, _ := client.BoolVariation("new-checkout", ldcontext.New(user), false); on {
			return "the new checkout", nil
		}
		return "the checkout that you know", nil
	}))
}
