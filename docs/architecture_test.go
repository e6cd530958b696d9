package docs_test

import (
	"encoding/json"
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

const module = "github.com/warmflags/warmflags"

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile("../" + path)
	require.NoError(t, err)
	return string(data)
}

var code = regexp.MustCompile("`([^`]+)`")

// codes returns what is in backquotes.
func codes(text string) (list []string) {
	for _, m := range code.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// table returns the cells of the table whose header begins with these names.
func table(t *testing.T, page string, header ...string) (rows [][]string) {
	t.Helper()
	_, rest, found := strings.Cut(page, "\n| "+strings.Join(header, " | ")+" |\n")
	require.True(t, found, header)
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.HasPrefix(line, "| ---") {
			continue
		}
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "|"), "|")
		rows = append(rows, strings.Split(line, "|"))
	}
	require.NotEmpty(t, rows)
	return rows
}

// listed is a package as go list prints it.
type listed struct {
	ImportPath    string
	Imports, Deps []string
	GoFiles       []string
}

// short returns a package's path in the repository; the root package is "warmflags".
func short(path string) string {
	if path == module {
		return "warmflags"
	}
	return strings.TrimPrefix(path, module+"/")
}

// packages lists the packages of a module, which is a folder of the repository.
func packages(t *testing.T, folder string) map[string]listed {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,GoFiles", "./...")
	command.Dir = "../" + folder
	out, err := command.Output()
	require.NoError(t, err)
	all := map[string]listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p listed
		require.NoError(t, d.Decode(&p))
		if len(p.GoFiles) > 0 {
			all[short(p.ImportPath)] = p
		}
	}
	return all
}

// The tables of docs/architecture.md say what each package may import, and what it must not depend on.
func TestArchitecture(t *testing.T) {
	page := read(t, "docs/architecture.md")
	all := packages(t, ".")
	rows := table(t, page, "package", "what it does", "may import")
	place, allowed := map[string]int{}, map[string][]string{}
	for i, row := range rows {
		require.Len(t, row, 3, row)
		name := codes(row[0])[0]
		place[name], allowed[name] = i, codes(row[2])
		assert.Contains(t, all, name, "the table has a package that does not exist")
	}
	for name, p := range all {
		if strings.HasPrefix(name, "internal/proof/") {
			continue
		}
		require.Contains(t, place, name, "the table does not have a package")
		for _, path := range p.Imports {
			if imported := short(path); imported != path || path == module {
				assert.Contains(t, allowed[name], imported, "%s imports it, which the table does not allow", name)
			}
		}
	}
	for name, imports := range allowed {
		for _, imported := range imports {
			assert.Greater(
				t,
				place[imported],
				place[name],
				"%s may import %s, which must exist and stand below it",
				name,
				imported,
			)
		}
	}
}

func TestArchitectureNamesWhatAPackageMustNotDependOn(t *testing.T) {
	all := packages(t, ".")
	for name, p := range packages(t, "v4store") {
		all[name] = p
	}
	for _, row := range table(t, read(t, "docs/architecture.md"), "package", "must not depend on", "because") {
		forbidden := codes(row[1])
		for _, name := range codes(row[0]) {
			require.Contains(t, all, name)
			for _, dep := range all[name].Deps {
				if len(forbidden) == 0 { // any other module
					first, _, _ := strings.Cut(dep, "/")
					assert.False(
						t,
						strings.Contains(first, ".") && !strings.HasPrefix(dep, module),
						"%s depends on %s",
						name,
						dep,
					)
				}
				for _, part := range forbidden {
					assert.NotContains(t, dep, "/"+part, "%s depends on it", name)
				}
			}
		}
	}
}

// What the page names in a file is there. TestLinksResolve checks the files themselves.
func TestArchitectureNamesWhereToChangeWhat(t *testing.T) {
	for _, row := range table(t, read(t, "docs/architecture.md"), "to change", "look at", "named") {
		var code strings.Builder
		for _, link := range linked.FindAllStringSubmatch(row[1], -1) {
			if path := filepath.Join("docs", link[1]); filepath.Ext(path) != "" {
				code.WriteString(read(t, path))
			}
		}
		for _, name := range codes(row[2]) {
			assert.Regexp(t, `(?m)^(?:func (?:\([^)]+\) )?|var | *)`+name+`\b`, code.String(), row[0])
		}
	}
}

// Every folder with Go code is in a table, and every module that go.mod requires itself.
func TestArchitectureIsComplete(t *testing.T) {
	page := read(t, "docs/architecture.md")
	var folders []string
	for _, row := range table(t, page, "folder", "what it is") {
		folders = append(folders, codes(row[0])[0])
	}
	entries, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, e := range entries {
		if _, err := os.Stat("../" + e.Name() + "/go.mod"); err == nil {
			assert.Contains(t, folders, e.Name(), "a module")
		}
	}
	for _, folder := range folders {
		_, err := os.Stat("../" + folder)
		assert.NoError(t, err)
	}
	require := regexp.MustCompile(`(?m)^\s*(?:require )?(\S+\.\S+/\S+) v\S+$`)
	for _, file := range []string{"go.mod", "v4store/go.mod"} {
		for _, m := range require.FindAllStringSubmatch(read(t, file), -1) {
			name := strings.TrimPrefix(m[1], "github.com/")
			name = regexp.MustCompile(`/v\d+$`).ReplaceAllString(name, "")
			last := name[strings.LastIndexByte(name, '/')+1:]
			named := func(s string) bool { return strings.Contains(page, "`"+s) }
			assert.True(
				t,
				name == "warmflags/warmflags" || named(name) ||
					slices.Contains([]string{"launchdarkly", "aws"}, strings.Split(name, "/")[0]) && named(last),
				"docs/architecture.md does not name %s of %s",
				m[1],
				file,
			)
		}
	}
}

// Every folder of internal/proof is in a row of its README, and the other way round.
func TestEachPartOfProofIsListed(t *testing.T) {
	var listed, folders []string
	for _, row := range table(t, read(t, "internal/proof/README.md"), "part", "what it proves", "command") {
		listed = append(listed, codes(row[0])...)
	}
	entries, err := os.ReadDir("../internal/proof")
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	assert.ElementsMatch(t, folders, listed)
}
