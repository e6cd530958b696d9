//go:build prove

package warmflags_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	woken := mutant.Mutant{Name: "every invocation wakes the cache, on Managed Instances too", Edits: []mutant.Edit{
		{File: "warmflags.go", Old: "	if f.inLambda {\n		return waker{f}",
			New: "	if true {\n		return waker{f}"},
		{File: "journal/invocation.go", Old: "f.invoking == 1", New: "f.invoking >= 1"},
	}}
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test", Timeout: 5 * time.Minute,
		Mutants: []mutant.Mutant{
			mutant.Fault("preload before the first poll", "options.go",
				"	if w.flags.store.Preloads() {", "	if false {"),
			woken,
			mutant.Fault("a wrapped invocation does not poll", "warmflags.go",
				"f.follower.Handler(lambda.NewHandler(h))", "lambda.NewHandler(h)"),
			mutant.Fault("a service does not poll", "warmflags.go", "_ = f.follower.Run(life)", "<-life.Done()"),
			mutant.Fault("a Lambda function polls on a timer too", "warmflags.go",
				"	if !f.inLambda {\n		f.polling.Go", "	if true {\n		f.polling.Go"),
			mutant.Fault("the cache follows the environment, not InLambda", "options.go",
				"cachedstore.InLambda(s.inLambda)", "cachedstore.InLambda(lambdaenv.Freezes())"),
			mutant.Fault("an invocation that is not wrapped is not logged", "warmflags.go", "invoked && f.wrapped",
				"!invoked && f.wrapped"),
			mutant.Fault("each evaluation without Handler is logged", "warmflags.go",
				"f.wrapped.CompareAndSwap(false, true)",
				"!f.wrapped.Load()"),
			mutant.Fault("a prefix without data starts", "warmflags.go", "InvalidateAll > 0 {", "InvalidateAll >= 0 {"),
			mutant.Fault("the marker is read although there is a journal", "warmflags.go", "InvalidateAll > 0 {",
				"InvalidateAll > 99 {"),
			mutant.Fault("a table that cannot be reached ends the start", "warmflags.go",
				"if err == nil || isConfiguration(err) {", "if err != nil {"),
			mutant.Fault("a table that cannot be reached is not logged", "warmflags.go",
				"if pollErr == nil {", "if false {"),
			mutant.Fault("a wrong table starts", "check.go", `"ResourceNotFoundException": `, `"ResourceMissing": `),
			mutant.Fault("the first problem hides the others", "options.go", "	if s.clientErr != nil {\n",
				"	if s.clientErr != nil && len(problems) == 0 {\n"),
			mutant.Fault("OnChange is called before the cache is invalidated", "warmflags.go",
				"		f.store.Invalidate(changes...)\n		f.onChange(changes...)",
				"		f.onChange(changes...)\n		f.store.Invalidate(changes...)"),
			mutant.Fault("no extension after a start without a table", "warmflags.go",
				"	f.start(ctx, s)\n", "	f.start(limited, s)\n"),
			mutant.Fault("the client waits for the connection", "warmflags.go",
				"	client, err := ld.MakeCustomClient(", "	<-polled\n	client, err := ld.MakeCustomClient("),
			mutant.Fault("Close does not wait", "warmflags.go", "case err := <-closed:",
				"case err := <-make(chan error):"),
		},
	})
}
