// Command warmflags shows what warmflags does (demo), makes a table equal to LaunchDarkly by hand (sync), and removes the
// queues that killed processes left behind (reap).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
