package operate

import (
	"fmt"
	"strings"
	"time"
)

// lagLimit is the age of changes at which the alarm ChangesNotPublished fires too.
const lagLimit = time.Minute

// judge fills in the problems, the worst first, and the outcome. The order of the calls is the order of the problems:
// changes that no cache learns of, then environments that are not synced, then what is late, then what can wait.
func (r *Report) judge() {
	r.Problems, r.NotKnown = []Problem{}, []string{}
	r.judgeStream()
	r.judgeKeys()
	for i := range r.Environments.List {
		r.judgeSync(&r.Environments.List[i])
	}
	for i := range r.Environments.List {
		r.judgeDifferences(&r.Environments.List[i])
	}
	r.judgeQueue("the sync's requests", &r.Requests)
	r.judgeQueue("the reports of expired changes", &r.Expired)
	r.judgeLag()
	for _, a := range r.Alarms.Firing {
		r.problem("alarm "+a.Name+" fires: "+a.Text, "docs/alarms.md says what to do about each alarm")
	}
	r.judgeWebhooks()
	r.judgeConsumers()
	r.listNotKnown()
	r.OK = len(r.Problems) == 0
	r.Outcome = r.outcome()
}

// outcome is the report in one line.
func (r *Report) outcome() string {
	if !r.OK {
		text := "PROBLEM: " + r.Problems[0].Problem
		if more := len(r.Problems) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		return text
	}
	// Without a problem, each environment's rows are equal, or there is no key to compare them with.
	text := "OK: the table is equal to LaunchDarkly, and changes are published"
	if !r.synced() {
		text = "OK: changes are published"
	}
	if n := len(r.NotKnown); n > 0 {
		text += fmt.Sprintf("; not known: %d of the parts below", n)
	}
	return text
}

// synced reports whether rows were compared with LaunchDarkly.
func (r *Report) synced() bool {
	for _, e := range r.Environments.List {
		if e.HasKey {
			return true
		}
	}
	return false
}

func (r *Report) problem(text, hint string) { r.Problems = append(r.Problems, Problem{text, hint}) }

// judgeStream reports whether changes are published; an unknown state is a problem.
func (r *Report) judgeStream() {
	s := &r.Stream
	switch {
	case s.NotKnown != "":
		r.problem("it is not known whether changes are published: "+s.NotKnown, "")
	case s.ID == "":
		r.problem(
			"changes are not published: StreamhandlerFunction has no event source mapping",
			"deploy the stack again",
		)
	case !s.enabled():
		r.problem("changes are not published: the event source mapping of the table's stream is "+s.State, r.enable(s.Mapping))
	case s.Current == "":
		r.problem("changes are not published: the table has no stream",
			"enable the stream with NEW_AND_OLD_IMAGES, and deploy with its ARN as ExistingTableStreamArn")
	case s.ARN != s.Current:
		r.problem("changes are not published: the event source mapping reads the old stream "+s.ARN,
			"deploy the stack again, with the current stream; run: "+r.fixes().deployStream(r.Stack, s.Current))
	case failed(s.LastResult):
		r.problem("the last changes could not be published: "+s.LastResult, "read the log of StreamhandlerFunction")
	}
}

// failed reports whether Lambda's LastProcessingResult is a failure.
func failed(result string) bool { return strings.HasPrefix(result, "PROBLEM") }

// enable is the hint that enables a mapping.
func (r *Report) enable(m Mapping) string { return "run: " + r.fixes().enableMapping(m.ID) }

func (r *Report) fixes() commands { return commands{region: r.Stack.Region} }

// doctor is the hint to look for a cause.
func (r *Report) doctor() string { return "run: " + r.Stack.command("doctor") }

// sync is a command that syncs an environment.
func (r *Report) sync(e *Environment, flags ...string) string {
	if e.Prefix != "" {
		flags = append([]string{"--prefix", e.Prefix}, flags...)
	}
	return r.Stack.command("sync", flags...)
}

func (r *Report) judgeKeys() {
	if e := &r.Environments; e.NotKnown != "" {
		r.problem("it is not known whether flags are up to date: "+e.NotKnown, "")
	} else if e.KeysNotKnown != "" {
		r.problem("the SDK keys cannot be read: "+e.KeysNotKnown, r.doctor())
	}
}

// judgeSync reports when an environment was synced, and why it cannot be.
func (r *Report) judgeSync(e *Environment) {
	s, name := &e.Sync, environmentName(e.Prefix)
	switch {
	case s.NotKnown != "":
		r.problem("it is not known when "+name+" was synced: "+s.NotKnown, "")
	case e.Differences.KeyRefused:
		r.problem(
			"LaunchDarkly refuses the SDK key of "+name,
			"put the environment's SDK key into the parameter; "+r.doctor(),
		)
	case !e.HasKey && s.Synced != nil && r.Environments.KeysNotKnown == "" && !r.Stack.onlyAnnounces():
		r.problem(name+" is no longer synced: there is no SDK key for it",
			"add the key to the parameter, or remove the environment's rows from the table")
	case e.HasKey && s.Synced == nil:
		r.problem(name+" was never synced", "run: "+r.sync(e)+"; read the log of FlagsyncFunction")
	case s.Late && e.HasKey:
		r.problem(
			fmt.Sprintf("%s was last synced %v ago", name, Seconds(s.Age)),
			"read the log of FlagsyncFunction; "+r.doctor(),
		)
	}
}

