// Command launchdarkly starts as LaunchDarkly documents it: LaunchDarkly's caching wrapper over its DynamoDB store,
// both with their default configuration (https://launchdarkly.com/docs/sdk/features/storing-data/dynamodb).
package main

import (
	lddynamodb "github.com/launchdarkly/go-server-sdk-dynamodb/v4"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"

	"github.com/warmflags/warmflags/benchmarks/coldstart/start"
)

func main() {
	start.Run(func() (*ld.LDClient, error) {
		store := ldcomponents.PersistentDataStore(lddynamodb.DataStore(start.Table).Prefix(start.Prefix))
		return ld.MakeCustomClient("sdk-key", start.Config(store), 0)
	})
}
