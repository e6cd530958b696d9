//go:build prove

package flagsync_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// Faults in retries, in the watch and in the number of calls. internal/proof/synchistory judges only the table.
func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".",
		Run: "^Test(AFailed|ALost|AStack|ARequest|Requests|NoEnv|Which|What|Wrong|Unreadable|Keys|FirstSync|" +
			"Scheduled|OldestSync|TheHandler|Watch|AGuard|Late|SyncWrites|Counts)",
		Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("a failed request keeps its visibility", "handler.go",
				"\t\t\th.retrySoon(ctx, event.Records[i:])\n", ""),
			mutant.Fault("a retry does not wait longer each time", "handler.go",
				"firstRetryAfter<<min(max(attempts, 1)-1, 10)", "firstRetryAfter<<min(attempts, 0)"),
			mutant.Fault("no time is kept for the retry", "handler.go",
				"end = end.Add(-min(reserve, time.Until(end)/2))", ""),
			mutant.Fault("a watch goes on with a lost token", "watch.go",
				"if err := s.write(ctx, f, *b); err != nil {",
				"if err := s.write(ctx, f, *b); err != nil && ctx.Err() != nil {"),
			mutant.Fault("a watch gives up when it loses its token", "watch.go",
				"!began && !errors.Is(err, table.ErrTokenLost)", "!began || errors.Is(err, table.ErrTokenLost)"),
			mutant.Fault("a watch ends with an error when its context ends", "watch.go",
				"\t\tif ctx.Err() != nil {\n\t\t\treturn nil\n\t\t}\n\t\trefused", "\t\trefused"),
			mutant.Fault("a watch does not notice that the key is refused", "feed.go", "f.stopped <- err\n",
				"f.stopped <- errors.New(\"refused\")\n"),
			mutant.Fault("a pause never grows", "watch.go", "min(2*pause, lastPause)", "firstPause"),
			mutant.Fault("late changes are not written", "flagsync.go", "\t\tif !received {\n", "\t\tif received {\n"),
			mutant.Fault("every patch reads the whole environment", "inbox.go", "whole = in.whole\n", "whole = true\n"),
			mutant.Fault("a key that was rotated twice ends a watch", "keys.go", "\t\tkey = fresh\n",
				"\t\treturn run(fresh)\n"),
			mutant.Fault("a parameter that cannot be read ends a watch", "watch.go",
				" && !errors.Is(err, errKeyUnread)", ""),
			mutant.Fault("a failed request slows down all environments", "handler.go", "\t\t\terr = nil\n", ""),
			mutant.Fault("a wrong parameter is retried in silence", "handler.go", "errors.Is(err, parameter.ErrWrong)",
				"parameter.ErrWrong == nil"),
			mutant.Fault("what follows a failed request is acknowledged", "handler.go",
				"range event.Records[i:] {\n\t\t\tresponse", "range event.Records[i : i+1] {\n\t\t\tresponse"),
			mutant.Fault("unreadable requests are retried", "handler.go", "err != nil && !l.unreadable && ",
				"err != nil && "),
			mutant.Fault("held requests are not counted", "handler.go",
				"l.held = l.held || errors.Is(err, errHeld)", ""),
			mutant.Fault("requests are never coalesced", "handler.go", "state.Synced.Add(-clockSkew)",
				"state.Since.Add(-clockSkew)"),
			mutant.Fault("the clocks' skew is ignored", "handler.go", "state.Synced.Add(-clockSkew)", "state.Synced"),
			mutant.Fault("a held sync counts as done", "flagsync.go", "b.start, held)", "b.start, false)"),
			mutant.Fault("scheduled syncs linger", "handler.go", "Linger(-1)", "Linger(0)"),
			mutant.Fault("all environments are one message group", "all.go", "MessageGroupId: &m.Group",
				"MessageGroupId: aws.String(request.GroupAll)"),
			mutant.Fault("a message that was not sent is forgotten", "all.go", "if len(out.Failed) > 0 {",
				"if len(out.Failed) > maxBatch {"),
			mutant.Fault("requests handled twice are sent twice", "all.go", "Cause: l.record.MessageId}",
				`Cause: fmt.Sprintf("%p", l)}`),
			mutant.Fault("the youngest environment is measured", "all.go", "max(l.oldest, age)", "min(l.oldest, age)"),
			mutant.Fault("an environment that was never synced has no age", "all.go", "e.NoteSince(ctx, now)", "nil"),
			mutant.Fault("the guards share one error", "guard.go", "rows[kind], kind, errRemovals)",
				"rows[kind], kind, errEmpty)"),
		},
	})
}
