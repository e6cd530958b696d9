//go:build prove

package emf_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test", Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("the logger drops metrics", "emf.go",
				"for !logger.Enabled(ctx, level) && level < slog.LevelError {",
				"if !logger.Enabled(ctx, level) {\n\t\treturn\n\t}\n\tfor false {"),
			mutant.Fault("the empty value and a hyphen are equal", "emf.go", "return \"%2D\"", "return noValue"),
			mutant.Fault("characters that CloudWatch refuses are sent", "emf.go",
				"c <= ' ' || c > '~' || c == '%'", "c == '%'"),
		},
	})
}
