//go:build prove

package flagsync_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaultsInTheStream(t *testing.T) {
	const table, dynamostore = "../table/", "../../dynamostore/"
	mutant.Check(t, mutant.Suite{
		Package: ".",
		Run: "^Test(TheTable|Items|Events|AMalformed|TheStream|TheRequest|Status|AnEvent|InitAnd|FlagsCome|AShort|" +
			"AFlagThat|ASlow|Guards)",
		Timeout: 5 * time.Minute,
		Mutants: []mutant.Mutant{
			mutant.Fault("a patch before the put counts", "feed.go", "len(u.items) == 0 || puts == 0",
				"len(u.items) == 0"),
			mutant.Fault("a deletion of an unknown key is dropped", "inbox.go", "known && item.Version <= last.number",
				"!known && item.Deleted || known && item.Version <= last.number"),
			mutant.Fault("a lower version counts", "inbox.go", "known && item.Version <= last.number",
				"known && item.Version < 0*last.number"),
			mutant.Fault("a flag that is created again is late", "inbox.go", "if last.deleted && !item.Deleted {",
				"if false {"),
			mutant.Fault("a slow payload is given up", "feed.go", "left = min(time.Until(f.lastData.Add(limit)), ",
				"left = min(0, "),
			mutant.Fault("a payload that never ends is awaited", "feed.go", ", time.Until(last))",
				", time.Until(last)+time.Hour)"),
			mutant.Fault("a put is added to what came before", "inbox.go",
				"in.whole, in.items, in.versions = true, u.items, map", "in.whole, in.versions = true, map"),
			mutant.Fault("a repeated put is ignored", "feed.go", "\t\t\tf.put(u)\n",
				"\t\t\tif puts == 1 {\n\t\t\t\tf.put(u)\n\t\t\t}\n"),
			mutant.Fault("a broken connection ends the stream", "feed.go", "if errors.Is(err, errFinal) {",
				"if err != nil || errors.Is(err, errFinal) {"),
			mutant.Fault("a malformed event is skipped", "feed.go", "\t\tcase err != nil:\n\t\t\treturn err\n",
				"\t\tcase err != nil:\n\t\t\treturn nil\n"),
			mutant.Fault("an earlier connection's put counts for this one", "feed.go",
				"u, err := parseEvent(e.Event(), e.Data())",
				"puts = max(puts, 1)\n\t\tu, err := parseEvent(e.Event(), e.Data())"),
			mutant.Fault("a wrong URI is retried", "stream.go", "case code >= 400 && code < 500:", "case code >= 600:"),
			mutant.Fault("too many requests are final", "stream.go", " || code == http.StatusTooManyRequests", ""),
			mutant.Fault("an event is not bounded", "stream.go", "l.left.Add(-int64(n)) < 0", "l.left.Load() < 0"),
			mutant.Fault("a refused item is written", table+"item.go", "item.Reason = err.Error()", "_ = err"),
			mutant.Fault("what Go cannot parse is not reported", "evaluator.go", "found = append(found, e)", "_ = e"),
			mutant.Fault("Init compares as received", dynamostore+"store.go", "environment.Same = sameForSDK(all)", ""),
			mutant.Fault("a rewrite is not announced", "flagsync.go", "\t\ts.announce(ctx, d)\n", ""),
			mutant.Fault("flags come before their prerequisites", "event.go", "\t\t\t\tvisit(j)\n", "\t\t\t\t_ = j\n"),
			mutant.Fault("an empty environment is never written", "guard.go",
				"rows[features]+removed[segments] > 0", "flags == 0"),
		},
	})
}
