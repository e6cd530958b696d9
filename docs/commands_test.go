package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tested are the pages whose commands other tests run: those of cmd/warmflags and of the test module.
var tested = []string{"docs/cli.md", "docs/operating.md"}

// command is a command line of a page.
type command struct {
	page, text string
	// marked: its block's first line is "# needs ...". inline: it is no line of a block.
	marked, inline bool
}

// commands returns the command lines of all pages.
func commands(t *testing.T) (all []command) {
	t.Helper()
	for _, page := range pages(t) {
		all = append(all, commandsOf(page, read(t, page))...)
	}
	return all
}

var chain = regexp.MustCompile(` (?:&&|\|) `)

// commandsOf returns the command lines of a page: the lines of shell blocks, and code within a sentence.
func commandsOf(page, text string) (all []command) {
	prose, blocks := split(text)
	for _, b := range blocks {
		if b.language != "" && b.language != "sh" {
			continue
		}
		marked := strings.HasPrefix(b.text, "# needs ")
		for line := range strings.Lines(strings.ReplaceAll(b.text, "\\\n", "")) {
			for _, part := range chain.Split(strings.TrimSpace(line), -1) {
				all = append(all, command{page, part, marked, false})
			}
		}
	}
	for _, code := range codes(strings.ReplaceAll(prose, "\n", " ")) {
		all = append(all, command{page, strings.Join(strings.Fields(code), " "), false, true})
	}
	return all
}

func TestCommandsAreFound(t *testing.T) {
	page := "Run `make\n  test`:\n\n    # needs AWS\n    A=1 aws s3 \\\n      ls && sam build\n\n1. Item:\n\n       warmflags demo\n\n" +
		"```sh\ndocker ps\n```\n\n```go\nreturn\n```\n"
	assert.Equal(t, []command{
		{"p.md", "# needs AWS", true, false},
		{"p.md", "A=1 aws s3 ls", true, false},
		{"p.md", "sam build", true, false},
		{"p.md", "warmflags demo", false, false},
		{"p.md", "docker ps", false, false},
		{"p.md", "make test", false, true},
	}, commandsOf("p.md", page))
}

var (
	assignments = regexp.MustCompile(`^(?:[A-Z_]+=\S+ +)+`)
	program     = regexp.MustCompile(`^(?:go run \./cmd/warmflags|warmflags) +([a-z].*)$`)
	makes       = regexp.MustCompile(`^make ([a-z][a-z0-9-]*)`)
	goes        = regexp.MustCompile(`^go (?:-C (\S+) )?(?:run|test|build) `)
	folder      = regexp.MustCompile(`^\./[\w/-]+`)
	option      = regexp.MustCompile(`--[a-z][a-z-]*`)
	programs    = regexp.MustCompile(`^(?:go|make|warmflags|aws|sam|docker|ldcli|curl|openssl|pip|python3?|npm|npx|node|git) `)
	recipes     = regexp.MustCompile(`(?m)^\t+go .*\n`)
	runs        = regexp.MustCompile(`-run '?([^' ]+)'?`)
)

// A command in a block is run by make or by another test, or its block says what it needs. Code within a sentence is
// not tested.
func TestCommandsAreRunOrSayWhatTheyNeed(t *testing.T) {
	run := strings.Join(recipes.FindAllString(read(t, "Makefile")+read(t, "sam/Makefile"), -1), "")
	count := 0
	for _, c := range commands(t) {
		text := assignments.ReplaceAllString(c.text, "")
		if c.inline || slices.Contains(tested, c.page) || !programs.MatchString(text) {
			continue
		}
		count++
		text, _, _ = strings.Cut(text, " -o ") // where the result goes, and what is built
		assert.True(t, c.marked || strings.Contains(run, text),
			"%s: no test runs %q: let its block begin with \"# needs AWS\" or what it needs", c.page, c.text)
	}
	assert.Greater(t, count, 20)
}

