//go:build prove

package extension_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^Test[AEFO]", Timeout: time.Minute, Mutants: []mutant.Mutant{
		mutant.Fault("flush before the answer", "extension.go", "	defer h.extension.Ended(ctx)\n",
			"	defer h.extension.Ended(ctx)\n	defer h.extension.flush(ctx, h.extension.config.FlushBudget)\n"),
		mutant.Fault("ask for the next event during the flush", "extension.go",
			"			e.flush(limit, e.config.FlushBudget)\n",
			"			go e.flush(limit, e.config.FlushBudget)\n"),
		mutant.Fault("flush before the handler ended", "extension.go",
			"if !e.config.Wrapped() || e.await(limit, invocation.RequestID) {", "if true {"),
		mutant.Fault("wait for a handler that is not wrapped", "extension.go", "if !e.config.Wrapped() || ", "if "),
		mutant.Fault("flush after each invocation", "extension.go", "		if !e.due() {", "		if false {"),
		mutant.Fault("never flush again", "extension.go",
			"e.flushed.Age(e.config.Clock()) >= e.config.Interval", "false"),
		mutant.Fault("flush until the deadline", "extension.go", ".Add(-deadlineMargin)", ""),
		mutant.Fault("flush without a budget", "extension.go",
			"context.WithTimeout(ctx, budget)", "context.WithCancel(ctx)"),
		mutant.Fault("several flushes at a time", "extension.go", "budget <= 0 || e.flushing", "budget <= 0"),
		mutant.Fault("ignore SIGTERM", "extension.go", "			e.flush(life, shutdownBudget)\n", ""),
		mutant.Fault("ask for events on Managed Instances", "extension.go",
			"		events = []string{}", "		_ = []string{}"),
	}})
}
