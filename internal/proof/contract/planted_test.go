//go:build prove

package contract_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// The cases notice an account that differs from AWS.
func TestPlantedFaults(t *testing.T) {
	plant := func(name, file, from, to string) mutant.Mutant {
		return mutant.Fault(name, "../../local/aws/"+file, from, to)
	}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestLocalAWS$", Mutants: []mutant.Mutant{
		plant("a missing attribute is unequal to nothing", "expression.go", "return !equal(i[name], v)",
			"return i[name] != nil && !equal(i[name], v)"),
		plant("an attribute's type is not compared", "expression.go", "return typeOf(i[name]) == dataType",
			"return typeOf(i[name]) == dataType || i[name] != nil"),
		plant("an unused value is ignored", "expression.go", "if e.err == nil && len(e.unused) > 0 {", "if false {"),
		plant("a canceled transaction is applied", "dynamodb_transact.go",
			"canceled, reasons[i].Message = true, &message",
			"canceled, reasons[i].Message = len(writes) == 1, &message"),
		plant("a write that changes nothing has a record", "table.go", "if !equalItems(old, next) {", "if true {"),
		plant("a scan returns the row at its start", "dynamodb_read.go", "\t\t\tfrom++\n", ""),
		plant("an iterator after a record begins at it", "stream.go", "range t.stream.records[after:]",
			"range t.stream.records[max(0, after-1):]"),
		plant("a page ends after its limit is crossed", "dynamodb_read.go", "bytes > limit {", "bytes*2 > limit*3 {"),
		plant("a FIFO queue forgets its IDs", "queue.go", "return known.id", "_ = known.id"),
		plant("a FIFO queue gives out a group twice", "queue.go", "q.fifo() && blocked[m.group]:",
			"q.fifo() && blocked[m.group+m.body]:"),
		plant("a message's attributes are lost", "sns_publish.go", "MessageAttributes: n.attributes}",
			"MessageAttributes: nil}"),
	}})
}
