package main

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/local/demo"
)

// stackFlags are those of demo that have it measure a deployed stack.
type stackFlags struct{ stack, endpoint string }

func (f *stackFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.stack, "stack", "", "measure this deployed stack, from a write to its table on; with 100 flips, 5 clients and 20 flags of its own by default")
	cmd.Flags().StringVar(&f.endpoint, "endpoint", "", "with --stack: the URL of an emulator of AWS; default: AWS")
}

// run runs the demo: in this process, or against a stack.
func (f *stackFlags) run(cmd *cobra.Command, c demo.Config) (*demo.Report, error) {
	if f.stack == "" {
		if f.endpoint != "" {
			return nil, errors.New("--endpoint without --stack: the demo in this process calls nobody")
		}
		return demo.Run(cmd.Context(), c)
	}
	standard := demo.DeployedDefaults()
	standard.Seed, standard.Sabotage, standard.Progress = c.Seed, c.Sabotage, c.Progress
	for name, value := range map[string]struct{ from, to *int }{
		"changes": {&c.Changes, &standard.Changes}, "consumers": {&c.Consumers, &standard.Consumers}, "flags": {&c.Flags, &standard.Flags},
	} {
		if cmd.Flags().Changed(name) {
			*value.to = *value.from
		}
	}
	cfg, err := loadAWS(cmd.Context(), "")
	if err != nil {
		return nil, err
	}
	if f.endpoint != "" {
		cfg.BaseEndpoint = aws.String(f.endpoint)
	}
	return demo.RunDeployed(cmd.Context(), standard, f.stack, cfg)
}
