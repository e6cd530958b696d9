package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/flagsync"
)

// syncFlags are the command's. The command reads flags, makes a Syncer, and prints: sync_print.go prints the result of
// one sync, sync_watch.go what happens during a watch. What a sync does is in package flagsync.
type syncFlags struct {
	sourceFlags
	dryRun, watch, force bool
	removals             float64
}

func syncCommand(target *targetFlags) *cobra.Command {
	f := syncFlags{sourceFlags: sourceFlags{targetFlags: target}}
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Make a table equal to a LaunchDarkly environment, once or for as long as it runs",
		Long: `Makes the rows of one LaunchDarkly environment in a DynamoDB table equal to LaunchDarkly: it fetches the
environment and writes what differs, and nothing else. A sync that began later always wins.

With --stack, the table, the SDK key's parameter, the streaming URI, the payload filter and the largest share of
removals are those of the stack. Without it, the SDK key is in the environment variable ` + keyVariable + ` or in the
SSM parameter that --sdk-key-parameter names: one key, or a JSON object of prefix to key. If it has several
environments, --prefix names one. There is no flag for the key itself, because every user of a machine can read a
process's arguments.

It refuses a payload that looks wrong: one without flags, or one that would remove many. Then it writes nothing, says
what it would have written, and --force overrides. An item whose version is lower than the table's is held back, also
until --force.

Permissions: dynamodb:GetItem and Query on the table, for a sync that writes also UpdateItem, PutItem and DeleteItem;
ssm:GetParameter and kms:Decrypt on the SDK key's parameter; with --stack, cloudformation:DescribeStacks and
DescribeStackResources.

Exit code 0: the table is equal, or --watch was ended. 1: it failed. 3: the table is not equal, because --dry-run
found something to change, or because items were held back, refused, or kept because another program changed them.`,
		Example: `  warmflags sync --stack warmflags --dry-run
  warmflags sync --stack warmflags --prefix production
  warmflags sync --table flags --prefix production --sdk-key-parameter /warmflags/sdk-key
  warmflags sync --table flags --watch`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.dryRun, "dry-run", false,
		"write nothing, and print what would change and how each item's JSON differs")
	flags.BoolVar(&f.watch, "watch", false, "keep running, and write each change when LaunchDarkly streams it")
	flags.BoolVar(&f.force, "force", false, "lift the guards: an empty payload, many removals, lower versions")
	flags.Float64Var(&f.removals, "max-removals", 0,
		"the share of a kind's items, from 0 to 1, that may be removed without --force, "+
			"if it is more than 10 items; default and 0: the stack's, or a third")
	return cmd
}

func (f *syncFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	ctx, out, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	t, err := f.open(ctx, needTable)
	if err != nil {
		return err
	}
	s, err := f.openSource(ctx, t)
	if err == nil && s.keys == nil {
		err = errNoKey
	}
	if err != nil {
		return err
	}
	w := newWatch(f.watch, f.json, out, stderr)
	syncer := flagsync.New(s.environment, s.keys, f.options(t, stderr, w.log)...)
	if f.watch { // until main's signals end ctx
		return w.run(ctx, syncer)
	}
	result, err := syncer.Sync(ctx)
	if errors.Is(err, flagsync.ErrGuard) {
		err = withHint(err,
			"compare the environment in LaunchDarkly with what is printed; if it is right, run again with --force")
	}
	// Also after a failure: a guard's refusal is judged by what it refused.
	report := syncReport{table: t.Table, prefix: s.environment.Prefix, dryRun: f.dryRun, Result: result, err: err}
	if printed := report.print(out, f.json); printed != nil {
		return errors.Join(err, printed)
	}
	if err == nil && (f.dryRun && result.Changed() || len(result.HeldBack)+len(result.Refused)+len(result.Kept) > 0) {
		return errProblem
	}
	return err
}

// check reports all wrong combinations at once.
func (f *syncFlags) check() error {
	problems := f.missing(needTable)
	if f.watch && f.dryRun {
		problems = append(problems, errors.New("--watch with --dry-run: choose one"))
	}
	if f.watch && f.force {
		problems = append(problems,
			errors.New("--watch with --force would never have guards: sync once with --force, then --watch"))
	}
	if !(f.removals >= 0 && f.removals <= 1) { // nor NaN
		problems = append(problems, fmt.Errorf("--max-removals %v: it must be from 0 to 1", f.removals))
	}
	if f.stream != "" {
		problems = append(problems, checkURL("--stream-uri", f.stream))
	}
	if f.stack == "" && f.parameter == "" && f.getenv(keyVariable) == "" {
		problems = append(problems, errNoKey)
	}
	return errors.Join(problems...)
}

func (f *syncFlags) options(t *target, stderr io.Writer, log slog.Handler) []flagsync.Option {
	options := append(f.sourceFlags.options(t, log), flagsync.Linger(-1)) // no webhook started this sync
	if f.removals > 0 {
		options = append(options, flagsync.MaxRemovals(f.removals))
	}
	if f.dryRun {
		options = append(options, flagsync.DryRun())
	}
	if f.force {
		options = append(options, flagsync.Force())
	}
	if isTerminal(stderr) { // a first sync of thousands of flags takes a while
		options = append(options, flagsync.Progress(func(done, total int) {
			end := ""
			if done == total {
				end = clearLine
			}
			_, _ = fmt.Fprintf(stderr, "\r%d of %d rows written%s", done, total, end)
		}))
	}
	return options
}
