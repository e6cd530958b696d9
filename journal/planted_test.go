//go:build prove

package journal_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// The simulation must notice each of these faults.
func TestPlantedFaults(t *testing.T) {
	simulation := mutant.Suite{Package: ".", Run: "^TestContainersAreFreshWithinTheInterval$", Timeout: 2 * time.Minute}
	simulation.Mutants = []mutant.Mutant{
		mutant.Fault("skip an entry", "row.go", "for _, e := range j.entries[int64(len(j.entries))-missed:] {",
			"for _, e := range j.entries[int64(len(j.entries))-missed+missed/2:] {"),
		mutant.Fault("take the first poll as the baseline", "poll.go", "all := known == nil ||",
			"if known == nil {\n		f.known = found\n		return func() {}, nil\n	}\n	all :="),
		mutant.Fault("join a poll from before a freeze", "poll.go",
			"if f.latest != nil && f.latest.began.Age(now) < f.latest.good {",
			"if f.latest != nil && (len(f.polls) > 0 || f.latest.began.Age(now) < f.latest.good) {"),
		mutant.Fault("use the monotonic clock only", "../internal/clock/clock.go",
			"return max(now.Mono-i.Mono, now.Wall-i.Wall)", "return now.Mono - i.Mono"),
		mutant.Fault("switch copies", "poll.go", "Key: rowKey(f.name)}",
			"Key: rowKey(name(f.prefix, f.region, rand.IntN(f.copies)))}"),
		mutant.Fault("never wake", "invocation.go", "waker.Wake()", "_ = waker"),
		mutant.Fault("append whatever the sequence is", "writer.go", `"#e = :e AND #s = :s"`, `"#e = :e OR #s = :s"`),
		mutant.Fault("deliver the same changes twice", "poll.go",
			"	f.known = found\n	f.stats.", "	if all {\n		f.known = found\n	}\n	f.stats."),
		mutant.Fault("treat missed entries as nothing new", "row.go",
			"		return nil, false\n", "		return nil, true\n"),
		mutant.Fault("ignore another history", "poll.go", "|| known.diverges(found) ", ""),
		mutant.Fault("no larger budget after a pause", "poll.go", "f.latest.began.Age(now) >= longPause", "false"),
		mutant.Fault("continue a journal that was off", "writer.go",
			"rowKey(name(prefix, w.Region, 0)),\n		})", "rowKey(name(prefix, w.Region, 99)),\n		})"),
	}
	mutant.Check(t, simulation)
}

// The simulation does not detect these faults, or not in every run. The tests of single rules do.
func TestPlantedFaultsOfSingleRules(t *testing.T) {
	tests := mutant.Suite{Package: ".", Timeout: time.Minute, Run: "^Test(AtMostOne|AnOlder|Answers|APoll|" +
		"Overlapping|Restored|ARestored|AWriterThat|Polls|Close|RunPolls|SeveralWriters|AnOld)"}
	tests.Mutants = []mutant.Mutant{
		mutant.Fault("cancel a poll that takes longer than the interval", "poll.go",
			"	if len(f.polls) == maxPolls {\n		f.polls[maxPolls-1].cancel()\n"+
				"		f.polls = f.polls[:maxPolls-1]",
			"	if len(f.polls) > 0 {\n		f.polls[0].cancel()\n		f.polls = nil"),
		mutant.Fault("poll in each invocation", "poll.go",
			"f.latest != nil && f.latest.began.Age(now) < f.latest.good", "false"),
		mutant.Fault("any number of polls", "poll.go", "	if len(f.polls) == maxPolls {", "	if false {"),
		mutant.Fault("a call whose poll was canceled fails", "follower.go",
			"		if p.canceled {", "		if false {"),
		mutant.Fault("accept a lower number at once", "poll.go",
			"found.seq < known.seq && found.consistent", "found.seq < known.seq"),
		mutant.Fault("store an outdated replica's answer", "poll.go", "	case found.seq <= known.seq:\n",
			"	case found.seq <= known.seq:\n		f.known = found\n"),
		mutant.Fault("never accept a lower number", "poll.go",
			" ||\n		found.seq < known.seq && found.consistent", ""),
		mutant.Fault("wake in each invocation", "invocation.go", "f.invoking == 1, f.extension", "true, f.extension"),
		mutant.Fault("never wake again", "invocation.go", "		f.invoking--\n", ""),
		mutant.Fault("always use the reconnect budget", "poll.go",
			"f.latest == nil || f.latest.began.Age(now) >= longPause", "true"),
		mutant.Fault("a writer accepts a lower number", "writer.go", "was.seq < wrote.seq || ", ""),
		mutant.Fault("a writer accepts another history", "writer.go",
			"(was.seq < wrote.seq || was.diverges(wrote))", "was.seq < wrote.seq"),
		mutant.Fault("a writer renews another writer's epoch", "writer.go",
			"was.seq < wrote.seq ||", "was.seq != wrote.seq ||"),
		mutant.Fault("the timer stops after a poll", "run.go",
			"		case <-time.After(pause):\n", "		case <-time.After(pause):\n			<-ctx.Done()\n"),
		mutant.Fault("the timer counts from the end of a poll", "run.go",
			"			pause -= p.began.Age(f.clock())\n", ""),
		mutant.Fault("polls outlive the follower", "follower.go", "	f.cancel()\n", ""),
	}
	mutant.Check(t, tests)
}
