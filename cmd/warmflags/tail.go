package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
)

func tailCommand(target *targetFlags) *cobra.Command {
	prefix := ""
	cmd := &cobra.Command{
		Use:   "tail --stack name [--prefix environment]",
		Short: "Show changes as they pass",
		Long: `Prints each change that the topic announces, with the time since the write to the table, which the
stream gives in whole seconds. It prints a line when it is connected, and runs until Ctrl-C; then it removes its
queue. On AWS, changes of the first minute can be missing: a new queue's policy takes that long to apply. Without
--prefix it shows all environments.

With --json, each change is an object on a line of its own: time, prefix, kind, key, version (0: not known), deleted,
everything (true: any item may have changed), since_write_s.

Permissions: those of the stack's SubscriberPolicy.

Exit code 0: it was ended. 1: it failed.`,
		Example: `  warmflags tail --stack warmflags
  warmflags tail --stack warmflags --prefix production
  warmflags tail --topic arn:aws:sns:eu-west-1:123456789012:warmflags-ChangeTopic-1A2B --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var one *string
			if cmd.Flags().Changed("prefix") {
				one = &prefix
			}
			return runTail(cmd, target, one)
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "the environment's name in the table; default: all environments")
	complete(cmd, "prefix", (&sourceFlags{targetFlags: target}).completePrefixes)
	return cmd
}

func runTail(cmd *cobra.Command, f *targetFlags, prefix *string) error {
	ctx, out, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	t, err := f.open(ctx, needTopic)
	if err != nil {
		return err
	}
	return operate.Tail(ctx, t.account, t.TopicARN, operate.TailOptions{
		Prefix: prefix,
		Connected: func(again bool) {
			if again {
				_, _ = fmt.Fprintln(stderr, "connected again: changes may have been missed")
				return
			}
			_, _ = fmt.Fprintln(stderr, "waiting for changes")
		},
		Changed: func(c operate.Passing) {
			if f.json {
				_ = json.NewEncoder(out).Encode(c) // if this fails, the reader is gone
				return
			}
			printPassing(out, c)
		},
		Warned: func(text string) { _, _ = fmt.Fprintln(stderr, text) },
	})
}

// printPassing prints a line for one change.
func printPassing(out io.Writer, c operate.Passing) {
	what := "anything may have changed"
	if !c.Everything {
		what = fmt.Sprintf("%s/%s %s", c.Kind, c.Key, versionText(c.Version, c.Deleted))
	}
	if c.Prefix != "" {
		what = c.Prefix + ": " + what
	}
	if c.SinceWrite != nil {
		what += fmt.Sprintf(", %v after the write", operate.Seconds(*c.SinceWrite).Round(time.Second))
	}
	_, _ = fmt.Fprintln(out, c.Time.Local().Format(time.TimeOnly)+"  "+what)
}
