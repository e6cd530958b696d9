package docs_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A comment, an error or a hint that sends a reader to a page names one that exists.
func TestPagesNamedInCodeExist(t *testing.T) {
	command := exec.Command("grep", "-rhoE", "--include=*.go", "--exclude=*_test.go", "--exclude-dir=.tools",
		"--exclude-dir=node_modules", `\bdocs/[A-Za-z0-9_-]+\.(md|json|svg)`, ".")
	command.Dir = ".."
	out, err := command.Output()
	require.NoError(t, err)
	for name := range strings.FieldsSeq(string(out)) {
		_, err := os.Stat("../" + name)
		require.NoError(t, err, name)
	}
}
