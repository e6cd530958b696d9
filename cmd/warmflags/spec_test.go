package main

import (
	"flag"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/warmflags/warmflags/internal/proof/console"
)

var update = flag.Bool("update", false, "write docs/cli.md, and the files that scripts compare output with")

// TestSpecification runs testdata/*.txtar: what every command prints, and how it fails. docs/cli.md is made of the
// same files.
//
// Each script has an account of its own: a LaunchDarkly with 2 flags and a segment, whose streaming URI is $STREAM,
// and the embedded engine, with the empty table "flags" and the stack "flags". There is no other AWS. The scripts have
// these commands besides testscript's:
//
//	warmflags ...   runs the program in this process, with the script's environment variables
//	exit N          fails unless the last run ended with exit code N
//	prints FILE     compares what the last run printed with a file of the script, as package console compares
//	flip KEY        changes a flag in LaunchDarkly
//
// A comment "# doc: TEXT" puts the run that follows it, and the file that it is compared with, into docs/cli.md.
// go test -update writes that page, and the files that differ.
func TestSpecification(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			a := startAccount(2)
			env.Defer(a.close)
			env.Values["account"] = a
			env.Setenv("STREAM", a.ld.URL())
			env.Setenv(keyVariable, testKey)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"warmflags": func(ts *testscript.TestScript, fails bool, args []string) {
				a := accountOf(ts)
				p := program{ts.Stdout(), ts.Stderr(), ts.Getenv, a.connect}
				a.exit = p.run(a.ctx, args...)
				if fails != (a.exit != exitOK) {
					ts.Fatalf("exit code %d", a.exit)
				}
			},
			"exit": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) != 1 || args[0] != strconv.Itoa(accountOf(ts).exit) {
					ts.Fatalf("exit code %d, want %s", accountOf(ts).exit, strings.Join(args, " "))
				}
			},
			"prints": console.Prints("testdata", *update),
			"flip": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, key := range args {
					accountOf(ts).ld.Flip(key)
				}
			},
		},
	})
}

func accountOf(ts *testscript.TestScript) *account { return ts.Value("account").(*account) }
