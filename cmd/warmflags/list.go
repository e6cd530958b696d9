package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
)

// listFlags are the command's.
type listFlags struct {
	sourceFlags
	filter            operate.Filter
	on, off, prefixes bool
}

func listCommand(target *targetFlags) *cobra.Command {
	f := listFlags{sourceFlags: sourceFlags{targetFlags: target}}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the flags and segments of an environment in the table",
		Long: `Lists the rows of one environment in the table: key, version, and what the flag serves. The table does
not hold when a row was written; the last line says when the environment was last synced.

It reads all rows of the environment, in strongly consistent queries: a read unit for each 4 KB. With --prefixes it
lists the table's prefixes instead, for a read of each namespace. It writes nothing, and does not ask LaunchDarkly.

Permissions: dynamodb:Query and GetItem on the table; with --prefixes, dynamodb:Scan. To find the only prefix,
ssm:GetParameter and kms:Decrypt on the SDK key's parameter. With --stack, cloudformation:DescribeStacks and
DescribeStackResources.

Exit code 0: listed. 1: it failed.`,
		Example: `  warmflags list --stack warmflags --prefix production --off
  warmflags list --stack warmflags --match 'checkout-*'
  warmflags list --table flags --deleted --json
  warmflags list --table flags --prefixes`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.addPrefix(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Kind, "kind", "", "features or segments; default: both")
	flags.BoolVar(&f.on, "on", false, "flags that are on")
	flags.BoolVar(&f.off, "off", false, "flags that are off")
	flags.BoolVar(&f.filter.Deleted, "deleted", false, "tombstones, which clients take for missing items")
	flags.StringVar(&f.filter.Match, "match", "", "keys that match a glob, such as 'checkout-*'")
	flags.BoolVar(&f.prefixes, "prefixes", false, "list the table's prefixes, not items")
	kinds := []string{operate.Features, operate.Segments}
	complete(cmd, "kind", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *listFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	t, err := f.open(ctx, needTable)
	if err != nil {
		return err
	}
	if f.prefixes {
		found, err := operate.Prefixes(ctx, t.account.DynamoDB, t.Table)
		if err != nil {
			return err
		}
		return f.printPrefixes(out, slices.Sorted(maps.Keys(found)))
	}
	s, err := f.openSource(ctx, t)
	if err != nil {
		return err
	}
	rows, err := operate.List(ctx, s.environment, f.filter)
	if err != nil {
		return err
	}
	state, err := s.environment.SyncState(ctx)
	if err != nil {
		return err
	}
	return f.print(out, s.environment, rows, state.Synced, t.now())
}

// check reports all wrong combinations at once.
func (f *listFlags) check() error {
	var problems []error
	if f.on && f.off {
		problems = append(problems, errors.New("--on with --off: choose one"))
	}
	if (f.on || f.off) && f.filter.Deleted {
		problems = append(problems, errors.New("--deleted with --on or --off: a deleted flag is neither"))
	}
	if k := f.filter.Kind; k != "" && k != operate.Features && k != operate.Segments {
		problems = append(problems, fmt.Errorf("--kind %q: it must be features or segments", k))
	}
	if _, err := path.Match(f.filter.Match, ""); err != nil {
		problems = append(problems, fmt.Errorf("--match %q: %w", f.filter.Match, err))
	}
	if f.on || f.off {
		f.filter.On = &f.on
	}
	return errors.Join(problems...)
}

func (f *listFlags) print(out io.Writer, e *table.Environment, rows []operate.Listed, synced, now time.Time) error {
	if f.json {
		report := map[string]any{"table": e.Table, "prefix": e.Prefix, "items": rows, "synced": nil}
		if !synced.IsZero() {
			report["synced"] = synced.UTC()
		}
		return printJSON(out, report)
	}
	if len(rows) > 0 {
		columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(columns, "KIND\tKEY\tVERSION\tSTATE")
		for _, r := range rows {
			_, _ = fmt.Fprintf(columns, "%s\t%s\t%d\t%s\n", r.Kind, r.Key, r.Version, r.State)
		}
		if err := columns.Flush(); err != nil {
			return err
		}
	}
	last := "no sync of it is recorded"
	if !synced.IsZero() {
		last = fmt.Sprintf("the last sync began %v ago", now.Sub(synced).Round(time.Second))
	}
	noun := "items"
	if len(rows) == 1 {
		noun = "item"
	}
	_, err := fmt.Fprintf(out, "%d %s of prefix %q in table %q; %s\n", len(rows), noun, e.Prefix, e.Table, last)
	return err
}

func (f *listFlags) printPrefixes(out io.Writer, found []string) error {
	if f.json {
		return printJSON(out, map[string]any{"prefixes": append([]string{}, found...)})
	}
	for _, prefix := range found {
		if _, err := fmt.Fprintf(out, "%q\n", prefix); err != nil {
			return err
		}
	}
	return nil
}
