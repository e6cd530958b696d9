// Command store starts with cachedstore over dynamostore, without the journal: like LaunchDarkly's cache, it relies on
// its TTL alone.
package main

import (
	ld "github.com/launchdarkly/go-server-sdk/v7"

	"github.com/warmflags/warmflags/benchmarks/coldstart/start"
	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/dynamostore"
)

func main() {
	start.Run(func() (*ld.LDClient, error) {
		store := cachedstore.New(dynamostore.DataStore(start.Table).Prefix(start.Prefix))
		return ld.MakeCustomClient("sdk-key", start.Config(store), 0)
	})
}
