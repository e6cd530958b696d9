package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warmflags/warmflags/internal/operate"
)

func statusCommand(target *targetFlags) *cobra.Command {
	probe, copies := false, &copiesFlag{}
	cmd := &cobra.Command{
		Use:   "status --stack name",
		Short: "Whether flags are up to date and changes are published",
		Long: `Prints the outcome, and below it what it is made of: for each environment the last sync, the rows that
differ from LaunchDarkly, guards that hold and the journal; then the stream and its lag, requests that wait, consumers
with owner and heartbeat, alarms that fire, and webhooks of the last 24 hours that were refused or that name an
unknown environment. Everything is read at the same time. What cannot be read is "not known", with the reason. It
writes nothing.

With --probe it writes one item to the table, under the prefix ` + operate.ProbePrefix + ` that no sync touches,
follows it through stream and topic into a queue of its own and into the journal, prints the time for each step, and
removes item, journal and queue, also if it is interrupted. For that, --table and --topic are enough, with
--journal-copies if the journal is off or has several copies.

Permissions: cloudformation:DescribeStacks and DescribeStackResources; dynamodb:DescribeTable, Scan, GetItem and Query;
ssm:GetParameter; sqs:GetQueueAttributes, GetQueueUrl and ListQueueTags; sns:ListSubscriptionsByTopic;
lambda:ListEventSourceMappings; cloudwatch:DescribeAlarms and GetMetricStatistics; logs:FilterLogEvents. --probe needs
dynamodb:PutItem, DeleteItem and GetItem, and the stack's SubscriberPolicy.

Exit code 0: no problem, as far as is known. 1: it failed. 3: there is a problem, or it is not known whether flags are
up to date and changes are published; or the probe did not arrive.`,
		Example: `  warmflags status --stack warmflags
  warmflags status --stack warmflags --json | jq -r .outcome
  warmflags status --stack warmflags --probe`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case probe:
				return runProbe(cmd, target, copies)
			case cmd.Flags().Changed("journal-copies"):
				return usageError{errors.New("--journal-copies is for --probe")}
			}
			return runStatus(cmd, target)
		},
	}
	cmd.Flags().BoolVar(
		&probe,
		"probe",
		false,
		"write an item, follow it to topic and journal, print the times, and remove it",
	)
	copies.add(cmd)
	return cmd
}

func runStatus(cmd *cobra.Command, f *targetFlags) error {
	if f.stack == "" { // a table alone does not tell where to look
		return usageError{withHint(errors.New("no stack"), "pass --stack NAME (WARMFLAGS_STACK)")}
	}
	ctx, out, given := cmd.Context(), cmd.OutOrStdout(), f.given()
	t, err := f.open(ctx)
	if err != nil {
		return err
	}
	t.Flags = given
	report := operate.Status(ctx, t.account, &t.Stack, t.now())
	if ctx.Err() != nil {
		return ctx.Err() // parts that were interrupted are not a finding
	}
	if f.json {
		err = printJSON(out, report)
	} else {
		err = printStatus(out, report)
	}
	if err == nil && !report.OK {
		return errProblem
	}
	return err
}

// statusPrinter prints a report in two columns: names, and what is known.
type statusPrinter struct {
	out    io.Writer
	report *operate.Report
	err    error // the first one of a write
}

func (p *statusPrinter) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format, args...)
	}
}

// line prints one part, or why it is not known.
func (p *statusPrinter) line(name, notKnown, text string) {
	switch {
	case notKnown != "" && text != "":
		text += "; " + p.notKnown(notKnown)
	case notKnown != "":
		text = p.notKnown(notKnown)
	}
	p.printf("%-18s%s\n", name, text)
}

func (p *statusPrinter) notKnown(why string) string {
	return paint(p.out, yellow, "not known: ") + strings.ReplaceAll(why, "\n", "; ")
}

