package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/operate"
	"github.com/warmflags/warmflags/internal/table"
)

// getFlags are the command's.
type getFlags struct {
	sourceFlags
	segment bool
	context string
}

// getReport is what the command prints with --json.
type getReport struct {
	*operate.Item
	NotAsked   string              `json:"launchdarkly_not_asked,omitempty"` // why
	Diff       []edit              `json:"diff,omitempty"`                   // from the table to LaunchDarkly
	Evaluation *operate.Evaluation `json:"evaluation,omitempty"`
}

func getCommand(target *targetFlags) *cobra.Command {
	f := getFlags{sourceFlags: sourceFlags{targetFlags: target}}
	cmd := &cobra.Command{
		Use:   "get FLAG",
		Short: "Show one flag in LaunchDarkly, in the table and in the journal, and what it evaluates to",
		Long: `Shows a flag's version and state in LaunchDarkly and in the table, how they differ, and whether the
journal has announced the table's version. With --context it evaluates the flag from the table's rows, as a client in
daemon mode does, and says why, in words: no event is sent.

It reads LaunchDarkly's stream once and a row each for the flag, the journal, and the prerequisites and segments that an
evaluation needs. It writes nothing. Without an SDK key it shows the table alone.

Permissions: dynamodb:GetItem and dynamodb:Query on the table; ssm:GetParameter and kms:Decrypt on the SDK key's
parameter; with --stack, cloudformation:DescribeStacks and DescribeStackResources.

Exit code 0: shown. 1: there is no such flag, or LaunchDarkly or the table cannot be read. 3: the table and LaunchDarkly
differ.`,
		Example: `  warmflags get checkout-v2 --stack warmflags
  warmflags get checkout-v2 --stack warmflags --prefix production --context '{"kind": "user", "key": "ada"}'
  warmflags get beta-users --segment --stack warmflags --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(fmt.Errorf("%d flags are named", len(args)), "name one flag: warmflags get FLAG")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.segment, "segment", false, "show a segment, not a flag")
	cmd.Flags().StringVar(&f.context, "context", "",
		`evaluate for this context, in LaunchDarkly's JSON: '{"kind": "user", "key": "ada"}'`)
	cmd.ValidArgsFunction = f.completeKeys(1, f.kind)
	return cmd
}

func (f *getFlags) run(cmd *cobra.Command, key string) error {
	evaluated, err := f.parseContext()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	t, err := f.open(ctx, needTable)
	if err != nil {
		return err
	}
	s, notAsked := f.openSource(ctx, t)
	if errors.As(notAsked, &usageError{}) || s == nil {
		return notAsked
	}
	var all []table.Collection
	if notAsked == nil {
		all, notAsked = f.fetch(ctx, t, s)
	}
	r := getReport{}
	if r.Item, err = operate.FindItem(ctx, s.environment, t.Region, f.kind(), key, all); err != nil {
		return err
	}
	if !r.Row.Exists && (r.LaunchDarkly == nil || !r.LaunchDarkly.Exists) {
		return f.notFound(ctx, s, r.Item, all, notAsked)
	}
	if r.LaunchDarkly != nil && r.Difference != "" {
		r.Diff = diffJSON(r.Row.JSON, r.LaunchDarkly.JSON)
	}
	if notAsked != nil {
		r.NotAsked = notAsked.Error()
	}
	if evaluated != nil {
		if r.Evaluation, err = operate.Evaluate(ctx, s.environment, key, *evaluated); err != nil {
			return err
		}
	}
	if err := f.print(cmd.OutOrStdout(), &r); err != nil {
		return err
	}
	switch {
	case r.Equal != nil && !*r.Equal:
		return errProblem
	case notAsked != nil && !errors.Is(notAsked, errNoKey):
		return notAsked
	}
	return nil
}

func (f *getFlags) kind() string { return kindOf(f.segment) }

func kindOf(segment bool) string {
	if segment {
		return operate.Segments
	}
	return operate.Features
}

// parseContext returns nil if no context is given.
func (f *getFlags) parseContext() (*ldcontext.Context, error) {
	if f.context == "" {
		return nil, nil
	}
	const example = `for example: --context '{"kind": "user", "key": "ada", "country": "uk"}'`
	if f.segment {
		return nil, usageError{errors.New("--context with --segment: only a flag can be evaluated")}
	}
	c := ldcontext.Context{}
	if !json.Valid([]byte(f.context)) {
		return nil, usageError{withHint(fmt.Errorf("the context is not JSON: %s", f.context), example)}
	}
	if err := json.Unmarshal([]byte(f.context), &c); err != nil {
		return nil, usageError{withHint(fmt.Errorf("the context is not one of LaunchDarkly's: %w", err), example)}
	}
	return &c, nil
}

// fetch asks LaunchDarkly. Without an SDK key, the error is errNoKey.
func (f *getFlags) fetch(ctx context.Context, t *target, s *source) ([]table.Collection, error) {
	if s.keys == nil {
		return nil, errNoKey
	}
	return flagsync.New(s.environment, s.keys, f.options(t, slog.DiscardHandler)...).Fetch(ctx)
}

// notFound is the error for an item that is neither in LaunchDarkly nor in the table, with the names that are close.
func (f *getFlags) notFound(
	ctx context.Context, s *source, i *operate.Item, all []table.Collection, notAsked error,
) error {
	noun, hint := "flag", "run: warmflags list"
	if f.segment {
		noun, hint = "segment", "run: warmflags list --kind segments"
	}
	var keys []string
	for _, c := range all {
		for _, item := range c.Items {
			if c.Kind == i.Kind {
				keys = append(keys, item.Key)
			}
		}
	}
	if all == nil {
		err := s.environment.EachRow(ctx, i.Kind, func(key string, _ table.Row) { keys = append(keys, key) })
		if err != nil {
			return err
		}
	}
	if similar := operate.Closest(i.Key, keys); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, ", ") + "?"
	}
	where := fmt.Sprintf("neither in LaunchDarkly nor in table %q", i.Table)
	if notAsked != nil {
		where = fmt.Sprintf("not in table %q, and LaunchDarkly was not asked (%v)", i.Table, notAsked)
	}
	return withHint(fmt.Errorf("%s %q of prefix %q is %s", noun, i.Key, i.Prefix, where), "%s", hint)
}

func (f *getFlags) print(out io.Writer, r *getReport) error {
	if f.json {
		return printJSON(out, r)
	}
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(columns, "%s/%s of prefix %q in table %q\n", r.Kind, r.Key, r.Prefix, r.Table)
	there, verdict := "not asked: "+r.NotAsked, paint(out, yellow, "not known")
	if r.LaunchDarkly != nil {
		there = side(*r.LaunchDarkly)
		verdict = paint(out, green, "equal")
		if r.Difference != "" {
			verdict = paint(out, red, "different: "+r.Difference)
		}
	}
	_, _ = fmt.Fprintf(columns, "LaunchDarkly\t%s\ntable\t%s\ncompared\t%s\njournal\t%s\n",
		there, side(r.Row), verdict, r.Journal.Words)
	if e := r.Evaluation; e != nil {
		_, _ = fmt.Fprintf(columns, "evaluates to\t%s\nbecause\t%s\n", e.Value, e.Because)
	}
	err := columns.Flush()
	if len(r.Diff) > 0 {
		_, _ = fmt.Fprintln(out, "\nfrom the table to LaunchDarkly")
		printDiff(out, r.Diff)
	}
	return err
}

func side(s operate.Side) string {
	if !s.Exists {
		return s.State
	}
	return fmt.Sprintf("version %d: %s", s.Version, s.State)
}
