package main

import (
	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/local/demo"
)

// runDemo runs the demo: in this process, or against a stack.
func runDemo(cmd *cobra.Command, target *targetFlags, c demo.Config) (*demo.Report, error) {
	if target.stack == "" {
		return demo.Run(cmd.Context(), c)
	}
	defaults := demo.DeployedDefaults()
	defaults.Seed, defaults.Sabotage, defaults.Progress = c.Seed, c.Sabotage, c.Progress
	for name, value := range map[string]struct{ from, to *int }{
		"changes": {&c.Changes, &defaults.Changes}, "consumers": {&c.Consumers, &defaults.Consumers}, "flags": {&c.Flags, &defaults.Flags},
	} {
		if cmd.Flags().Changed(name) {
			*value.to = *value.from
		}
	}
	cfg, err := loadAWS(cmd.Context(), target.region)
	if err != nil {
		return nil, err
	}
	return demo.RunDeployed(cmd.Context(), defaults, target.stack, cfg)
}
