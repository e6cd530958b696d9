//go:build prove

package operate_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaultsOfItems(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test(FindItem|Evaluate|Closest)", Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("other content of the same version is equal", "item.go",
				"case !table.SameJSON(there.JSON, row.JSON):", "case false:"),
			mutant.Fault("a tombstone is an item", "item.go", "return s.Exists && !s.Deleted", "return s.Exists"),
			mutant.Fault("the journal's oldest change of an item counts", "item.go",
				"for i := len(c.Changes) - 1; i >= 0; i-- {", "for i := range c.Changes {"),
			mutant.Fault("a change of unknown version announces the row", "item.go",
				"if change.Version == 0 && !change.Deleted {", "if false {"),
			mutant.Fault("a segment's change announces a flag", "item.go", "change.Kind != kind || ", ""),
			mutant.Fault(
				"a deleted prerequisite counts",
				"evaluate.go",
				"if err == nil && item.IsTombstone() {",
				"if false {",
			),
			mutant.Fault("a row that cannot be read is a missing item", "evaluate.go",
				"p.failed = append(p.failed, fmt.Errorf(\"read row", "_ = append(p.failed, fmt.Errorf(\"read row"),
			mutant.Fault("big segments of any age are up to date", "evaluate.go", "> staleBigSegments {", "> 1<<62 {"),
			mutant.Fault(
				"only prefixes of a name are close",
				"names.go",
				"strings.Contains(b, a)",
				"strings.HasPrefix(b, a)",
			),
		},
	})
}
