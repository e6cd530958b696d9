// Package console compares what commands print with what documents show. A document shows real output; what differs
// from run to run, such as times and generated names, is compared by its form.
package console

import (
	"regexp"
	"strings"
)

// placeholders replace what differs from run to run, in this order.
var placeholders = []struct {
	form *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC)?`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`\b[0-9A-F]{12,13}\b`), "ID"}, // the end of a name that CloudFormation generates
	{regexp.MustCompile(`\b[0-9a-f]{8,10}\.execute-api\b`), "ID.execute-api"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d)(\d+(\.\d+)?(ms|s|m|h))*\b`), "DURATION"},
	{regexp.MustCompile(`  +`), " "}, // columns are as wide as what is in them
	{regexp.MustCompile(`\b\d+(\.\d+)? ms\b`), "DURATION"},
	{regexp.MustCompile(`"probe-[a-z2-7]{8}" of prefix "warmflags-probe", written (once|\d+ times)`), "PROBE"},
	// What a status shows of work that goes on: how much was done so far, and which change was the last.
	{regexp.MustCompile(`\bposition \d+; latest: .*`), "position N; latest: CHANGES"},
	{regexp.MustCompile(`\((OK - \d+ records|No records processed)\)`), "(RESULT)"},
	{regexp.MustCompile(`\bchange \d+ of \d+\b`), "change N of N"},
	{trailing, ""},
}

// Normalize returns text with placeholders for what differs from run to run: UUIDs, times of day, durations, generated
// names, and addresses of the loopback interface. Several spaces are one.
func Normalize(text string) string {
	for _, p := range placeholders {
		text = p.form.ReplaceAllString(text, p.name)
	}
	return strings.TrimSpace(text)
}

// Step is a command of a document and what it prints, or a directive, which readers do not see.
type Step struct {
	Directive string // of a line <!-- test: DIRECTIVE -->; empty for a command
	Command   string // for a shell; a line that ends with a backslash is continued
	Output    string // standard output and standard error
}

// Steps returns the commands of a Markdown page's console blocks, each a line that begins with "$ ", and the page's
// directives, in the page's order.
func Steps(page string) (steps []Step) {
	block, continued := false, false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		directive, isDirective := strings.CutPrefix(line, "<!-- test: ")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case line == "```console":
			block = true
		case strings.HasPrefix(line, "```"):
			block = false
		case !block && isDirective:
			steps = append(steps, Step{Directive: strings.TrimSuffix(directive, " -->")})
		case !block:
		case isCommand:
			steps = append(steps, Step{Command: command})
			continued = strings.HasSuffix(command, `\`)
		case len(steps) == 0 || steps[len(steps)-1].Command == "":
		case continued:
			last := &steps[len(steps)-1]
			last.Command += "\n" + line
			continued = strings.HasSuffix(line, `\`)
		default:
			steps[len(steps)-1].Output += line + "\n"
		}
	}
	return steps
}

// Fill returns the page with other outputs: of each of [Steps]' steps, in their order.
func Fill(page string, outputs []string) string {
	var b strings.Builder
	block, continued, next := false, false, 0
	for line := range strings.Lines(page) {
		text := strings.TrimSuffix(line, "\n")
		wasBlock := block
		command := block && (continued || strings.HasPrefix(text, "$ "))
		switch {
		case text == "```console":
			block = true
		case strings.HasPrefix(text, "```"):
			block = false
		case !block && strings.HasPrefix(text, "<!-- test: "):
			next++
		}
		if !block || !wasBlock || command {
			b.WriteString(line)
		}
		if continued = command && strings.HasSuffix(text, `\`); command && !continued {
			b.WriteString(outputs[next])
			next++
		}
	}
	return b.String()
}
