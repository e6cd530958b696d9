//go:build prove

package webhook_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test", Timeout: 5 * time.Minute, // the machine may be busy
		Mutants: []mutant.Mutant{
			mutant.Fault("the prefix in the path is ignored", "webhook.go",
				"\tif prefix != \"\" {\n", "\tif len(prefix) < 0 {\n"),
			mutant.Fault("a slash at the end belongs to the prefix", "servers.go",
				"strings.TrimSuffix(strings.ReplaceAll(e.PathParameters[\"proxy\"], \"%25\", \"%\"), \"/\")",
				"strings.ReplaceAll(e.PathParameters[\"proxy\"], \"%25\", \"%\")"),
			mutant.Fault("an encoded percent sign stays encoded", "servers.go", "\"%25\", \"%\"", "\"%\", \"%\""),
			mutant.Fault("a key/value secret is accepted", "secrets.go",
				"&& json.Valid([]byte(text))", "&& !json.Valid([]byte(text))"),
			mutant.Fault("only the first secret is compared", "webhook.go",
				"\t\t\tmatched = true\n", "\t\t\tmatched = secret == secrets[0]\n"),
		},
	})
}
