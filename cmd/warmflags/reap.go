package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/subscriber"
)

// reapFlags are the command's. The command makes a Reaper, and prints what it found.
type reapFlags struct {
	*targetFlags
	deadAfter time.Duration
	dryRun    bool
}

func reapCommand(target *targetFlags) *cobra.Command {
	f := reapFlags{targetFlags: target}
	cmd := &cobra.Command{
		Use:   "reap",
		Short: "Remove the queues that killed processes left behind",
		Long: `Each process with a subscriber.Queue has an SQS queue of its own, which it removes when it ends. A
process that is killed cannot do that, and SQS's queues never expire. This removes the queues of one topic whose
heartbeat, which a process renews every hour, is older than --dead-after, with their subscriptions, and subscriptions
whose queue is gone. Run it once a day.

Permissions: sqs:ListQueues, ListQueueTags, GetQueueUrl and DeleteQueue, sns:ListSubscriptionsByTopic, Unsubscribe; with
--stack, cloudformation:DescribeStacks and DescribeStackResources.

Exit code 0: removed, or with --dry-run listed. 1: it failed.`,
		Example: `  warmflags reap --stack warmflags --dry-run
  warmflags reap --topic arn:aws:sns:eu-west-1:123456789012:warmflags-ChangeTopic-1A2B`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.deadAfter, "dead-after", subscriber.DefaultOrphanAfter,
		"the age of a heartbeat at which its process counts as ended; at least 2h")
	flags.BoolVar(&f.dryRun, "dry-run", false, "remove nothing, and list what would be removed")
	return cmd
}

func (f *reapFlags) run(cmd *cobra.Command) error {
	if f.deadAfter < 2*time.Hour {
		err := fmt.Errorf("--dead-after %v: heartbeats are written every hour, so use 2 hours at least", f.deadAfter)
		return usageError{err}
	}
	t, err := f.open(cmd.Context(), needTopic)
	if err != nil {
		return err
	}
	reaper := subscriber.Reaper{
		SQS: t.account.SQS, SNS: t.account.SNS, TopicARN: t.TopicARN, OrphanAfter: f.deadAfter, DryRun: f.dryRun,
	}
	dead, err := reaper.Reap(cmd.Context())
	if err != nil && len(dead) == 0 {
		return err
	}
	return errors.Join(err, f.print(cmd.OutOrStdout(), dead))
}

// print prints what was removed, also where something else failed.
func (f *reapFlags) print(out io.Writer, dead []subscriber.Orphan) error {
	type line struct {
		Queue        string `json:"queue,omitempty"`
		Subscription string `json:"subscription,omitempty"`
		Owner        string `json:"owner,omitempty"`
		Heartbeat    string `json:"heartbeat,omitempty"`
	}
	lines := []line{}
	for _, d := range dead {
		l := line{Queue: d.Queue, Subscription: d.Subscription, Owner: d.Owner}
		if !d.Heartbeat.IsZero() {
			l.Heartbeat = d.Heartbeat.UTC().Format(time.RFC3339)
		}
		lines = append(lines, l)
	}
	if f.json {
		return printJSON(out, lines)
	}
	if len(lines) > 0 {
		columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(columns, "OWNER\tHEARTBEAT\tQUEUE OR SUBSCRIPTION\t")
		for _, l := range lines {
			_, _ = fmt.Fprintf(columns, "%s\t%s\t%s\t\n",
				cmp.Or(l.Owner, "-"), cmp.Or(l.Heartbeat, "-"), cmp.Or(l.Queue, l.Subscription))
		}
		if err := columns.Flush(); err != nil {
			return err
		}
	}
	text := "%d removed\n"
	if f.dryRun {
		text = "nothing was removed: %d would be\n"
	}
	_, err := fmt.Fprintf(out, text, len(lines))
	return err
}
