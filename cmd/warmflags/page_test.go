package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/console"
)

const (
	page  = "../../docs/cli.md"
	width = 110 // of the flags' descriptions
)

const introduction = `# The command line

<!-- go generate ./cmd/warmflags makes this page from the commands and the specifications in cmd/warmflags/testdata -->

[Operating](operating.md) is a walk through a deployment with these commands, and lists the permissions that they need.
Build the program with ` + "`go install github.com/warmflags/warmflags/cmd/warmflags@latest`" + `. Credentials, region and
endpoint are the AWS SDK's: ` + "`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL`" + `.

| exit code | meaning |
| --- | --- |
| 0 | all is well |
| 1 | the command failed; standard error says why |
| 2 | the command was called wrongly |
| 3 | the command worked, and found a problem: standard output says which |

Results go to standard output; errors, hints and progress go to standard error. With ` + "`--json`" + `, standard
output is one JSON value, or one in each line for a command that goes on. Color appears only on a terminal, and not if
` + "`NO_COLOR`" + ` is set.

These flags are the same for every command that uses them; for another command they are an error:

`

// TestPage fails unless docs/cli.md is what go generate makes of the commands and their specifications.
func TestPage(t *testing.T) {
	root := program{getenv: func(string) string { return "" }}.root()
	var b strings.Builder
	b.WriteString(introduction)
	block(&b, "text", root.PersistentFlags().FlagUsagesWrapped(width))
	examples, failures := specified(t, root)
	for _, cmd := range commands(root) {
		writeCommand(&b, cmd, examples[cmd.CommandPath()])
	}
	b.WriteString("\n## Errors\n\nAn error names what failed, and a hint says what to do.\n")
	for _, e := range failures {
		writeExample(&b, e)
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o600))
	}
	written, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Equal(t, b.String(), string(written), "run go generate ./cmd/warmflags")
}

// specified returns the specifications' examples by the command that they run, and those of commands that fail.
func specified(t *testing.T, root *cobra.Command) (examples map[string][]console.Example, failures []console.Example) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	onStack, err := filepath.Glob("testdata/stack/*.txtar")
	require.NoError(t, err)
	examples = map[string][]console.Example{}
	for _, script := range append(scripts, onStack...) {
		documented, err := console.Examples(script, "warmflags")
		require.NoError(t, err)
		for _, e := range documented {
			if e.Exit == "1" || e.Exit == "2" {
				failures = append(failures, e)
				continue
			}
			cmd, _, err := root.Find(strings.Fields(e.Args))
			require.NoError(t, err, "%s: %s", script, e.Args)
			examples[cmd.CommandPath()] = append(examples[cmd.CommandPath()], e)
		}
	}
	return examples, failures
}

// commands returns the commands that do something, in the order of their names.
func commands(cmd *cobra.Command) (all []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.Runnable() && sub.IsAvailableCommand() {
			all = append(all, sub)
		}
		if sub.Name() != "completion" { // its subcommands, one a shell, have cobra's help
			all = append(all, commands(sub)...)
		}
	}
	return all
}

func writeCommand(b *strings.Builder, cmd *cobra.Command, examples []console.Example) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
	text := "usage: " + cmd.UseLine() + "\n"
	if cmd.Long != "" {
		text += "\n" + cmd.Long + "\n"
	}
	cmd.InitDefaultHelpFlag()
	cmd.Flags().Lookup("help").Hidden = true
	if flags := cmd.LocalNonPersistentFlags().FlagUsagesWrapped(width); flags != "" {
		text += "\n" + flags
	}
	block(b, "text", text)
	if len(examples) == 0 && cmd.Example != "" {
		b.WriteString("\n")
		block(b, "text", cmd.Example+"\n")
	}
	for _, e := range examples {
		writeExample(b, e)
	}
}

func writeExample(b *strings.Builder, e console.Example) {
	fmt.Fprintf(b, "\n%s", e.Text)
	if e.Exit != "" {
		fmt.Fprintf(b, " Exit code %s.", e.Exit)
	}
	b.WriteString("\n\n")
	block(b, "console", "$ warmflags "+e.Args+"\n"+e.Output)
}

func block(b *strings.Builder, language, text string) {
	fmt.Fprintf(b, "```%s\n%s```\n", language, text)
}
