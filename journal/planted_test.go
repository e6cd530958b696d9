//go:build prove

package journal_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// The simulation must notice each of these faults.
func TestPlantedFaults(t *testing.T) {
	freeze := mutant.Mutant{Name: "count a read from before a freeze", Edits: []mutant.Edit{
		{File: "follower.go", Old: "if f.looked && f.began.age(now) < f.good {", New: "if f.look != nil || f.looked && f.began.age(now) < f.good {"},
		{File: "follower.go", Old: "l.waiters == 0 && f.look == l {", New: "l.waiters < 0 && f.look == l {"},
	}}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestContainersAreFreshWithinTheInterval$", Timeout: 2 * time.Minute, Mutants: []mutant.Mutant{
		mutant.Fault("skip an entry", "row.go", "for _, e := range s.entries[int64(len(s.entries))-missed:] {",
			"for _, e := range s.entries[int64(len(s.entries))-missed+missed/2:] {"),
		mutant.Fault("trust an older replica", "follower.go", "	if found.seq <= known.seq {\n", "	if found.seq <= known.seq {\n\t\tf.known = found\n"),
		mutant.Fault("take the first look as the baseline", "follower.go", "		f.known = found\n		f.stats.InvalidateAll++\n		f.sink.InvalidateAll()\n		return nil\n	}\n	if found.seq <=",
			"		f.known = found\n		return nil\n	}\n	if found.seq <="),
		freeze,
		mutant.Fault("look at the monotonic hand only", "clock.go", "return max(now.mono-i.mono, now.wall-i.wall)", "return now.mono - i.mono"),
		mutant.Fault("forget to append after a partial publish", "../streamhandler/publish.go",
			"if s.after == nil || len(published) == 0 {", "if s.after == nil || len(published) == 0 || firstErr != nil {"),
		mutant.Fault("switch copies", "follower.go", "Key: rowKey(f.name)}", "Key: rowKey(name(f.prefix, f.region, rand.IntN(f.copies)))}"),
		mutant.Fault("nobody calls Wake", "lambda.go", "waker.Wake()", "_ = waker"),
		mutant.Fault("append whatever the sequence is", "writer.go", `"#e = :e AND #s = :s"`, `"#e = :e OR #s = :s"`),
		mutant.Fault("begin the sequence again after a failure", "follower.go", "	f.known = found\n	changes, complete", "	changes, complete"),
		mutant.Fault("take falling behind for nothing new", "row.go", "		return nil, false\n", "		return nil, true\n"),
	}})
}
