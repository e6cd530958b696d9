// Package commandline runs the program warmflags against a deployed stack: the specifications in
// cmd/warmflags/testdata/stack, and the commands of a page of docs/.
package commandline

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/proof/console"
)

var update = flag.Bool("update", false, "write the files that scripts compare output with")

// Stack is a deployed stack, and the LaunchDarkly that it is synced with.
type Stack struct {
	Root     string           // the checkout
	Env      []string         // what programs need to reach AWS and LaunchDarkly; its PATH is extended
	Flip     func(key string) // changes a flag in LaunchDarkly, which sends a webhook
	Patience time.Duration    // how long anything may take
}

// Build builds the program, and returns the folder that it is in.
func Build(t *testing.T, root string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	build := exec.Command("go", "build", "-o", folder+"/", "./cmd/warmflags")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return folder
}

// Scripts runs cmd/warmflags/testdata/stack/*.txtar one after the other. The stack must be as it was when a script
// ends. The scripts have these commands besides testscript's:
//
//	warmflags ...                      runs the program
//	eventually PATTERN warmflags ...   repeats the command until its standard output matches
//	exit N                             fails unless the last run ended with exit code N
//	prints FILE                        compares the last run's output with a file of the script, as package console does
//	flip KEY                           changes a flag in LaunchDarkly, which sends a webhook
func (s Stack) Scripts(t *testing.T) {
	t.Helper()
	binaries, scripts := Build(t, s.Root), filepath.Join(s.Root, "cmd", "warmflags", "testdata", "stack")
	testscript.RunT(inOrder{t}, testscript.Params{
		Dir: scripts,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, s.Env...)
			env.Setenv("PATH", binaries+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Values["exit"] = new(int)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"warmflags": func(ts *testscript.TestScript, fails bool, args []string) {
				if code := run(ts, args); fails != (code != 0) {
					ts.Fatalf("exit code %d", code)
				}
			},
			"eventually": s.eventually,
			"prints":     console.Prints(scripts, *update),
			"exit": func(ts *testscript.TestScript, _ bool, args []string) {
				if code := *ts.Value("exit").(*int); len(args) != 1 || args[0] != strconv.Itoa(code) {
					ts.Fatalf("exit code %d, want %s", code, strings.Join(args, " "))
				}
			},
			"flip": func(_ *testscript.TestScript, _ bool, args []string) {
				for _, key := range args {
					s.Flip(key)
				}
			},
		},
	})
}

// run runs the program, and returns its exit code.
func run(ts *testscript.TestScript, args []string) int {
	code := ts.Value("exit").(*int)
	*code = 0
	if err := ts.Exec("warmflags", args...); err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		*code = exit.ExitCode()
	}
	return *code
}

func (s Stack) eventually(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 || args[1] != "warmflags" {
		ts.Fatalf("usage: eventually pattern warmflags argument...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for late := time.After(s.Patience); ; {
		run(ts, args[2:])
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-late:
			ts.Fatalf("no output that matches %s after %s", args[0], s.Patience)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// inOrder is a [testscript.T] whose scripts run one after the other.
type inOrder struct{ *testing.T }

// Parallel does nothing.
func (inOrder) Parallel() {}

// Run runs a script.
func (t inOrder) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(inOrder{t}) })
}

// Verbose implements [testscript.T].
func (inOrder) Verbose() bool { return testing.Verbose() }
