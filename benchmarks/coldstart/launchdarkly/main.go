// Command launchdarkly starts as a Lambda function with LaunchDarkly's own wrapper does, over the same table.
package main

import (
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"

	"github.com/warmflags/warmflags/benchmarks/coldstart/internal/start"
	"github.com/warmflags/warmflags/dynamostore"
)

func main() {
	wrapper := ldcomponents.PersistentDataStore(dynamostore.DataStore("flags"))
	start.Run(wrapper, preloading{wrapper})
}

// preloading reads all kinds at the start: what cachedstore's Preload does.
type preloading struct {
	*ldcomponents.PersistentDataStoreBuilder
}

func (p preloading) Build(context subsystems.ClientContext) (subsystems.DataStore, error) {
	store, err := p.PersistentDataStoreBuilder.Build(context)
	for _, kind := range ldstoreimpl.AllKinds() {
		if err == nil {
			_, err = store.GetAll(kind)
		}
	}
	return store, err
}
