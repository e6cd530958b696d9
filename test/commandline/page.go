package commandline

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/console"
)

// Page runs the commands in the console blocks of a page of docs/, in their order and in one session, and compares what
// they print with the page, as package console compares. The directive "flip KEY" changes a flag in LaunchDarkly, which
// sends a webhook. A command that only reads is repeated until it prints what the page shows, because a change takes a
// moment.
func (s Stack) Page(t *testing.T, name string) {
	t.Helper()
	file := filepath.Join(s.Root, "docs", name)
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	steps := console.Steps(string(page))
	require.NotEmpty(t, steps)
	session := s.session(t)
	outputs := make([]string, len(steps))
	for i, step := range steps {
		if key, flips := strings.CutPrefix(step.Directive, "flip "); flips {
			s.Flip(key)
			continue
		}
		require.Empty(t, step.Directive, "unknown directive")
		t.Logf("$ %s", step.Command)
		outputs[i] = session.until(t, step)
		if console.Normalize(outputs[i]) == console.Normalize(step.Output) {
			outputs[i] = step.Output
		} else if !*update {
			assert.Equal(
				t,
				console.Normalize(step.Output),
				console.Normalize(outputs[i]),
				"%s prints:\n%s",
				step.Command,
				outputs[i],
			)
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(console.Fill(string(page), outputs)), 0o600))
	}
}

// session is a shell whose variables are kept between commands.
type session struct {
	variables string // the file that they are in
	env       []string
	patience  time.Duration
}

func (s Stack) session(t *testing.T) session {
	t.Helper()
	path := Build(t, s.Root) + string(os.PathListSeparator)
	env := append(os.Environ(), s.Env...)
	for i, variable := range env {
		if value, isPath := strings.CutPrefix(variable, "PATH="); isPath {
			env[i] = "PATH=" + path + value
		}
	}
	patience := s.Patience
	if *update {
		patience = 10 * time.Second // what the page shows is about to change
	}
	return session{filepath.Join(t.TempDir(), "variables"), env, patience}
}

var (
	reads    = regexp.MustCompile(`^warmflags (status|doctor|get|list)\b`)
	trailing = regexp.MustCompile(`(?m) +$`)
)

// until runs a step's command, and returns what it printed last.
func (s session) until(t *testing.T, step console.Step) string {
	t.Helper()
	for late := time.After(s.patience); ; {
		printed := s.run(t, step.Command)
		if !reads.MatchString(step.Command) || console.Normalize(printed) == console.Normalize(step.Output) {
			return printed
		}
		select {
		case <-late:
			return printed
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// run runs a command, whatever its exit code is, and returns what it prints on standard output and then on standard
// error.
func (s session) run(t *testing.T, text string) string {
	t.Helper()
	const script = `[ ! -f "$0" ] || . "$0"
set -a
eval "$1"
export -p > "$0"`
	command := exec.CommandContext(t.Context(), "sh", "-c", script, s.variables, text)
	command.Env = s.env
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); !errors.As(err, new(*exec.ExitError)) {
		require.NoError(t, err)
	}
	return trailing.ReplaceAllString(stdout.String()+stderr.String(), "")
}