// Every target of make that a page names exists.
func TestMakeTargetsExist(t *testing.T) {
	makefile, count := read(t, "Makefile"), 0
	for _, c := range commands(t) {
		if m := makes.FindStringSubmatch(c.text); m != nil {
			count++
			assert.Contains(t, makefile, "\n"+m[1]+":", "%s: %q", c.page, c.text)
		}
	}
	assert.Greater(t, count, 20)
}

// Every folder that a go command of a page names exists, and every -run matches a test or benchmark in one of them.
func TestGoCommandsNameWhatExists(t *testing.T) {
	count := 0
	for _, c := range commands(t) {
		text := assignments.ReplaceAllString(c.text, "")
		m := goes.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		count++
		var code strings.Builder
		for word := range strings.FieldsSeq(text) {
			place := folder.FindString(word)
			if word == "." {
				place = "."
			}
			if place == "" || strings.Contains(word, "PACKAGE") {
				continue
			}
			dir := filepath.Join("..", m[1], place)
			_, err := os.Stat(dir)
			require.NoError(t, err, "%s: %q", c.page, c.text)
			files, err := filepath.Glob(dir + "/*_test.go")
			require.NoError(t, err)
			for _, file := range files {
				data, err := os.ReadFile(file)
				require.NoError(t, err)
				code.Write(data)
			}
		}
		run := runs.FindStringSubmatch(text)
		if run == nil || run[1] == "^$" || code.Len() == 0 {
			continue
		}
		for _, pattern := range strings.Split(strings.ReplaceAll(run[1], `\|`, "|"), "|") {
			name := strings.Trim(pattern, "^$")
			end := ""
			if strings.HasSuffix(pattern, "$") {
				end = `\(`
			}
			assert.Regexp(t, `(?m)^func \w*`+name+end, code.String(), "%s: %q runs no test", c.page, c.text)
		}
	}
	assert.Greater(t, count, 15)
}

// Every command and option of warmflags that a page names exists.
func TestCommandsOfWarmflagsExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "warmflags")
	out, err := exec.Command("go", "build", "-o", binary, "../cmd/warmflags").CombinedOutput()
	require.NoError(t, err, string(out))
	help := map[string]string{}
	count := 0
	for _, c := range commands(t) {
		m := program.FindStringSubmatch(assignments.ReplaceAllString(c.text, ""))
		if m == nil || slices.Contains(tested, c.page) {
			continue
		}
		count++
		name := strings.Fields(m[1])[0]
		if _, known := help[name]; !known {
			out, err := exec.Command(binary, name, "--help").CombinedOutput()
			require.NoError(t, err, "%s: %q: there is no command %q", c.page, c.text, name)
			help[name] = string(out)
		}
		text, _, _ := strings.Cut(m[1], "#")
		for _, o := range option.FindAllString(text, -1) {
			assert.Regexp(t, o+`[ ,\n]`, help[name], "%s: %q", c.page, c.text)
		}
	}
	assert.Greater(t, count, 10)
}

// Every message that docs/troubleshooting.md quotes is in the code.
func TestQuotedMessagesExist(t *testing.T) {
	code := sources(t)
	prose, _ := split(read(t, "docs/troubleshooting.md"))
	count := 0
	for line := range strings.Lines(prose) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, quote := range codes(cells[1]) {
			if strings.Count(quote, " ") < 2 || strings.HasPrefix(quote, "GET ") {
				continue
			}
			count++
			for _, part := range strings.Split(quote, "...") {
				part = strings.Trim(part, `"`)
				part = regexp.MustCompile(`\b\d+m?s\b`).ReplaceAllString(part, "%v")
				assert.Contains(t, code, strings.TrimSpace(part), "no program writes %q", quote)
			}
		}
	}
	assert.GreaterOrEqual(t, count, 10)
}

// sources returns the text of all Go files of the root module except tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".." {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			data, err := os.ReadFile(path)
			all.Write(data)
			return err
		}
		return err
	}))
	return all.String()
}
