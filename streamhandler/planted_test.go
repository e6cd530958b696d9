//go:build prove

package streamhandler_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	histories := []string{"-rapid.seed=1", "-rapid.checks=400", "-rapid.shrinktime=0s", "-rapid.nofailfile"}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestConsumersEndWithTheTable$", Args: histories, Mutants: []mutant.Mutant{
		mutant.Fault("the first record instead of the last", "batch.go", "\t\tit.record(row, r)", "\t\tif it.last == \"\" {\n\t\t\tit.record(row, r)\n\t\t}"),
		mutant.Fault("the highest version", "batch.go", "it.change.Version = row.after\n\t}", "}\n\tit.change.Version = max(it.highest, row.after)"),
		{Name: "the sequence number after the right one", Edits: []mutant.Edit{
			{File: "handler.go", Old: `"encoding/json"`, New: "\"encoding/json\"\n\t\"strconv\""},
			{File: "handler.go", Old: "\treturn events.DynamoDBEventResponse{\n", New: "\tn, _ := strconv.Atoi(from)\n\tfrom = strconv.Itoa(n+1)\n\treturn events.DynamoDBEventResponse{\n"},
		}},
		mutant.Fault("the item's last record instead of its first", "batch.go", "lowest, found = it.first, true", "lowest, found = it.last, true"),
		mutant.Fault("sequence numbers compared as text", "batch.go", "if len(a) != len(b) {", "if false {"),
		mutant.Fault("a message that failed is skipped", "publish.go", "\t\tmessages = messages[n:]", "\t\tif err != nil {\n\t\t\tmessages[0].published = true\n\t\t}\n\t\tmessages = messages[n:]"),
		mutant.Fault("messages after a failed one are taken for published", "batch.go", "if m.done {", "if m.done || found {"),
		mutant.Fault("a size without attributes", "message.go", "\tn := len(m.body)\n", "\tif true {\n\t\treturn len(m.body)\n\t}\n\tn := 0\n"),
		mutant.Fault("a batch of any size", "publish.go", "total > s.maxSize", "total > 2*s.maxSize"),
		mutant.Fault("failed entries of a batch are forgotten", "publish.go", "\t\tif m.published {\n\t\t\tcontinue", "\t\tif true {\n\t\t\tcontinue"),
		mutant.Fault("a refused message is dropped", "publish.go", "\tif !isRefusal(err) {\n\t\treturn err\n\t}\n\tempty", "\tif isRefusal(err) {\n\t\tm.published = true\n\t\treturn nil\n\t}\n\tif true {\n\t\treturn err\n\t}\n\tempty"),
		mutant.Fault("a refused message is tried again", "publish.go", "\tif !isRefusal(err) {\n\t\treturn err\n\t}\n\tempty", "\tif true {\n\t\treturn err\n\t}\n\tempty"),
		mutant.Fault("what was not appended is not tried again", "publish.go", "m.done = false", "m.done = true"),
	}})
}
