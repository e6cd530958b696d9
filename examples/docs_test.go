package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// imports lists the packages that snippets may use, by name.
var imports = map[string]string{
	"aws":          "github.com/aws/aws-sdk-go-v2/aws",
	"cachedstore":  "github.com/warmflags/warmflags/cachedstore",
	"config":       "github.com/aws/aws-sdk-go-v2/config",
	"context":      "context",
	"dynamodb":     "github.com/aws/aws-sdk-go-v2/service/dynamodb",
	"dynamostore":  "github.com/warmflags/warmflags/dynamostore",
	"fmt":          "fmt",
	"journal":      "github.com/warmflags/warmflags/journal",
	"lambda":       "github.com/aws/aws-lambda-go/lambda",
	"ld":           "github.com/launchdarkly/go-server-sdk/v7",
	"ldcomponents": "github.com/launchdarkly/go-server-sdk/v7/ldcomponents",
	"ldcontext":    "github.com/launchdarkly/go-sdk-common/v3/ldcontext",
	"ldtestdata":   "github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata",
	"log":          "log",
	"os":           "os",
	"signal":       "os/signal",
	"subscriber":   "github.com/warmflags/warmflags/subscriber",
	"syscall":      "syscall",
	"testing":      "testing",
	"time":         "time",
	"warmflags":    "github.com/warmflags/warmflags",
}

var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

// Every Go snippet in the README and in docs/ compiles: a snippet is a list of declarations, to which only the imports
// are added. v4store compiles the snippets of docs/migrating.md, which need several generations of LaunchDarkly's SDK,
// and metrics the snippets of docs/operating.md.
func TestSnippetsCompile(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	count := 0
	for _, page := range append(pages, "../README.md") {
		switch filepath.Base(page) {
		case "migrating.md", "operating.md":
			continue
		}
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for i, match := range snippet.FindAllStringSubmatch(string(text), -1) {
			count++
			require.NoError(t, compile(t, match[1]), "%s, snippet %d", page, i+1)
		}
	}
	require.GreaterOrEqual(t, count, 7)
}

func TestASnippetThatIsWrongDoesNotCompile(t *testing.T) {
	for _, wrong := range []string{"func main() { warmflags.Opne() }", "func main() { on := true }", "..."} {
		require.Error(t, compile(t, wrong))
	}
}

// compile compiles declarations as a program of this module.
func compile(t *testing.T, declarations string) error {
	var file strings.Builder
	fmt.Fprintln(&file, "package main")
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(declarations) {
			fmt.Fprintf(&file, "import %s %q\n", name, path)
		}
	}
	fmt.Fprintln(&file, declarations)
	if !strings.Contains(declarations, "func main()") {
		fmt.Fprintln(&file, "func main() {}")
	}
	program := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(program, []byte(file.String()), 0o600))
	if out, err := exec.Command("go", "vet", program).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
