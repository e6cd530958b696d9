package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/parameter"
	"github.com/warmflags/warmflags/internal/table"
)

// The command reads flags and variables, makes the parts, and prints. What a sync does is in package flagsync.

// keyVariable holds the SDK key. There is no flag for it: whoever may list processes reads their arguments, and shells
// keep them in their history.
const keyVariable = "LD_SDK_KEY"

// syncFlags are the command's.
type syncFlags struct {
	*targetFlags
	prefix, parameter, stream, filter string
	dryRun, watch, force              bool
	removals                          float64
}

func syncCommand(target *targetFlags) *cobra.Command {
	f := syncFlags{targetFlags: target}
	cmd := &cobra.Command{
		Use:   "sync --table name [--prefix environment]",
		Short: "Make a table equal to a LaunchDarkly environment, once or for as long as it runs",
		Long: `Makes the rows of one LaunchDarkly environment in a DynamoDB table equal to LaunchDarkly: it fetches the
environment and writes what differs, and nothing else. A sync that began later always wins.

The SDK key is in the environment variable ` + keyVariable + ` or in the SSM parameter that
--sdk-key-parameter names: one key, or a JSON object of prefix to key. There is no flag for the key itself, because
everybody on the machine can read a process's arguments. Region, credentials and endpoints are the AWS SDK's:
AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL.

Exit code 0: the table is equal, or --watch was ended. 1: it failed. 3: the table is not equal, because --dry-run
found something to change, or because items were held back, refused, or kept as another program wrote them.`,
		Example: `  warmflags sync --table flags --dry-run
  warmflags sync --table flags --prefix production --sdk-key-parameter /warmflags/sdk-key
  warmflags sync --table flags --watch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.prefix, "prefix", "", "the environment's name in the table")
	flags.StringVar(&f.parameter, "sdk-key-parameter", "", "SSM parameter with the SDK key; default: the key is in "+keyVariable)
	flags.StringVar(&f.stream, "stream-uri", "", "LaunchDarkly's streaming URI, such as https://stream.eu.launchdarkly.com or a Relay Proxy's; default: https://stream.launchdarkly.com")
	flags.StringVar(&f.filter, "payload-filter", "", "the key of a LaunchDarkly payload filter; default: all flags")
	flags.BoolVar(&f.dryRun, "dry-run", false, "write nothing, print what would change and how each item's JSON differs, and exit with 3 if anything would")
	flags.BoolVar(&f.watch, "watch", false, "go on, and write each change when LaunchDarkly streams it")
	flags.BoolVar(&f.force, "force", false, "lift the guards: an empty payload, many removals, lower versions")
	flags.Float64Var(&f.removals, "max-removals", 0, "the share of a kind's items, from 0 to 1, that may be removed without --force, if it is more than 10 items; 0: a third")
	return cmd
}

func (f *syncFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	t, err := f.open(ctx, needTable)
	if err != nil {
		return err
	}
	keys, err := f.keys(t.parameters)
	if err != nil {
		return err
	}
	environment := &table.Environment{Client: t.db, Table: t.Table, Prefix: f.prefix}
	log := &notices{w: cmd.ErrOrStderr(), watch: f.watch}
	syncer := flagsync.New(environment, keys, f.options(cmd.ErrOrStderr(), log)...)
	if f.watch { // until main's signals end ctx
		return syncer.Watch(ctx, func(r flagsync.Result) {
			log.goesOn.Store(true) // what fails from now on does not end it
			f.printChanges(out, r)
		})
	}
	result, err := syncer.Sync(ctx)
	// Also of a sync that failed: who is held by a guard wants to see by what.
	if printed := f.print(out, result, err); printed != nil {
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
		problems = append(problems, errors.New("--watch with --force would have no guards for good: sync once with --force, then --watch"))
	}
	if f.parameter == "" && f.getenv(keyVariable) == "" {
		problems = append(problems, errors.New("no SDK key: set "+keyVariable+", or name an SSM parameter with --sdk-key-parameter"))
	}
	return errors.Join(problems...)
}

// keys are the parameter's, or the variable's: a single key there is the prefix's, whichever it is.
func (f *syncFlags) keys(parameters parameter.Client) (flagsync.Keys, error) {
	if f.parameter != "" {
		return flagsync.ParameterKeys(parameters, f.parameter), nil
	}
	keys, err := flagsync.ParseKeys(f.getenv(keyVariable))
	if err != nil {
		return nil, fmt.Errorf("read SDK key from %s: %w", keyVariable, err)
	}
	if key, single := keys[""]; single && len(keys) == 1 {
		keys = map[string]string{f.prefix: key}
	}
	return flagsync.StaticKeys(keys), nil
}

func (f *syncFlags) options(stderr io.Writer, log slog.Handler) []flagsync.Option {
	options := []flagsync.Option{
		flagsync.Linger(-1), // nobody's webhook is faster than a person
		flagsync.Logger(slog.New(log)),
		flagsync.MaxRemovals(f.removals),
		flagsync.StreamURI(f.stream),
		flagsync.PayloadFilter(f.filter),
	}
	if f.dryRun {
		options = append(options, flagsync.DryRun())
	}
	if f.force {
		options = append(options, flagsync.Force())
	}
	if isTerminal(stderr) { // a first sync of thousands of flags takes a while; elsewhere it would be noise
		options = append(options, flagsync.Progress(func(done, total int) {
			end := ""
			if done == total {
				end = "\r\033[K"
			}
			_, _ = fmt.Fprintf(stderr, "\r%d of %d rows written%s", done, total, end)
		}))
	}
	return options
}

// line is one change as it is printed.
type line struct {
	Time   *time.Time `json:"time,omitempty"` // of a watch
	Change string     `json:"change"`
	Kind   string     `json:"kind"`
	Key    string     `json:"key"`
	From   *int       `json:"from"` // the table's version; null: no row
	To     *int       `json:"to"`   // LaunchDarkly's; null: it is not there
	Reason string     `json:"reason,omitempty"`
	Diff   []change   `json:"diff,omitempty"` // of a dry run: what would change in the item's JSON
}

// lines are a result's changes and what was not written, each list in the order of kind and key. What is equal has none.
func lines(r flagsync.Result, dryRun bool) []line {
	all := []line{}
	for _, list := range []struct {
		change string
		items  []table.Entry
		reason string
	}{
		{"add", r.Added, ""}, {"update", r.Updated, ""}, {"remove", r.Removed, ""},
		{"hold back", r.HeldBack, "its version is lower than the table's: see --force"},
		{"refuse", r.Refused, ""}, {"keep", r.Kept, "another program wrote a newer one meanwhile"},
	} {
		for _, i := range list.items {
			l := line{Change: list.change, Kind: i.Kind, Key: i.Key, From: known(i.Was), To: known(i.Version), Reason: list.reason + i.Reason}
			if i.Deleted && l.To != nil && l.Reason == "" {
				l.Reason = "as deleted"
			}
			if dryRun && i.Old != "" && i.New != "" {
				l.Diff = diffJSON(i.Old, i.New)
			}
			all = append(all, l)
		}
	}
	if changed := len(r.Added) + len(r.Updated) + len(r.Removed); r.Marker && changed == 0 { // else it goes without saying
		all = append(all, line{Change: "add", Kind: "$inited", Key: "$inited", Reason: "the marker without which clients wait"})
	}
	return all
}

// known is nil for the version of what is not there.
func known(version int) *int {
	if version < 0 {
		return nil
	}
	return &version
}

func version(v *int) string {
	if v == nil {
		return "-"
	}
	return strconv.Itoa(*v)
}

// print prints a sync's result, also of one that failed: what it found says why.
func (f *syncFlags) print(out io.Writer, r flagsync.Result, failed error) error {
	changes := lines(r, f.dryRun)
	if f.json {
		report := map[string]any{
			"table": f.table, "prefix": f.prefix, "dry_run": f.dryRun, "fencing_token": r.Token, "transactions": r.Transactions,
			"changes": changes, "unchanged": len(r.Unchanged),
		}
		if failed != nil {
			report["error"] = failed.Error()
		}
		return printJSON(out, report)
	}
	if len(changes) > 0 {
		columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(columns, "CHANGE\tKIND\tKEY\tFROM\tTO\t")
		for _, l := range changes {
			_, _ = fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Change, l.Kind, l.Key, version(l.From), version(l.To), l.Reason)
		}
		if err := columns.Flush(); err != nil {
			return err
		}
		for _, l := range changes {
			if len(l.Diff) > 0 {
				_, _ = fmt.Fprintf(out, "\n%s/%s\n", l.Kind, l.Key)
				printDiff(out, l.Diff)
			}
		}
	}
	verb := "changed"
	switch {
	case failed != nil:
		return nil
	case f.dryRun:
		verb = "would change"
	}
	written := slices.DeleteFunc(changes, func(l line) bool { return !slices.Contains([]string{"add", "update", "remove"}, l.Change) })
	_, err := fmt.Fprintf(out, "%d %s, %d unchanged\n", len(written), verb, len(r.Unchanged))
	return err
}

// printChanges prints a line for each change of a watch.
func (f *syncFlags) printChanges(out io.Writer, r flagsync.Result) {
	now := time.Now()
	for _, l := range lines(r, false) {
		if f.json {
			l.Time = &now
			_ = json.NewEncoder(out).Encode(l) // who reads is gone if this fails; the table is what counts
			continue
		}
		text := fmt.Sprintf("%s %s %s/%s %s -> %s", now.Format(time.TimeOnly), l.Change, l.Kind, l.Key, version(l.From), version(l.To))
		if l.Reason != "" {
			text += " (" + l.Reason + ")"
		}
		_, _ = fmt.Fprintln(out, text)
	}
}

// notices is a log for a person: warnings and errors, without the metrics. A sync's own failure is only in it when
// the command goes on; else the command prints it, at its end.
type notices struct {
	w      io.Writer
	watch  bool
	goesOn atomic.Bool // set by a watch that has begun, read by all who log
}

func (n *notices) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (n *notices) Handle(_ context.Context, r slog.Record) error {
	text := []string{"warmflags: " + r.Message}
	sync := false // it is the line of a sync
	r.Attrs(func(a slog.Attr) bool {
		sync = sync || a.Key == "fencing_token"
		if a.Key == "error" {
			text = append(text, a.Value.String())
		}
		return true
	})
	line := strings.Join(text, ": ")
	goesOn := n.goesOn.Load() || n.watch && strings.Contains(line, table.ErrTokenLost.Error()) // which ends no watch
	if sync && (!goesOn || r.Level < slog.LevelError) {
		return nil
	}
	_, err := fmt.Fprintln(n.w, line)
	return err
}

// WithAttrs and WithGroup are not used by the packages that log here.
func (n *notices) WithAttrs([]slog.Attr) slog.Handler { return n }

// WithGroup returns the handler itself.
func (n *notices) WithGroup(string) slog.Handler { return n }
