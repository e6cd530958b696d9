//go:build prove

package request_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test", Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("all environments are one message group", "request.go",
				"\tif r.Prefix == nil {\n", "\tif r.Prefix != nil || len(r.Reason) > 0 {\n"),
			mutant.Fault("the prefix is not in the de-duplication id", "request.go",
				"r.Cause + \"-\" + group", "r.Cause"),
			mutant.Fault("a body without a reason is a request", "request.go", " || r.Reason == \"\"", ""),
		},
	})
}
