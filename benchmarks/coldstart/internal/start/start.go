// Package start is a Lambda-like program up to its first evaluated flag, for any way to cache. What it imports is what
// every such program needs.
package start

import (
	"fmt"
	"os"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
)

// Key is the flag that is asked for.
const Key = "checkout-feature-000"

// Run does what the first argument says: get (the store alone, one Get), preload (the store alone, everything, then
// one Get) or client (a client in daemon mode without events, then one BoolVariation). It prints ok, and stays until
// its input ends.
func Run(store, preloading subsystems.ComponentConfigurer[subsystems.DataStore]) {
	var err error
	switch mode := os.Args[1]; mode {
	case "get":
		err = get(store)
	case "preload":
		err = get(preloading)
	case "client":
		err = evaluate(store)
	default:
		err = fmt.Errorf("unknown mode %q: get, preload or client", mode)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func get(configurer subsystems.ComponentConfigurer[subsystems.DataStore]) error {
	store, err := configurer.Build(subsystems.BasicClientContext{
		DataStoreUpdateSink: deaf{},
		Logging:             subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()},
	})
	if err != nil {
		return err
	}
	item, err := store.Get(ldstoreimpl.Features(), Key)
	if err == nil && item.Version < 1 {
		err = fmt.Errorf("got version %d", item.Version)
	}
	return err
}

type deaf struct{}

func (deaf) UpdateStatus(interfaces.DataStoreStatus) {}

func evaluate(store subsystems.ComponentConfigurer[subsystems.DataStore]) error {
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true,
	}, 0)
	if err != nil {
		return err
	}
	on, err := client.BoolVariation(Key, ldcontext.New("user"), false)
	if err == nil && !on {
		err = fmt.Errorf("flag is off")
	}
	return err
}
