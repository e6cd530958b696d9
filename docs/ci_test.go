package docs_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestCIRunsEveryTarget compares .github/workflows/ci.yml with .ci/run: both run the same make targets.
func TestCIRunsEveryTarget(t *testing.T) {
	var workflow struct {
		Jobs struct {
			Make struct {
				Strategy struct{ Matrix struct{ Target []string } }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".github/workflows/ci.yml")), &workflow))
	loop := regexp.MustCompile(`for target in (.*); do`).FindStringSubmatch(read(t, ".ci/run"))
	require.NotNil(t, loop)
	makefile := read(t, "Makefile")
	var targets []string
	for _, target := range strings.Fields(loop[1]) {
		if target == "prove" { // too long for one job
			prove := regexp.MustCompile(`(?m)^prove: (.*?) ##`).FindStringSubmatch(makefile)
			require.NotNil(t, prove)
			targets = append(targets, strings.Fields(prove[1])...)
			continue
		}
		targets = append(targets, target)
	}
	assert.ElementsMatch(t, targets, workflow.Jobs.Make.Strategy.Matrix.Target)
	for _, target := range targets {
		assert.Regexp(t, `(?m)^`+target+`:`, makefile)
	}
}
