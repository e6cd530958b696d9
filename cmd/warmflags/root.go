package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// program is what a run of the program works with. The specifications in testdata/ replace all of it.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	connect        connector
}

// run runs the command that the arguments name, and returns the exit code.
func (p program) run(ctx context.Context, args ...string) int {
	root := p.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && cmd == root { // the only error that cobra itself makes is an unknown command
		err = usageError{suggestion(err)}
	}
	return finish(cmd, p.stderr, err)
}

// root returns the root of all commands.
func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "warmflags",
		Short:         "Feature flags that are in memory when a Lambda wakes up, and fresh after a flip",
		Version:       thisBuild().Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{plain(err)} })
	f := &targetFlags{program: p}
	f.add(root)
	root.AddCommand(
		demoCommand(f),
		doctorCommand(f),
		getCommand(f),
		invalidateCommand(f),
		listCommand(f),
		reapCommand(f),
		statusCommand(f),
		syncCommand(f),
		tailCommand(f),
		versionCommand(f),
		webhookCommand(f),
	)
	root.InitDefaultCompletionCmd()
	for name, flags := range unusedFlags {
		cmd, _, err := root.Find(strings.Fields(name))
		if err != nil {
			panic(err)
		}
		refuseFlags(cmd, flags)
	}
	checkArguments(root)
	return root
}
