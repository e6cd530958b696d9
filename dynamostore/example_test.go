package dynamostore_test

import (
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/dynamostore"
)

// A LaunchDarkly client that reads its flags from the table and never calls LaunchDarkly.
func ExampleDataStore() {
	config := ld.Config{
		DataSource: ldcomponents.ExternalUpdatesOnly(),
		DataStore:  ldcomponents.PersistentDataStore(dynamostore.DataStore("flags").Prefix("production")),
	}
	_ = config
}
