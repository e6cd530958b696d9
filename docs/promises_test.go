package docs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tests returns the text of all test files, in the repository's order.
func tests(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "../*_test.go").Output()
	if err != nil { // not a checkout
		out, err = exec.Command("find", "..", "-name", "*_test.go").Output()
	}
	require.NoError(t, err)
	var all strings.Builder
	for file := range strings.FieldsSeq(string(out)) {
		data, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		require.NoError(t, err)
		all.Write(data)
	}
	return all.String()
}

var (
	quoted  = regexp.MustCompile(`"([^"]+)"`)
	section = regexp.MustCompile(`(?m)^## `)
)

// Each promise of docs/promises.md has a fast test, and all tests and planted faults that it names exist.
func TestPromises(t *testing.T) {
	all, promises := tests(t), 0
	for _, part := range section.Split(read(t, "docs/promises.md"), -1) {
		if !strings.Contains(part, "\n| promise |") {
			continue
		}
		for _, row := range table(t, part, "promise", "fast test", "history", "planted faults") {
			promises++
			require.Len(t, row, 4, row)
			assert.NotEmpty(t, codes(row[1]), "a promise without a fast test: %s", row[0])
			for _, name := range append(codes(row[1]), codes(row[2])...) {
				assert.Contains(
					t,
					all,
					"\nfunc "+name+"(t *testing.T) {",
					"there is no test %s, which is to prove:%s",
					name,
					row[0],
				)
			}
			for _, fault := range quoted.FindAllStringSubmatch(row[3], -1) {
				assert.Contains(
					t,
					all,
					fault[0],
					"there is no planted fault %s, which is to break:%s",
					fault[0],
					row[0],
				)
			}
		}
	}
	assert.Greater(t, promises, 40)
}
