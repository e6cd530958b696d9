//go:build prove

package contract_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// An account that does otherwise is noticed.
func TestPlantedFaults(t *testing.T) {
	plant := func(name, file, from, to string) mutant.Mutant {
		return mutant.Fault(name, "../../local/aws/"+file, from, to)
	}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestLocalAWS$", Mutants: []mutant.Mutant{
		plant("a missing attribute is unequal to nothing", "expression/condition.go", "|| (a == nil) != (b == nil)", ""),
		plant("a canceled transaction is not", "dynamodb_transact.go", "\t\tcanceled = true\n\t}", "\t\tcanceled = len(reasons) == 1\n\t}"),
		plant("a record for a write that changes nothing", "table.go", " && !expression.EqualItems(old, next)", ""),
		plant("an iterator after a record begins at it", "streams_api.go", "*number = r.number + 1", "*number = r.number + int64(len(list)%2)"),
		plant("a page ends before its limit is crossed", "dynamodb_read.go", "p.bytes > limit", "p.bytes*2 > limit*3"),
		plant("a FIFO queue forgets its ids", "queue.go", "return known", "_ = known"),
		plant("a FIFO queue gives out a group twice", "queue.go", "if q.fifo() && blocked[m.group] {", "if q.fifo() && blocked[m.group+m.body] {"),
		plant("raw delivery is enveloped", "sns_publish.go", `raw := target.attributes["RawMessageDelivery"] == "true"`, `raw := target.attributes["RawMessageDelivery"] == "yes"`),
	}})
}
