package docs_test

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pages returns the paths of all Markdown files, from the repository's root.
func pages(t *testing.T) (list []string) {
	t.Helper()
	command := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
	command.Dir = ".."
	out, err := command.Output()
	if err != nil { // not a checkout
		command = exec.Command(
			"find",
			".",
			"-name",
			"*.md",
			"-not",
			"-path",
			"*/.*",
			"-not",
			"-path",
			"*/node_modules/*",
		)
		command.Dir = ".."
		out, err = command.Output()
	}
	require.NoError(t, err)
	for file := range strings.FieldsSeq(string(out)) {
		if _, err := os.Stat("../" + file); err == nil {
			list = append(list, path.Clean(file))
		}
	}
	require.NotEmpty(t, list)
	return list
}

// block is a code block of a page: fenced, or indented by four spaces more than the text around it.
type block struct{ language, text string }

var fenceLine = regexp.MustCompile("^ *```(\\w*)")

// split returns a page's text without its code blocks, and the blocks.
func split(page string) (prose string, blocks []block) {
	var text strings.Builder
	var open *block
	fenced, blank, margin := false, true, 0
	end := func() {
		if open != nil {
			blocks = append(blocks, *open)
			open = nil
		}
	}
	for line := range strings.Lines(page) {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		m := fenceLine.FindStringSubmatch(line)
		switch {
		case m != nil && fenced:
			fenced = false
			end()
		case m != nil:
			end()
			fenced, open = true, &block{language: m[1]}
		case fenced:
			open.text += line
		case strings.TrimSpace(line) == "":
			blank = true
			text.WriteString(line)
			continue
		case indent >= margin+4 && (open != nil || blank):
			if open == nil {
				open = &block{}
			}
			open.text += strings.TrimLeft(line, " ")
		default:
			end()
			margin = itemMargin(line, indent, margin)
			text.WriteString(line)
		}
		blank = false
	}
	end()
	return text.String(), blocks
}

var item = regexp.MustCompile(`^ *(?:[-*]|\d+\.) +`)

// itemMargin returns where the text of a list's item begins. Lines that continue it keep the margin.
func itemMargin(line string, indent, margin int) int {
	if marker := item.FindString(line); marker != "" {
		return len(marker)
	}
	return min(indent, margin)
}

var (
	heading  = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	inline   = regexp.MustCompile("`[^`]*`")
	linked   = regexp.MustCompile(`\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)`)
	external = regexp.MustCompile(`^[a-z]+:`)
)

// anchors returns the anchors of a page's headings, as GitHub makes them.
func anchors(page string) map[string]bool {
	prose, _ := split(page)
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		text := linked.ReplaceAllStringFunc(m[1], func(link string) string { return link[1:strings.Index(link, "](")] })
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, text)] = true
	}
	return all
}

// broken returns the relative links of a page that lead nowhere. read returns a file's text, or false.
func broken(file, page string, read func(string) (string, bool)) (list []string) {
	prose, _ := split(page)
	for _, m := range linked.FindAllStringSubmatch(inline.ReplaceAllString(prose, "``"), -1) {
		if external.MatchString(m[1]) {
			continue
		}
		target, anchor, hasAnchor := strings.Cut(m[1], "#")
		name := file
		if target != "" {
			name = path.Join(path.Dir(file), target)
		}
		text, exists := read(name)
		if !exists || hasAnchor && !anchors(text)[anchor] {
			list = append(list, m[1])
		}
	}
	return list
}

func TestLinksResolve(t *testing.T) {
	for _, page := range pages(t) {
		assert.Empty(t, broken(page, read(t, page), func(name string) (string, bool) {
			info, err := os.Stat("../" + name)
			if err != nil || info.IsDir() {
				return "", err == nil
			}
			return read(t, name), true
		}), page)
	}
}

// Lines fit into 120 columns, so that a diff fits on a screen. Rows of tables and lines that are one long link cannot
// be broken. The README can be read in five minutes.
func TestPagesAreShort(t *testing.T) {
	for _, page := range pages(t) {
		text := read(t, page)
		if slices.Contains(tested, page) { // whose blocks are what programs print
			text, _ = split(text)
		}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			whole := strings.HasPrefix(strings.TrimSpace(line), "|") || !strings.Contains(strings.TrimSpace(line), " ")
			assert.True(t, whole || utf8.RuneCountInString(line) <= 120, "%s: %s", page, line)
		}
	}
	readme := read(t, "README.md")
	assert.LessOrEqual(t, strings.Count(readme, "\n"), 150)
	assert.Less(t, len(readme), 9<<10)
}

func TestBrokenLinksAreFound(t *testing.T) {
	files := map[string]string{"docs/a.md": "# One two\n## `Open`'s *options*\n\n    # code\n", "b.md": ""}
	page := "[1](a.md#one-two) [2](../b.md) [3](a.md#opens-options) [`x`](#here) [4](https://example.com/no)\n# Here\n" +
		"`[5](no.md)`\n\n    [6](no.md)\n\n[7](a.md#code) [8](b.md) [9](#there) [a](../a.md)\n"
	found := broken("docs/c.md", page, func(name string) (string, bool) {
		files["docs/c.md"] = page
		text, ok := files[name]
		return text, ok
	})
	assert.Equal(t, []string{"a.md#code", "b.md", "#there", "../a.md"}, found)
}
