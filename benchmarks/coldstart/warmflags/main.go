// Command warmflags starts with warmflags.Open.
package main

import (
	"context"

	ld "github.com/launchdarkly/go-server-sdk/v7"

	"github.com/warmflags/warmflags"
	"github.com/warmflags/warmflags/benchmarks/coldstart/start"
)

func main() {
	start.Run(func() (*ld.LDClient, error) {
		config := start.Config(nil)
		config.DataSource = nil
		flags, err := warmflags.Open(context.Background(), warmflags.Table(start.Table), warmflags.Prefix(start.Prefix),
			warmflags.LaunchDarkly(config))
		if err != nil {
			return nil, err
		}
		return flags.Client, nil
	})
}
