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

// imports are the packages that snippets may use, by the name that they use.
var imports = map[string]string{
	"aws": "github.com/aws/aws-sdk-go-v2/aws", "cachedstore": "github.com/warmflags/warmflags/cachedstore",
	"config": "github.com/aws/aws-sdk-go-v2/config", "context": "context", "dynamodb": "github.com/aws/aws-sdk-go-v2/service/dynamodb",
	"dynamostore": "github.com/warmflags/warmflags/dynamostore", "fmt": "fmt", "journal": "github.com/warmflags/warmflags/journal",
	"lambda": "github.com/aws/aws-lambda-go/lambda", "ld": "github.com/launchdarkly/go-server-sdk/v7",
	"ldcomponents": "github.com/launchdarkly/go-server-sdk/v7/ldcomponents", "ldcontext": "github.com/launchdarkly/go-sdk-common/v3/ldcontext",
	"log": "log", "os": "os", "signal": "os/signal", "subscriber": "github.com/warmflags/warmflags/subscriber", "syscall": "syscall",
	"time": "time", "warmflags": "github.com/warmflags/warmflags",
}

var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

// What the pages for users of Open show compiles: their snippets are declarations, to which only the imports are added.
func TestSnippetsCompile(t *testing.T) {
	for page, count := range map[string]int{"README.md": 2, "docs/lambda.md": 1, "docs/services.md": 3} {
		text, err := os.ReadFile(filepath.Join("..", page))
		require.NoError(t, err)
		found := snippet.FindAllStringSubmatch(string(text), -1)
		require.Len(t, found, count, page)
		for i, match := range found {
			require.NoError(t, compile(t, match[1]), "%s, snippet %d", page, i+1)
		}
	}
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