func printStatus(out io.Writer, r *operate.Report) error {
	p := &statusPrinter{out: out, report: r}
	outcomeColor := green
	if !r.OK {
		outcomeColor = red
	}
	p.printf("%s\n", paint(out, outcomeColor, strings.ReplaceAll(r.Outcome, "\n", "; ")))
	for i, problem := range r.Problems {
		if i > 0 {
			p.printf("%s\n", paint(out, red, "also: ")+strings.ReplaceAll(problem.Problem, "\n", "; "))
		}
		if problem.Hint != "" {
			p.printf("  hint: %s\n", problem.Hint)
		}
	}
	p.printf("\n")
	p.environments()
	p.stream()
	p.requests()
	p.consumers()
	p.alarms()
	p.webhooks()
	return p.err
}

func (p *statusPrinter) environments() {
	all := &p.report.Environments
	if all.NotKnown != "" {
		p.line("environments", all.NotKnown, "")
	}
	if all.KeysNotKnown != "" {
		p.line("SDK keys", all.KeysNotKnown, "")
	}
	for _, e := range all.List {
		name := strconv.Quote(e.Prefix)
		if e.Prefix == "" {
			name = "without a prefix"
		}
		p.printf("environment %s\n", name)
		p.sync(e)
		d := e.Differences
		p.line("  differences", d.NotKnown, differences(d))
		guard := "none holds"
		if d.Guard != "" {
			guard = strings.ReplaceAll(d.Guard, "\n", "; ")
		}
		if d.NotKnown != "" {
			guard = ""
		}
		p.line("  guards", d.NotKnown, guard)
		p.line("  journal", e.Journal.NotKnown, published(e.Journal))
	}
}

func (p *statusPrinter) sync(e operate.Environment) {
	text := "never"
	if e.Sync.Synced != nil {
		text = p.ago(*e.Sync.Synced)
	}
	if e.Sync.Held != nil {
		text += "; refused " + p.ago(*e.Sync.Held)
	}
	if e.Sync.NotKnown != "" {
		text = ""
	}
	p.line("  last sync", e.Sync.NotKnown, text)
}

// differences are the rows that differ, by kind of difference; empty if they are not known.
func differences(d operate.Differences) string {
	if d.NotKnown != "" {
		return ""
	}
	var parts []string
	for _, kind := range []struct {
		n    int
		name string
	}{
		{d.Add, "to add"}, {d.Update, "to update"}, {d.Remove, "to remove"},
		{d.HeldBack, "held back (lower version)"}, {d.Refused, "refused (too large)"},
	} {
		if kind.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", kind.n, kind.name))
		}
	}
	if d.Marker {
		parts = append(parts, "the marker $inited is missing")
	}
	if len(parts) == 0 {
		parts = append(parts, "none")
	}
	return fmt.Sprintf("%s; %d rows are equal", strings.Join(parts, ", "), d.Unchanged)
}

// published is what a journal holds.
func published(j operate.Journal) string {
	switch {
	case j.NotKnown != "":
		return ""
	case j.Off:
		return "off (JournalCopies is 0)"
	case !j.Exists:
		return "nothing was published yet"
	}
	text := fmt.Sprintf("position %d", j.Position)
	if len(j.Latest) == 0 {
		text += "; latest: anything may have changed"
	}
	for i, c := range j.Latest {
		separator := ", "
		if i == 0 {
			separator = "; latest: "
		}
		text += fmt.Sprintf("%s%s/%s %s", separator, c.Kind, c.Key, versionText(c.Version, c.Deleted))
	}
	return text
}

// versionText is a change's version in words.
func versionText(version int, deleted bool) string {
	switch {
	case deleted:
		return "deleted"
	case version == 0:
		return "(version not known)"
	}
	return "version " + strconv.Itoa(version)
}

func (p *statusPrinter) stream() {
	s, lag := &p.report.Stream, &p.report.Lag
	text := ""
	if s.NotKnown == "" {
		text = mappingText(s.Mapping)
		if s.ID != "" && s.ARN == s.Current {
			text += ", on the table's stream"
		} else if s.ID != "" {
			text += ", on the old stream " + s.ARN
		}
	}
	p.line("stream", s.NotKnown, text)
	text = "no measurement in the last 15 minutes; Lambda makes one for each batch"
	if lag.Seconds != nil {
		text = fmt.Sprintf("%v at %s", operate.Seconds(*lag.Seconds), lag.Time.Format(time.TimeOnly))
	}
	if lag.NotKnown != "" {
		text = ""
	}
	p.line("lag", lag.NotKnown, text)
}

