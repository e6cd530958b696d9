//go:build prove

package operate_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test(Status|Probe|Tail)", Timeout: time.Minute, // two faults hang
		Mutants: []mutant.Mutant{
			mutant.Fault(
				"a disabled mapping is fine",
				"judge.go",
				"\tcase !s.enabled():\n",
				"\tcase s.State == \"\":\n",
			),
			mutant.Fault(
				"an old stream is fine",
				"judge.go",
				"\tcase s.ARN != s.Current:\n",
				"\tcase s.ARN == \"\":\n",
			),
			mutant.Fault(
				"what is not known is fine",
				"judge.go",
				"\tcase s.NotKnown != \"\":\n\t\tr.problem(\"it is not known whether changes",
				"\tcase s.NotKnown == \"-\":\n\t\tr.problem(\"it is not known whether changes",
			),
			mutant.Fault(
				"a webhook that was refused long ago is a problem",
				"judge.go",
				" || w.Refused.Time.After(*w.Accepted)",
				" || w.RefusedCount > 0",
			),
			mutant.Fault(
				"doctor's own request counts as a refused webhook",
				"status_webhooks.go",
				"l.Sum == unsignedSum",
				"l.Sum == \"\"",
			),
			mutant.Fault(
				"the first measurement of the lag counts",
				"status_pipeline.go",
				"t.After(latest)",
				"latest.IsZero()",
			),
			mutant.Fault(
				"alarms that were not evaluated are fine",
				"status_pipeline.go",
				"if evaluated < found {",
				"if evaluated > found {",
			),
			mutant.Fault("no consumer is null in JSON", "status.go",
				"Consumers{List: []Consumer{}}", "Consumers{}"),
			mutant.Fault(
				"a process that ended reads its queue",
				"status_consumers.go",
				"r.now.Sub(beat) >= subscriber.DefaultOrphanAfter",
				"r.now.Before(beat)",
			),
			mutant.Fault("the probe leaves its journal", "probe.go", "range p.copies {", "range 0 {"),
			mutant.Fault(
				"the probe does not wait for its removal's announcement",
				"probe.go",
				"p.report.Problem != \"\" || !p.removalAnnounced(ctx)",
				"p.report.Problem != \"\"",
			),
			mutant.Fault("the probe writes once", "probe.go", "\t\t\tagain.Reset(writeAgainAfter)\n", ""),
			mutant.Fault(
				"an interrupted probe leaves its item",
				"probe.go",
				"p.remove(context.WithoutCancel(ctx))",
				"p.remove(ctx)",
			),
			mutant.Fault("tail waits for a topic that it may not read", "tail.go", "\t\tc.cancel()\n", ""),
			mutant.Fault("tail shows all environments", "tail.go", "*o.Prefix != m.Prefix", "*o.Prefix == \"-\""),
		},
	})
}
