package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
)

func doctorCommand(target *targetFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [--stack name]",
		Short: "Find what is wrong with a deployment, and the command that fixes it",
		Long: `Examines a deployment, and prints for each check what it found and, for a problem, the command that
fixes it: credentials, region and clock; the stack's status; the SSM parameters, and whether LaunchDarkly accepts each
SDK key; whether the webhook refuses a request without a signature; the schedule; the table's keys and stream; the
mappings that invoke the functions, with filter, batch settings and failure destination; the policies of topic and
queues.

Without --stack, it examines --table and --topic, and skips what only the stack tells. It writes nothing to AWS, and
sends the webhook one request without a signature, which the webhook refuses. Secrets are read, used and never
printed.

Permissions: sts:GetCallerIdentity, cloudformation:DescribeStacks and DescribeStackResources, ssm:GetParameter (and
kms:Decrypt for it), dynamodb:DescribeTable, lambda:ListEventSourceMappings, sns:GetTopicAttributes,
sqs:GetQueueAttributes, scheduler:GetSchedule. A check whose permission is missing is "not known".

Exit code 0: all is well. 1: there is no problem, but something is not known. 3: there is a problem.`,
		Example: `  warmflags doctor --stack warmflags
  warmflags doctor --table flags
  warmflags doctor --stack warmflags --json | jq -r '.checks[] | select(.state == "problem") | .fix'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, target) },
	}
}

func runDoctor(cmd *cobra.Command, f *targetFlags) error {
	if n := f.named(); n.Name == "" && n.Table == "" && n.TopicARN == "" {
		return usageError{errors.Join(f.missing(needTable)...)}
	}
	ctx := cmd.Context()
	t, err := f.open(ctx)
	if t == nil {
		return err
	}
	doctor := operate.Doctor{AWS: t.aws, Stack: t.Stack, NoStack: err}
	checks := doctor.Examine(ctx)
	if ctx.Err() != nil { // what was cut off is not what is wrong
		return ctx.Err()
	}
	return printDoctor(cmd.OutOrStdout(), f.json, checks)
}

// printDoctor prints the checks, and returns the error that gives the exit code.
func printDoctor(out io.Writer, asJSON bool, checks []operate.Check) error {
	problems := operate.CountChecks(checks, operate.CheckProblem)
	unknown := operate.CountChecks(checks, operate.CheckUnknown)
	var err error
	if asJSON {
		err = printJSON(out, map[string]any{"problems": problems, "not_known": unknown, "checks": checks})
	} else {
		err = printChecks(out, checks)
	}
	if err != nil {
		return err
	}
	switch {
	case problems > 0:
		return errProblem
	case unknown > 0:
		return withHint(fmt.Errorf("%s could not be made", operate.Count(unknown, "check")),
			"what is not known says why; it may be a missing permission: see warmflags doctor --help")
	}
	return nil
}

// printChecks prints a line for each check, its fix below it, and a summary.
func printChecks(out io.Writer, checks []operate.Check) error {
	colors := map[operate.CheckState]color{
		operate.CheckOK: green, operate.CheckProblem: red, operate.CheckUnknown: yellow, operate.CheckSkipped: "",
	}
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		state := fmt.Sprintf("%-9s", c.State)
		if colors[c.State] != "" {
			state = paint(out, colors[c.State], state)
		}
		_, _ = fmt.Fprintf(columns, "%s\t%s\t%s\n", state, c.Name, strings.ReplaceAll(c.Found, "\n", "; "))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for _, c := range checks {
		if c.Fix != "" {
			_, _ = fmt.Fprintf(out, "\nto fix %s:\n  %s\n", c.Name, c.Fix)
		}
	}
	_, err := fmt.Fprintf(
		out,
		"\n%d ok, %s, %d not known, %d skipped\n",
		operate.CountChecks(checks,
			operate.CheckOK),
		operate.Count(
			operate.CountChecks(checks, operate.CheckProblem),
			"problem",
		),
		operate.CountChecks(checks, operate.CheckUnknown),
		operate.CountChecks(checks, operate.CheckSkipped),
	)
	return err
}
