// Command warmflags is for the person on call: it shows what warmflags does and whether a deployment works, and repairs
// it.
// docs/cli.md describes every command.
package main

//go:generate go test -count=1 -run ^TestSpecification$ . -update
//go:generate go test -count=1 -run ^TestPage$ . -update

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(program{os.Stdout, os.Stderr, os.Getenv, connectAWS}.run(ctx, os.Args[1:]...))
}