// onlyAnnounces reports whether another program writes the table.
func (s *Stack) onlyAnnounces() bool { return s != nil && s.Parameters["Sync"] == "false" }

func (r *Report) judgeDifferences(e *Environment) {
	d, name := &e.Differences, environmentName(e.Prefix)
	if !e.HasKey || d.KeyRefused {
		return
	}
	switch {
	case d.NotKnown != "":
		r.problem("it is not known whether "+name+" is equal to LaunchDarkly: "+d.NotKnown, r.doctor())
	case d.Guard != "":
		r.problem("a guard holds "+name+": "+d.Guard,
			"look at the environment in LaunchDarkly; if it is right, run: "+r.sync(e, "--force"))
	case d.differ() > 0:
		r.problem(name+" differs from LaunchDarkly in "+count(d.differ(), "row"),
			"a sync may be on its way: run this again in a minute; to write them now, run: "+r.sync(e))
	}
	if d.HeldBack > 0 {
		r.problem(count(d.HeldBack, "item")+" of "+name+" held back: the version is lower than the table's",
			"if LaunchDarkly is right, run: "+r.sync(e, "--force"))
	}
	if d.Refused > 0 {
		r.problem(
			count(d.Refused, "item")+" of "+name+" refused: DynamoDB cannot hold it",
			"run: "+r.sync(e, "--dry-run"),
		)
	}
}

// judgeQueue reports whether a function takes a queue's messages.
func (r *Report) judgeQueue(what string, q *Queue) {
	switch {
	case q.NotKnown != "" || r.Stack.onlyAnnounces() && q == &r.Requests:
	case q.ID == "":
		r.problem("nothing handles "+what+": there is no event source mapping", "deploy the stack again")
	case !q.enabled():
		r.problem("nothing handles "+what+": the event source mapping is "+q.State, r.enable(q.Mapping))
	}
	if q == &r.Expired && q.Waiting > 0 {
		r.problem("changes expired before they were published: "+count(q.Waiting, "report")+" waiting",
			"read the log of StreamFailureFunction")
	}
}

func (r *Report) judgeLag() {
	if l := r.Lag.Seconds; l != nil && *l >= lagLimit.Seconds() {
		r.problem(fmt.Sprintf("changes wait %v to be published", Seconds(*l).Round(time.Second)),
			"read the log of StreamhandlerFunction")
	}
}

// judgeWebhooks reports whether the last webhook was refused; those before one that was accepted are over. Requests
// without a signature are no problem: anyone can send them.
func (r *Report) judgeWebhooks() {
	w := &r.Webhooks
	if w.Refused != nil && (w.Accepted == nil || w.Refused.Time.After(*w.Accepted)) {
		r.problem(fmt.Sprintf("the last webhook was refused with status %d: %s", w.Refused.Status, w.Refused.Answer),
			"compare the webhook's secret in LaunchDarkly with the parameter; run: "+r.Stack.command("webhook send"))
	}
	for _, u := range w.UnknownEnvironments {
		if !r.hasKey(u.Prefix) {
			r.problem(
				fmt.Sprintf("%s for environment %q, which has no SDK key", count(u.Webhooks, "webhook"), u.Prefix),
				"correct the end of the webhook's URL in LaunchDarkly, or add the key to the parameter",
			)
		}
	}
}

// hasKey reports whether an environment has a key now; true also where the keys cannot be read.
func (r *Report) hasKey(prefix string) bool {
	for _, e := range r.Environments.List {
		if e.Prefix == prefix {
			return e.HasKey || r.Environments.KeysNotKnown != ""
		}
	}
	return r.Environments.NotKnown+r.Environments.KeysNotKnown != ""
}

func (r *Report) judgeConsumers() {
	orphans := 0
	for _, c := range r.Consumers.List {
		if c.Orphaned != "" {
			orphans++
		}
	}
	if orphans > 0 {
		r.problem(count(orphans, "consumer queue")+" without a reader", "run: "+r.Stack.command("reap"))
	}
}

// listNotKnown lists what could not be read, whether or not it is a problem.
func (r *Report) listNotKnown() {
	add := func(part, why string) {
		if why != "" {
			r.NotKnown = append(r.NotKnown, part+": "+why)
		}
	}
	add("stream", r.Stream.NotKnown)
	add("lag", r.Lag.NotKnown)
	add("environments", r.Environments.NotKnown)
	add("SDK keys", r.Environments.KeysNotKnown)
	for _, e := range r.Environments.List {
		name := environmentName(e.Prefix)
		add("sync of "+name, e.Sync.NotKnown)
		add("differences of "+name, e.Differences.NotKnown)
		add("journal of "+name, e.Journal.NotKnown)
	}
	add("requests", r.Requests.NotKnown)
	add("expired changes", r.Expired.NotKnown)
	add("alarms", r.Alarms.NotKnown)
	add("webhooks", r.Webhooks.NotKnown)
	add("consumers", r.Consumers.NotKnown)
	for _, c := range r.Consumers.List {
		add("consumer "+c.Endpoint, c.NotKnown)
	}
}

// environmentName names an environment in a sentence.
func environmentName(prefix string) string {
	if prefix == "" {
		return "the environment without a prefix"
	}
	return fmt.Sprintf("environment %q", prefix)
}

// Seconds returns a duration of so many seconds, to the millisecond.
func Seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}
