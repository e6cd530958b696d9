//go:build prove

package flagsync_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// What internal/proof/synchistory cannot see, as it judges the table: the retries, the watch, the calls.
func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test(AFailed|ALost|Others|TheHandler|Watch|AGuard|Late|SyncWrites|Metrics)",
		Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("a failed batch keeps its visibility", "handler.go", "\t\th.retrySoon(ctx, event.Records, o)\n", ""),
			mutant.Fault("a retry does not wait longer each time", "handler.go", "tries = max(tries, n)", "_ = n"),
			mutant.Fault("no time is kept for the retry", "handler.go", "end = end.Add(-min(reserve, time.Until(end)/2))", ""),
			mutant.Fault("a watch goes on under a lost fence", "watch.go", "if err := s.write(ctx, f, *t); err != nil {", "if err := s.write(ctx, f, *t); err != nil && ctx.Err() != nil {"),
			mutant.Fault("a watch gives up when it loses its fence", "watch.go", "!began && !errors.Is(err, table.ErrTokenLost)", "!began || errors.Is(err, table.ErrTokenLost)"),
			mutant.Fault("a watch ends with an error when it is told to", "watch.go", "\t\tif ctx.Err() != nil {\n\t\t\treturn nil\n\t\t}\n\t\trefused", "\t\trefused"),
			mutant.Fault("a watch does not hear that the key is refused", "fetch.go", "case f.off <- givenUp(now.LastError):", "case f.off <- nil:"),
			mutant.Fault("a pause never grows", "watch.go", "min(2*pause, lastPause)", "firstPause"),
			mutant.Fault("late changes are not written", "flagsync.go", "\t\tif !news {\n", "\t\tif news {\n"),
			mutant.Fault("every patch reads the whole environment", "capture.go", "if !c.whole {", "if c.whole = true; false {"),
			mutant.Fault("a key that was rotated twice ends a watch", "keys.go", "\t\tkey = fresh\n", "\t\treturn run(fresh)\n"),
			mutant.Fault("a parameter that cannot be read ends a watch", "watch.go", " && !errors.Is(err, errKeyUnread)", ""),
			mutant.Fault("others wait for one that fails", "handler.go", "most = othersRetryAfter", "most = lastRetryAfter"),
			mutant.Fault("a guard is not told from another", "guard.go", "rows[kind], kind, errRemovals)", "rows[kind], kind, errEmpty)"),
		},
	})
}
