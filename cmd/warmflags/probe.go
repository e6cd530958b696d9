package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
)

func runProbe(cmd *cobra.Command, f *targetFlags, copies *copiesFlag) error {
	if err := errors.Join(append(f.missing(needTable, needTopic), copies.check())...); err != nil {
		return usageError{err}
	}
	ctx := cmd.Context()
	t, err := f.open(ctx, needTable, needTopic)
	if err != nil {
		return err
	}
	if err := copies.fill(cmd, t); err != nil {
		return err
	}
	report, err := operate.Probe(ctx, t.account, &t.Stack, copies.copies)
	printed := printProbe(cmd.OutOrStdout(), f, report)
	if report.Problem != "" && printed == nil && report.Removed {
		return errProblem
	}
	return errors.Join(err, printed)
}

// printProbe prints the hops that were seen, also of a probe that failed.
func printProbe(out io.Writer, f *targetFlags, r *operate.ProbeReport) error {
	if f.json {
		return printJSON(out, r)
	}
	if r.Problem != "" {
		hint := "run: " + f.doctor()
		if f.stack != "" { // status needs it
			hint += ", and: " + operate.Command("status", f.given()...)
		}
		if _, err := fmt.Fprintf(out, "%s\n  hint: %s\n", paint(out, red, "PROBLEM: "+r.Problem), hint); err != nil {
			return err
		}
	}
	for _, hop := range r.Hops {
		if _, err := fmt.Fprintf(out, "%9.1f ms  %s\n", hop.MS, hop.Name); err != nil {
			return err
		}
	}
	if r.Writes == 0 {
		return nil
	}
	text := fmt.Sprintf("item %q of prefix %q, written %d times", r.Key, operate.ProbePrefix, r.Writes)
	if r.Writes == 1 {
		text = fmt.Sprintf("item %q of prefix %q, written once", r.Key, operate.ProbePrefix)
	}
	if r.Removed {
		text += ", was removed with its journal and its queue"
	}
	if r.Left != "" {
		text += "; " + r.Left
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
