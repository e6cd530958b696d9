package cachedstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/subscriber"
)

// In a Lambda function, warm containers serve flags from memory and read the table when the TTL has passed.
func Example_lambda() {
	store := cachedstore.New(dynamostore.DataStore("flags").Prefix("production"), cachedstore.TTL(30*time.Second))
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore:  store,
		DataSource: ldcomponents.ExternalUpdatesOnly(), // daemon mode: flags come from the table only
		Events:     ldcomponents.NoEvents(),
	}, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(func(_ context.Context, user string) (bool, error) {
		store.Wake() // the container may have been frozen until now
		return client.BoolVariation("new-checkout", ldcontext.New(user), false)
	})
}

// In a service, entries live for an hour, and a changed flag is fresh as soon as its message arrives.
func Example_service() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	store := cachedstore.New(dynamostore.DataStore("flags").Prefix("production"), cachedstore.TTL(time.Hour))
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore:  store,
		DataSource: ldcomponents.ExternalUpdatesOnly(),
		Events:     ldcomponents.NoEvents(),
	}, 5*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	topic := "arn:aws:sns:eu-central-1:123456789012:flag-changes"
	go func() {
		for range time.Tick(time.Minute) {
			enabled, _ := client.BoolVariation("new-checkout", ldcontext.New("user"), false)
			fmt.Println(enabled)
		}
	}()
	// Run creates a queue for this process and removes it before it returns, so main must wait for Run.
	if err := subscriber.Queue(topic, store, subscriber.Prefix("production")).Run(ctx); err != nil {
		log.Print(err)
	}
}

// In daemon mode a client is initialized even if the table is empty. Ready checks the table.
func ExampleStore_Ready() {
	store := cachedstore.New(dynamostore.DataStore("flags"))
	// ... ld.MakeCustomClient("", ld.Config{DataStore: store, ...}, timeout) ...
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := store.Ready(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: cachedstore: no client has been built with this store: call Ready after ld.MakeCustomClient
}
