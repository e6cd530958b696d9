//go:build prove

package v4store_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	const run = "^TestFeatureStoreSuite$|^TestInitWithConcurrentWriters$|^TestRowsOfOtherWriters|^TestTombstones"
	mutant.Check(t, mutant.Suite{Package: ".", Run: run, Mutants: tableFaults})
}

var tableFaults = []mutant.Mutant{
	mutant.Fault("an item with the same version is written", "dynamodb_rows.go", `#v < :v"`, `#v <= :v"`),
	mutant.Fault("a row whose version is a string is kept", "dynamodb_rows.go", ` OR NOT attribute_type(#v, :N)`,
		` OR NOT attribute_type(#v, :N) AND attribute_not_exists(#v)`),
	mutant.Fault("a row without a comparable version cannot be read", "dynamodb.go", "	text, err := itemOf(r)\n",
		"	if _, err := versionOf(r); err != nil {\n		return none, err\n	}\n	text, err := itemOf(r)\n"),
	mutant.Fault("a row without a comparable version is equal", "dynamodb_init.go",
		"errors.Join(errA, errB, errItemA, errItemB) != nil || versionA != versionB",
		"errors.Join(errItemA, errItemB) != nil || errors.Join(errA, errB) == nil && versionA != versionB"),
	mutant.Fault("null is not a tombstone", "dynamodb.go", "if into == nil {", "if false {"),
	mutant.Fault("tombstones are returned", "dynamodb.go", "if item.IsDeleted() {", "if false {"),
	mutant.Fault("only one page is read", "dynamodb_rows.go", "if len(out.LastEvaluatedKey) == 0 {", "if true {"),
	mutant.Fault("the prefix is ignored", "dynamodb_rows.go", "layout.Namespace(r.prefix, name)",
		`layout.Namespace("", name)`),
	mutant.Fault("Init removes nothing", "dynamodb_init.go", "if _, stays := items[key]; !stays {", "if false {"),
	mutant.Fault("Init overwrites a newer row", "dynamodb_init.go", "err == nil && theirs < version",
		"err == nil && theirs != version+1<<20"),
	mutant.Fault("Init keeps an older row", "dynamodb_init.go", "err == nil && theirs < version",
		"err == nil && theirs > version"),
	mutant.Fault("Init compares only versions", "dynamodb_init.go", "return itemA == itemB || equalJSON(itemA, itemB)",
		"return len(itemA+itemB) > 0"),
	mutant.Fault("the last batch is not written", "dynamodb_init.go", "if begin < len(writes) {", "if false {"),
	mutant.Fault("a new row of another writer is overwritten", "dynamodb_init.go",
		`parts := []string{"attribute_not_exists(#n)"}`,
		`parts := []string{"attribute_exists(#n) OR attribute_not_exists(#n)"}`),
	mutant.Fault("only the version is compared", "dynamodb_init.go", `[]string{"v", "i"}`, `[]string{"v"}`),
	mutant.Fault("a changed row is not retried", "dynamodb_init.go", "if w.needed(now) {",
		"if w.needed(now) && w.put == nil {"),
	mutant.Fault("throttled writes are not retried", "dynamodb_init.go", `case "None", "", "TransactionConflict"`,
		"case \"None\":\n\t\tcase \"\", \"TransactionConflict\""),
	mutant.Fault("the marker is not read", "dynamodb.go", "return r != nil, err", "return true, err"),
}
