//go:build prove

package table_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test(Equal|Compare|Rows|AFraction|ATomb|AReason|Same|Version)",
		Mutants: []mutant.Mutant{
			mutant.Fault("a tombstone holds back a lower version", "compare.go",
				" && (item.Deleted || !stored.IsTombstone())", ""),
			mutant.Fault("an older tombstone is written", "compare.go", "(item.Deleted || !stored.IsTombstone())",
				"!stored.IsTombstone()"),
			mutant.Fault("other writers' rows are equal", "item.go", "stored.foreign || ", ""),
			mutant.Fault("other writers' rows are broken", "row.go", "item.foreign = true\n",
				"item.foreign = true\n\t\treturn item, err\n"),
			mutant.Fault("text is not overwritten", "upsert.go", " OR NOT attribute_type(#v, :number)",
				" OR attribute_type(#v, :number) AND attribute_not_exists(#v)"),
			mutant.Fault("a reason is ignored", "compare.go", "w.Reason = item.Reason; w.Reason == \"\"",
				"w.Reason = \"\"; w.Reason == \"\""),
			mutant.Fault("numbers are compared as float64", "item.go", "\td.UseNumber()\n", ""),
		},
	})
}
