package flagsync_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/mutant"
)

// What internal/synchistory cannot see, as it judges the table: the retries, the watch, the calls.
func TestPlantedFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the tests once for each fault")
	}
	plant := func(name, file, from, to string) mutant.Mutant {
		return mutant.Mutant{Name: name, Edits: []mutant.Edit{{File: file, Old: from, New: to}}}
	}
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test(AFailed|ALost|TheHandler|Watch|AGuard|Late|SyncWrites|Metrics)",
		Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			plant("a failed batch keeps its visibility", "handler.go", "\t\th.retrySoon(ctx, event.Records)\n", ""),
			plant("a retry does not wait longer each time", "handler.go", "tries = max(tries, n)", "_ = n"),
			plant("no time is kept for the retry", "handler.go", "end = end.Add(-min(reserve, time.Until(end)/2))", ""),
			plant("a watch goes on under a lost fence", "watch.go", "if err := s.write(ctx, f, *t); err != nil {", "if err := s.write(ctx, f, *t); err != nil && ctx.Err() != nil {"),
			plant("a watch gives up when it loses its fence", "watch.go", "!began && !errors.Is(err, dynamostore.ErrFenceLost)", "!began || errors.Is(err, dynamostore.ErrFenceLost)"),
			plant("a watch ends with an error when it is told to", "watch.go", "\t\tif ctx.Err() != nil {\n\t\t\treturn nil\n\t\t}\n\t\tif errors", "\t\tif errors"),
			plant("a watch does not hear that the key is refused", "fetch.go", "case f.off <- givenUp(now.LastError):", "case f.off <- nil:"),
			plant("a pause never grows", "watch.go", "min(2*pause, lastPause)", "firstPause"),
			plant("late changes are not written", "flagsync.go", "\t\tif !news {\n", "\t\tif news {\n"),
			plant("every patch reads the whole environment", "capture.go", "if !c.whole {", "if c.whole = true; false {"),
			plant("a guard is not told from another", "guard.go", "rows[kind], kind, errRemovals)", "rows[kind], kind, errEmpty)"),
		},
	})
}
