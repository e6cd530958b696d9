package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
)

// invalidateFlags are the command's.
type invalidateFlags struct {
	sourceFlags
	copiesFlag
	all, segments, dryRun, force bool
}

func invalidateCommand(target *targetFlags) *cobra.Command {
	f := invalidateFlags{sourceFlags: sourceFlags{targetFlags: target}}
	cmd := &cobra.Command{
		Use:   "invalidate {key... | --all} [--prefix environment]",
		Short: "Make every process read flags again",
		Long: `Makes every process read the named flags again: it publishes a change message to the topic, and then
appends to the environment's journal, which Lambda functions follow. It changes no flag. A key is a flag's; with
--segments it is a segment's. features/KEY and segments/KEY name either. --all is everything in the environment.

It can be repeated: what is announced twice is only read twice.

Permissions: dynamodb:GetItem and PutItem on the table (TransactWriteItems for several copies of the journal,
DeleteItem if the journal is off), sns:Publish on the topic. To find the only prefix, ssm:GetParameter and kms:Decrypt
on the SDK key's parameter. With --stack, cloudformation:DescribeStacks and DescribeStackResources.

Exit code 0: it was published, and is in the journal. 1: it failed; the error says what was done.`,
		Example: `  warmflags invalidate --stack warmflags new-checkout
  warmflags invalidate --stack warmflags --prefix production --segments beta-users
  warmflags invalidate --stack warmflags --all --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.addPrefix(cmd)
	cmd.ValidArgsFunction = f.completeKeys(many, f.kind)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "everything in the environment")
	flags.BoolVar(&f.segments, "segments", false, "the keys are those of segments")
	flags.BoolVar(&f.dryRun, "dry-run", false, "publish and write nothing, and print what would be invalidated")
	flags.BoolVar(&f.force, "force", false, "also what is not in the table")
	f.copiesFlag.add(cmd)
	return cmd
}

func (f *invalidateFlags) run(cmd *cobra.Command, args []string) error {
	changes, err := operate.ParseItems(args, f.segments)
	if err := errors.Join(err, f.check(args)); err != nil {
		return usageError{err}
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	t, err := f.open(ctx, needTable, needTopic)
	if err != nil {
		return err
	}
	if err := f.fill(cmd, t); err != nil {
		return err
	}
	s, err := f.openSource(ctx, t)
	if err != nil {
		return err
	}
	i := operate.Invalidation{
		Environment: s.environment, Journal: t.account.DynamoDB, Topic: t.account.SNS, TopicARN: t.TopicARN,
		Region: t.Region, Copies: f.copies, Changes: changes,
	}
	if !f.force {
		if err := i.Check(ctx); errors.Is(err, operate.ErrUnknownItem) {
			return withHint(
				err,
				"check the key, the kind (--segments) and --prefix; --force invalidates what is not in the table",
			)
		} else if err != nil {
			return err
		}
	}
	if f.dryRun {
		return f.print(out, i, operate.Invalidated{})
	}
	done, err := i.Do(ctx)
	switch {
	case err == nil:
		return f.print(out, i, done)
	case len(done.Messages) == 0:
		return withHint(err, "nothing was published, and the journal is as it was; run the command again")
	case done.Journal:
		return withHint(err, "only a part was published, and is in the journal: %s; run the command again",
			operate.Count(len(done.Messages), "message"))
	}
	published := "1 message was published"
	if n := len(done.Messages); n > 1 {
		published = fmt.Sprintf("%d messages were published", n)
	}
	return withHint(err, "%s, so services read again; the journal was not written, so Lambda functions may not; "+
		"run the command again", published)
}

func (f *invalidateFlags) kind() string { return kindOf(f.segments) }

// check reports all wrong arguments at once.
func (f *invalidateFlags) check(args []string) error {
	var problems []error
	if f.all == (len(args) > 0) {
		problems = append(problems, errors.New("name the keys, or pass --all: one of them"))
	}
	return errors.Join(append(problems, f.copiesFlag.check())...)
}

// print prints what was done, or, of a dry run, what would be.
func (f *invalidateFlags) print(out io.Writer, i operate.Invalidation, done operate.Invalidated) error {
	items := []string{}
	for _, c := range i.Changes {
		items = append(items, c.Kind+"/"+c.Key)
	}
	if f.json {
		return printJSON(out, map[string]any{
			"prefix":         i.Environment.Prefix,
			"all":            f.all,
			"items":          items,
			"dry_run":        f.dryRun,
			"topic_arn":      i.TopicARN,
			"table":          i.Environment.Table,
			"journal_copies": i.Copies,
			"messages":       len(done.Messages),
			"journal": done.Journal &&
				i.Copies > 0,
		})
	}
	what := fmt.Sprintf("%s of prefix %q", operate.Count(len(items), "item"), i.Environment.Prefix)
	if f.all {
		what = fmt.Sprintf("everything of prefix %q", i.Environment.Prefix)
	}
	names := ""
	if len(items) > 0 {
		names = ": " + strings.Join(items, ", ")
	}
	if f.dryRun {
		_, err := fmt.Fprintf(out, "nothing was published: %s would be invalidated%s\n", what, names)
		return err
	}
	text := fmt.Sprintf(
		"invalidated %s%s\n  published %s to %s\n",
		what,
		names,
		operate.Count(len(done.Messages), "message"),
		i.TopicARN,
	)
	if i.Copies > 0 {
		text += fmt.Sprintf("  appended to the journal in table %q\n", i.Environment.Table)
	} else {
		text += "  the journal is switched off\n"
	}
	_, err := fmt.Fprint(out, text)
	return err
}
