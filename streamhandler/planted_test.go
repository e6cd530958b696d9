//go:build prove

package streamhandler_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	histories := []string{"-rapid.seed=1", "-rapid.checks=150", "-rapid.shrinktime=0s", "-rapid.nofailfile"}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestConsumersEndWithTheTable$", Args: histories,
		Mutants: []mutant.Mutant{
			mutant.Fault("the first record instead of the last", "batch.go", "\t\tit.record(row, r)",
				"\t\tif it.last == \"\" {\n\t\t\tit.record(row, r)\n\t\t}"),
			mutant.Fault("the highest version", "batch.go", "it.change.Version = row.after\n\t}",
				"}\n\tit.change.Version = max(it.highest, row.after)"),
			{Name: "the sequence number after the right one", Edits: []mutant.Edit{
				{File: "handler.go", Old: `"encoding/json"`, New: "\"encoding/json\"\n\t\"strconv\""},
				{File: "handler.go", Old: "\treturn events.DynamoDBEventResponse{\n",
					New: "\tn, _ := strconv.Atoi(from)\n\tfrom = strconv.Itoa(n+1)\n" +
						"\treturn events.DynamoDBEventResponse{\n"},
			}},
			mutant.Fault("the item's last record instead of its first", "batch.go", "lowest, found = it.first, true",
				"lowest, found = it.last, true"),
			mutant.Fault("sequence numbers compared as text", "batch.go", "if len(a) != len(b) {", "if false {"),
			mutant.Fault("a message that failed is skipped", "publish.go", "\t\tmessages = messages[n:]",
				"\t\tif err != nil {\n\t\t\tmessages[0].published = true\n\t\t}\n\t\tmessages = messages[n:]"),
			mutant.Fault("messages after a failed one count as published", "batch.go", "if m.done {",
				"if m.done || found {"),
			mutant.Fault("a size without attributes", "message.go", "\tn := len(m.body)\n",
				"\tif true {\n\t\treturn len(m.body)\n\t}\n\tn := 0\n"),
			mutant.Fault("a batch without a size limit", "publish.go", "total > s.maxSize", "total > 2*s.maxSize"),
			mutant.Fault("failed entries of a batch are ignored", "publish.go", "\t\tif m.published {\n\t\t\tcontinue",
				"\t\tif true {\n\t\t\tcontinue"),
			mutant.Fault("a refused message is dropped", "publish.go",
				"\tif !isRefusal(err) {\n\t\treturn err\n\t}\n\tempty",
				"\tif isRefusal(err) {\n\t\tm.published = true\n\t\treturn nil\n\t}\n"+
					"\tif true {\n\t\treturn err\n\t}\n\tempty"),
			mutant.Fault("a refused message is retried", "publish.go",
				"\tif !isRefusal(err) {\n\t\treturn err\n\t}\n\tempty", "\tif true {\n\t\treturn err\n\t}\n\tempty"),
			mutant.Fault("a failed OnPublished is not retried", "publish.go", "m.done = err == nil || refused",
				"m.done = true"),
		}})
}

// One fault for each promise that a single test holds.
func TestPlantedFaultsOfSingleTests(t *testing.T) {
	single := "^(TestOnPublished.*|TestTombstones|TestRowsThatNoSDKReadsAreNotAnnounced|TestNamespaces|TestTexts.*|" +
		"TestTimes.*|TestInvokeReadsUnusualEvents|TestOtherViewTypes|TestFailureHandler.*)$"
	mutant.Check(t, mutant.Suite{Package: ".", Run: single, Mutants: []mutant.Mutant{
		mutant.Fault("a failure for one prefix fails all", "publish.go", "\t_ = calls.Wait() // failures are in errs\n",
			"\t_ = calls.Wait() // failures are in errs\n\tif errors.Join(errs...) != nil {\n"+
				"\t\tfor _, m := range messages {\n\t\t\tm.done = false\n\t\t}\n\t}\n"),
		mutant.Fault("prefixes wait for each other", "publish.go", "calls.SetLimit(maxConcurrentPrefixes)",
			"calls.SetLimit(1)"),
		mutant.Fault("a refusal by OnPublished blocks the shard", "publish.go", "refused := isRefusal(err)",
			"refused := false"),
		mutant.Fault("a canceled transaction is never a refusal", "publish.go", "refused = true", "refused = false"),
		mutant.Fault("any canceled transaction is a refusal", "publish.go",
			"return false // a retry can fail in another way", "refused = true"),
		mutant.Fault("a refusal by OnPublished is not counted", "publish.go",
			"m.notPassedOn = err", "m.notPassedOn = nil"),
		mutant.Fault("any prefix has a journal", "row.go", " && layout.CheckPrefix(prefix) == nil", ""),
		mutant.Fault("null is not a tombstone", "decode.go", `== "null" {`, `== "nothing" {`),
		mutant.Fault("the fast path ignores escapes", "decode.go", " && !bytes.Contains(quoted, []byte(`\\u`))", ""),
		mutant.Fault("no item is parsed", "decode.go", "named == bytes.Count(quoted, []byte(`\\\"deleted\\\":false`))",
			"true"),
		mutant.Fault("an item of any type counts", "decode.go", `string(kind) == "S" && d.is('"')`,
			`string(kind) != "" && d.is('"')`),
		mutant.Fault("invalid UTF-8 fails the event", "decode.go", "jsontext.AllowInvalidUTF8(true)",
			"jsontext.AllowInvalidUTF8(false)"),
		mutant.Fault("a duplicate name fails the event", "decode.go", "jsontext.AllowDuplicateNames(true)",
			"jsontext.AllowDuplicateNames(false)"),
		mutant.Fault("text after the event is accepted", "decode.go", "if d.err == nil && !d.end() {", "if false {"),
		mutant.Fault("one image without an item is enough to skip", "row.go",
			"complete := before.exists == after.exists", "complete := true"),
		mutant.Fault("markers are announced", "row.go", "case layout.IsMarker(kind):", "case false:"),
		mutant.Fault("a prefix without items is skipped", "failure.go", "\t\t\tprefixes = append(prefixes, prefix)\n",
			"\t\t\tif !layout.IsMarker(kind) {\n\t\t\t\tprefixes = append(prefixes, prefix)\n\t\t\t}\n"),
		mutant.Fault("each row is read", "../internal/table/namespaces.go",
			"Key(namespace.Value, lastKey)", "Key(namespace.Value, \"a\")"),
	}})
}