// mappingText says whether an event source mapping works.
func mappingText(m operate.Mapping) string {
	if m.ID == "" {
		return "no event source mapping"
	}
	text := "event source mapping " + m.State
	if m.LastResult != "" {
		text += " (" + m.LastResult + ")"
	}
	return text
}

func (p *statusPrinter) requests() {
	for _, q := range []struct {
		name string
		operate.Queue
	}{{"requests", p.report.Requests}, {"expired changes", p.report.Expired}} {
		text := ""
		if q.NotKnown == "" {
			text = fmt.Sprintf("%d waiting, %d in work; %s", q.Waiting, q.InFlight, mappingText(q.Mapping))
		}
		if q.name == "requests" && p.report.Stack.Parameters["Sync"] == "false" {
			text = "none: this stack does not sync"
		}
		p.line(q.name, q.NotKnown, text)
	}
}

func (p *statusPrinter) consumers() {
	c := &p.report.Consumers
	text := strconv.Itoa(len(c.List))
	if c.NotKnown != "" {
		text = ""
	}
	p.line("consumers", c.NotKnown, text)
	for _, one := range c.List {
		text := one.Protocol + " " + one.Endpoint
		if one.Owner != "" {
			text += ", owner " + one.Owner
		}
		if one.Heartbeat != nil {
			text += ", alive " + p.ago(*one.Heartbeat)
		}
		if one.Pending {
			text += ", not confirmed"
		}
		if one.Orphaned != "" {
			text += ", " + paint(p.out, red, one.Orphaned)
		}
		p.line("", one.NotKnown, text)
	}
}

func (p *statusPrinter) alarms() {
	a := &p.report.Alarms
	text := ""
	switch {
	case len(a.Names) == 0:
		text = "the stack has none: see the parameter AlarmEmail"
	case len(a.Firing) > 0 || a.NotKnown == "":
		text = fmt.Sprintf("%d of %d fire", len(a.Firing), len(a.Names))
	}
	p.line("alarms", a.NotKnown, text)
	for _, one := range a.Firing {
		p.line("", "", one.Name+": "+one.Text)
	}
}

func (p *statusPrinter) webhooks() {
	w := &p.report.Webhooks
	text := "none accepted in 24 hours"
	if w.Accepted != nil {
		text = "last accepted " + p.ago(*w.Accepted)
	}
	if w.Refused != nil {
		text += fmt.Sprintf(
			"; %d refused, last %s: %d %s",
			w.RefusedCount,
			p.ago(w.Refused.Time),
			w.Refused.Status,
			w.Refused.Answer,
		)
	}
	if w.UnsignedCount > 0 {
		text += fmt.Sprintf("; %s without a signature refused: if LaunchDarkly sends them, turn on \"Sign this webhook\"",
			operate.Count(w.UnsignedCount, "request"))
	}
	for _, u := range w.UnknownEnvironments {
		text += fmt.Sprintf("; %d for unknown environment %q, last %s", u.Webhooks, u.Prefix, p.ago(u.Last))
	}
	if w.NotKnown != "" {
		text = ""
	}
	p.line("webhooks", w.NotKnown, text)
}

// ago is a moment, and how long before the report it was.
func (p *statusPrinter) ago(t time.Time) string {
	age := max(p.report.Time.Sub(t), 0).Round(time.Second)
	return fmt.Sprintf("%v ago (%s)", age, t.UTC().Format(time.RFC3339))
}

// given are the flags that name the deployment, for the commands in hints. After open, they include the region.
func (f *targetFlags) given() (flags []string) {
	named := f.named()
	for _, flag := range [][]string{
		{"--stack", named.Name}, {"--region", f.region}, {"--table", named.Table}, {"--topic", named.TopicARN},
	} {
		if flag[1] != "" {
			flags = append(flags, flag...)
		}
	}
	return flags
}

// doctor is the command that examines the deployment, for hints.
func (f *targetFlags) doctor() string {
	if named := f.named(); named.Name+named.Table+named.TopicARN == "" { // what is known of it is a URL
		return operate.Command("doctor", "--stack", "NAME")
	}
	return operate.Command("doctor", f.given()...)
}
