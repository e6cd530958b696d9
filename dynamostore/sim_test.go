package dynamostore_test

import (
	"flag"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/mutant"
	"github.com/warmflags/warmflags/internal/proof/storehistory"
)

var seeds = flag.Int("sim.seeds", 400, "histories to play")

// Histories from a seed, each in a bubble, where waits cost nothing. test/ plays some of them on DynamoDB Local.
func TestHistories(t *testing.T) {
	var total storehistory.Report
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) {
			cloud := localaws.New()
			cloud.CreateFlagTable(table)
			report, err := storehistory.Run(t.Context(), storehistory.Options{
				Seed: uint64(seed), Client: cloud.DynamoDB, Table: table, Prefix: []string{"", "production"}[seed%2],
			})
			require.NoError(t, err)
			total.Add(report)
		})
	}
	t.Logf("%d histories: %+v", *seeds, total)
	for what, n := range map[string]int{
		"Inits": total.Inits, "upserts": total.Upserts, "transactions": total.Transactions,
		"canceled": total.Canceled, "lost answers": total.Silent, "crashes": total.Crashes,
	} {
		assert.NotZero(t, n, what)
	}
	assert.InDelta(t, 0.3, float64(total.Throttled)/float64(total.Calls), 0.05, "share of calls throttled")
}

func TestHistoriesNoticePlantedFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the tests once for each fault")
	}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestHistories$", Mutants: []mutant.Mutant{
		mutant.Fault("no condition", "write.go", `parts := []string{"attribute_exists(#n)"}`,
			`return "attribute_exists(#n) OR attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil
	parts := []string{}`),
		mutant.Fault("an absent row is not checked", "write.go", `return "attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil`,
			`return "attribute_exists(#n) OR attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil`),
		mutant.Fault("condition on the wrong row", "write.go", "condition, names, values := w.condition()", "condition, names, values := batch[len(batch)-1].condition()"),
		mutant.Fault("a changed row's condition is of another state", "write.go", "w.old = now\n", "w.old = row{attrVersion: number(int64(w.Version))}\n"),
		mutant.Fault("a changed row is written whatever its version", "write.go", "version >= ours {", "version > ours+100 {"),
		mutant.Fault("a changed row is forgotten", "write.go", "if again {", "if again && false {"),
		mutant.Fault("what was throttled is forgotten", "write.go", "left = append(left, batch[i])\n\t\tcase conditionFailed:",
			"if code == \"None\" {\n\t\t\t\tleft = append(left, batch[i])\n\t\t\t}\n\t\tcase conditionFailed:"),
		mutant.Fault("the marker first", "compare.go", "d.place(&write{Item: Item{Kind: markerInited, Key: marker}, namespace: marker, action: mark})",
			"d.writes = append([]*write{{Item: Item{Kind: markerInited, Key: marker}, namespace: marker, action: mark}}, d.writes...)"),
		mutant.Fault("removals are forgotten", "compare.go", "d.place(w)\n\t}\n\treturn d", "_ = w\n\t}\n\treturn d"),
	}})
}
