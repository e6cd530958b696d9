package dynamostore_test

import (
	"context"
	"fmt"
	"log"

	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// A LaunchDarkly client that reads its flags from the table and never calls LaunchDarkly.
func ExampleDataStore() {
	config := ld.Config{
		DataSource: ldcomponents.ExternalUpdatesOnly(),
		DataStore:  ldcomponents.PersistentDataStore(dynamostore.DataStore("flags").Prefix("production")),
	}
	_ = config
}

// A program that makes a table equal to new data, ordered against all others that do.
func ExampleStore_Write() {
	cloud := localaws.New() // in a program: leave Client out, and the environment's AWS configuration counts
	cloud.CreateFlagTable("flags")
	ctx := context.Background()
	store, err := dynamostore.DataStore("flags").Client(cloud.DynamoDB).Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fence, err := store.TakeFence(ctx)
	if err != nil {
		log.Fatal(err)
	}
	all := data("checkout:3", "search:1") // fetched after the fence was taken
	difference, err := store.Compare(ctx, all)
	if err != nil {
		log.Fatal(err)
	}
	written, err := store.Write(ctx, difference, dynamostore.WriteOptions{Fence: fence})
	fmt.Println(len(difference.Added), "items added in", written.Transactions, "transaction", err)
	// Output: 3 items added in 1 transaction <nil>
}
