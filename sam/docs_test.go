package sam_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// row describes a parameter or variable, according to docs/reference.md or to template and code.
type row struct{ of, kind, defaultValue string }

// documented reads the table in docs/reference.md. Its keys are "of name", such as "stack Sync".
func documented(t *testing.T) map[string]row {
	t.Helper()
	data, err := os.ReadFile("../docs/reference.md")
	require.NoError(t, err)
	all := map[string]row{}
	_, section, found := strings.Cut(string(data), "\n## All parameters and variables\n")
	require.True(t, found)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
		if len(cells) < 7 || strings.HasPrefix(cells[1], " ---") || strings.TrimSpace(cells[1]) == "name" {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		assert.NotEmpty(t, cells[5], line)
		all[cells[2]+" "+cells[1]] = row{cells[2], cells[3], cells[4]}
	}
	return all
}

// parameters returns the template's parameters.
func (all template) parameters() map[string]row {
	rows := map[string]row{}
	for name, p := range all.Parameters {
		kind, defaultValue := p.Type, fmt.Sprint(p.Default)
		if defaultValue == "" {
			defaultValue = "empty"
		}
		if kind == "String" && len(p.AllowedValues) > 0 {
			kind = strings.Trim(strings.ReplaceAll(fmt.Sprint(p.AllowedValues), " ", ", "), "[]")
		}
		rows["stack "+name] = row{"stack", kind, defaultValue}
	}
	return rows
}

var (
	requiredVariable = regexp.MustCompile(`vars\.Required\("(\w+)"`)
	numberVariable   = regexp.MustCompile(`vars\.Int\("(\w+)", ([0-9<]+)\)`)
	zeroVariable     = regexp.MustCompile(`vars\.(?:IntUpTo|Number)\("(\w+)"`)
	plainVariable    = regexp.MustCompile(`os\.Getenv\("(\w+)"\)`)
	anyVariable      = regexp.MustCompile(`(vars\.\w+|os\.Getenv)\("`)
)

// variables returns the environment variables that a function's main.go reads.
func variables(t *testing.T, function string) map[string]row {
	t.Helper()
	data, err := os.ReadFile(function + "/main.go")
	require.NoError(t, err)
	rows := map[string]row{}
	for _, m := range requiredVariable.FindAllStringSubmatch(string(data), -1) {
		rows[function+" "+m[1]] = row{function, "String", "required"}
	}
	for _, m := range numberVariable.FindAllStringSubmatch(string(data), -1) {
		rows[function+" "+m[1]] = row{function, "Number", number(t, m[2])}
	}
	for _, m := range zeroVariable.FindAllStringSubmatch(string(data), -1) {
		rows[function+" "+m[1]] = row{function, "Number", "0"}
	}
	for _, m := range plainVariable.FindAllStringSubmatch(string(data), -1) {
		rows[function+" "+m[1]] = row{function, "String", "empty"}
	}
	assert.Len(t, rows, len(anyVariable.FindAll(data, -1)), "this test misses a variable of %s", function)
	return rows
}

// number evaluates a number in Go syntax: 256<<10 becomes 262144.
func number(t *testing.T, text string) string {
	t.Helper()
	base, shift, _ := strings.Cut(text, "<<")
	n, err := strconv.Atoi(base)
	require.NoError(t, err)
	if shift != "" {
		s, err := strconv.Atoi(shift)
		require.NoError(t, err)
		n <<= s
	}
	return strconv.Itoa(n)
}

// functions returns the template's functions by their folder.
func (all template) functions() map[string]resource {
	functions := map[string]resource{}
	for _, r := range all.Resources {
		if r.Type == "AWS::Serverless::Function" {
			functions[strings.Trim(strings.TrimPrefix(r.Properties["CodeUri"].(string), "sam/"), "/")] = r
		}
	}
	return functions
}

func TestDocumentationTemplateAndCodeAgree(t *testing.T) {
	all := readTemplate(t)
	want := all.parameters()
	for function, r := range all.functions() {
		its := variables(t, function)
		maps.Copy(want, its)
		set, _ := at(r.Properties, "Environment", "Variables").(map[string]any)
		for name := range set {
			assert.Contains(t, its, function+" "+name, "the template sets a variable that the function does not read")
		}
		for key, v := range its {
			if v.defaultValue == "required" {
				assert.Contains(t, set, strings.TrimPrefix(key, function+" "))
			}
		}
	}
	assert.Equal(t, want, documented(t))
}

// docs/reference.md lists every output, whether it is exported, and the condition under which it exists.
func TestOutputsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/reference.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(data), "\n## Outputs\n")
	require.True(t, found)
	documented := map[string][2]string{}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (yes|no) \\| (?:(always)|with `(\\w+)=true`) \\|")
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		documented[m[1]] = [2]string{m[2], m[3] + m[4]}
	}
	outputs := map[string][2]string{}
	for name, output := range readTemplate(t).Outputs {
		exported, exists := "no", "always"
		if at(output, "Export") != nil {
			exported = "yes"
		}
		if condition, ok := at(output, "Condition").(string); ok {
			exists = strings.TrimPrefix(condition, "Has")
		}
		outputs[name] = [2]string{exported, exists}
	}
	assert.Equal(t, outputs, documented)
}

// Every parameter is in a group of the console, and has a default and a description.
func TestEveryParameterHasAGroup(t *testing.T) {
	all := readTemplate(t)
	var grouped []string
	for _, group := range at(all.Metadata, "AWS::CloudFormation::Interface", "ParameterGroups").([]any) {
		grouped = append(grouped, texts(at(group, "Parameters"))...)
	}
	assert.ElementsMatch(t, slices.Sorted(maps.Keys(all.Parameters)), grouped)
	for name, p := range all.Parameters {
		assert.NotNil(t, p.Default, "%s has no default", name)
		assert.NotEmpty(t, p.Description, name)
	}
}
