//go:build prove

package dynamostore_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	const table = "../internal/table/"
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^TestHistories$", Args: []string{"-sim.seeds=400"},
		Mutants: []mutant.Mutant{
			mutant.Fault("no condition", table+"transaction.go", `parts := []string{"attribute_exists(#n)"}`,
				`return "attribute_exists(#n) OR attribute_not_exists(#n)", `+
					`map[string]string{"#n": layout.AttrNamespace}, `+"nil\n\tparts := []string{}"),
			mutant.Fault("an absent row is not checked", table+"transaction.go",
				`return "attribute_not_exists(#n)", map[string]string{"#n": layout.AttrNamespace}, nil`,
				`return "attribute_exists(#n) OR attribute_not_exists(#n)", `+
					`map[string]string{"#n": layout.AttrNamespace}, nil`),
			mutant.Fault("condition on the wrong row", table+"transaction.go",
				"condition, names, values := w.condition()",
				"condition, names, values := batch[len(batch)-1].condition()"),
			mutant.Fault("a changed row's condition is not on the row that was read", table+"write.go", "w.old = now\n",
				"w.old = Row{\"version\": Number(int64(w.Version))}\n"),
			mutant.Fault("a changed row is written whatever its version", table+"write.go", "stored.Version >= ours {",
				"stored.Version > ours+100 {"),
			mutant.Fault("a changed row is not written", table+"write.go", "if again {", "if again && false {"),
			mutant.Fault("throttled rows are not written", table+"write.go",
				"left = append(left, batch[i])\n\t\tcase conditionFailed:",
				"if code == \"None\" {\n\t\t\t\tleft = append(left, batch[i])\n\t\t\t}\n\t\tcase conditionFailed:"),
			mutant.Fault("the marker is written first", table+"compare.go",
				"d.place(&write{Entry: Entry{Kind: layout.MarkerInited, Key: marker}, "+
					"namespace: marker, action: mark})",
				"d.writes = append([]*write{{Entry: Entry{Kind: layout.MarkerInited, Key: marker}, "+
					"namespace: marker, action: mark}}, d.writes...)"),
			mutant.Fault("removals are not written", table+"compare.go", "d.place(w)\n\t}\n\treturn d",
				"_ = w\n\t}\n\treturn d"),
		},
	})
}
