package contract_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/contract"
	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// Each case in a bubble of its own, so that long polls and visibility time-outs take no time.
func TestLocalAWS(t *testing.T) {
	for _, c := range contract.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud := localaws.New()
				defer cloud.Close()
				cloud.Logger = slog.New(slog.NewTextHandler(io.Discard, nil)) // what a policy refuses
				c.Run(t, contract.Account{DynamoDB: cloud.DynamoDB, Streams: cloud.Streams, SNS: cloud.SNS, SQS: cloud.SQS})
			})
		})
	}
}

// The cases, in a program that lists them by service.
func Example() {
	count := map[string]int{}
	for _, c := range contract.Cases() {
		count[c.Service()]++
	}
	fmt.Println(len(count), "services")
	// Output: 4 services
}

// An account that does otherwise is noticed.
func TestPlantedFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the tests once for each fault")
	}
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
