//go:build prove

package parameter_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test", Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("a value is kept forever", "parameter.go", "p.read.Age(now) < maxAge", "p.read.Age(now) >= 0"),
			mutant.Fault("a refresh returns the known value", "parameter.go", "p.known && !refresh &&", "p.known &&"),
			mutant.Fault("a failed read returns the known value", "parameter.go",
				"case p.known && p.stale && !refresh:", "case p.known && !refresh:"),
			mutant.Fault("a missing parameter counts as throttling", "parameter.go", "\"ParameterNotFound\", ", ""),
			mutant.Fault("a call waits for its turn after its context has ended", "parameter.go",
				"case <-ctx.Done():\n\t\treturn none, fmt", "case <-make(chan int):\n\t\treturn none, fmt"),
		},
	})
}
