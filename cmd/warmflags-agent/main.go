// Warmflags-agent evaluates flags for programs in any language, over OFREP, OpenFeature's remote evaluation protocol.
// It runs as a Lambda extension or as a sidecar; docs/agent.md describes both. It reads these environment variables:
//
//	TABLE_NAME               the flag table
//	PREFIX                   the LaunchDarkly environment in it; default: no prefix
//	LD_SDK_KEY               LaunchDarkly's SDK key, for events; default: no events are sent
//	WARMFLAGS_ADDRESS        the address on which it listens, with port 0 on any; it is logged. Default: 127.0.0.1:8016
//	WARMFLAGS_API_KEY        the key that requests must have; required unless the address is loopback. Default: none
//	WARMFLAGS_POLL_INTERVAL  how old an evaluation may be, such as 500ms; 0 polls at each one. Default: 1s
//	WARMFLAGS_POLL_BUDGET    how long an evaluation waits for a poll; default: 20ms
//	WARMFLAGS_EVENTS_URI     the URI to which events are sent; default: LaunchDarkly's in the USA
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/warmflags/warmflags/internal/agent"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := agent.Main(ctx, os.Args[0], version); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}
