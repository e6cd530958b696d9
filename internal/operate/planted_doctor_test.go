//go:build prove

package operate_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaultsInDoctor(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^(TestDoctor|TestChecks)", Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault(
				"a mapping on an old stream counts",
				"doctor_mapping.go",
				"return aws.ToString(m.EventSourceArn) == want.source",
				"return aws.ToString(m.EventSourceArn) != \"\"",
			),
			mutant.Fault("a disabled mapping is not judged", "doctor_mapping.go",
				"case \"Disabled\", \"Disabling\":", "case \"Disabling\":"),
			mutant.Fault(
				"the filter is not compared",
				"doctor_mapping.go",
				"differ(\"the filter\", fmt.Sprintf(\"%q\", filter),",
				"differ(\"the filter\", fmt.Sprintf(\"%q\", m.filter+filter[:0]),",
			),
			mutant.Fault(
				"a webhook that accepts everything is fine",
				"doctor_webhook.go",
				"case a.Status == http.StatusUnauthorized:",
				"case a.Status == http.StatusUnauthorized || a.Status == http.StatusAccepted:",
			),
			mutant.Fault("a policy for every principal is fine", "doctor_policy.go",
				"return s.Effect == \"Allow\" &&", "return s.Effect == \"Allowed\" &&"),
			mutant.Fault("a clock that is behind is fine", "doctor_account.go",
				"if skew.Abs() > maxSkew {", "if skew > maxSkew {"),
			mutant.Fault("a missing permission is a problem of the stack", "doctor_account.go",
				"|| HasCode(err, \"AccessDeniedException\")", ""),
			mutant.Fault("a result without a name keeps none", "doctor.go",
				"if results[i][n].Name == \"\" {", "if results[i][n].Name == c.name {"),
		},
	})
}
