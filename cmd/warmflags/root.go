package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// errReported ends a command with exit code 1 after it has printed why.
var errReported = errors.New("reported")

// printJSON prints v for programs, and for people who look at it.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// run is the program: arguments in, exit code out.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runOn(ctx, connectAWS, args, stdout, stderr)
}

// runOn is run on an AWS account.
func runOn(ctx context.Context, connect connector, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "warmflags",
		Short:         "Feature flags that are in memory when a Lambda wakes up, and fresh after a flip",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(demoCommand(), syncCommand(connect), reapCommand(connect))
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		return 3
	case !errors.Is(err, errReported):
		_, _ = fmt.Fprintf(stderr, "warmflags: %v\nTry: warmflags --help\n", err)
	}
	return 1
}
