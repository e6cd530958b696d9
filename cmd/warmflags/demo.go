package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/local/demo"
)

func demoCommand(target *targetFlags) *cobra.Command {
	config := demo.Defaults()
	var sabotage string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole path in this process, flip flags, and measure how soon all clients see them",
		Long: `Runs a fake LaunchDarkly, the webhook, the sync, a table with its stream, the fan-out and LaunchDarkly
clients in daemon mode with a TTL of an hour, all in this process, flips flags at random and measures the time
from each flip to the first evaluation that shows it, for every client.

warmflags status --probe does the same in a deployed stack: it follows one change through it.

With --sabotage it ends at the first fault that it sees, and prints it.

Exit code 1 means that a flip was lost or an evaluation stale, that a sabotage was not noticed, or that the demo could
not run.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Sabotage = demo.Sabotage(sabotage)
			if err := config.Validate(); err != nil {
				return usageError{err}
			}
			if bar := cmd.ErrOrStderr(); !target.json && isTerminal(bar) {
				config.Progress = func(done, total int) { drawProgress(bar, done, total) }
			}
			report, err := demo.Run(cmd.Context(), config)
			if err != nil {
				return err
			}
			if target.json {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				_, err = report.WriteTo(cmd.OutOrStdout())
			}
			if err != nil {
				return err
			}
			return judge(cmd.ErrOrStderr(), report)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&config.Changes, "changes", config.Changes, "how many flips; at least half of them travel alone")
	flags.IntVar(&config.Consumers, "consumers", config.Consumers, "how many LaunchDarkly clients, each with a queue")
	flags.IntVar(&config.Flags, "flags", config.Flags, "how many flags in the environment")
	flags.Uint64Var(&config.Seed, "seed", config.Seed, "seed of the order of the flips")
	names := make([]string, 0, 3)
	for _, s := range demo.Sabotages() {
		names = append(names, string(s))
	}
	flags.StringVar(&sabotage, "sabotage", "",
		"break the path on purpose, to see that the demo notices: "+strings.Join(names, ", "))
	complete(cmd, "sabotage", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// judge prints what was wrong, if anything was, and whether a sabotage was noticed.
func judge(w io.Writer, report *demo.Report) error {
	switch {
	case report.Fault != "":
		_, _ = fmt.Fprintf(w, "error: sabotage %q was noticed after %d flips: %s\n",
			report.Sabotage, report.Changes, report.Fault)
	case report.Sabotage != "" && report.OK():
		_, _ = fmt.Fprintf(w, "error: sabotage %q was not noticed in %d flips; raise --changes\n",
			report.Sabotage, report.Changes)
	case report.OK():
		return nil
	default:
		_, _ = fmt.Fprintf(w, "error: %d lost, %d stale reads, %d failed evaluations\n",
			report.Lost, report.Stale, report.Failures)
	}
	return errReported
}

func drawProgress(w io.Writer, done, total int) {
	const width = 40
	filled := done * width / total
	end := "\r"
	if done == total {
		end = clearLine // the table follows
	}
	_, _ = fmt.Fprintf(w, "\r[%s%s] %d of %d flips%s",
		strings.Repeat("=", filled), strings.Repeat(" ", width-filled), done, total, end)
}
