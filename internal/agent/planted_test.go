//go:build prove

package agent_test

import (
	"testing"
	"time"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test([^P]|Parse)", Timeout: 2 * time.Minute,
		Mutants: []mutant.Mutant{
			mutant.Fault("evaluate without a poll", "evaluate.go", "	_ = flags.Refresh(r.Context())", "	_ = flags"),
			mutant.Fault("send the value of a flag that is off without an off variation", "evaluate.go",
				"if !value.IsNull() {", "if true {"),
			mutant.Fault("leave out the context from the ETag", "evaluate.go",
				"hash.Write(canonical(evaluated.String()))", "hash.Write(nil)"),
			mutant.Fault("leave out the flags from the ETag", "evaluate.go", "json.NewEncoder(hash).Encode(answer)",
				"json.NewEncoder(hash).Encode(1)"),
			mutant.Fault("a context's attributes are in random order in the ETag", "evaluate.go",
				"hash.Write(canonical(evaluated.String()))", "hash.Write([]byte(evaluated.String()))"),
			mutant.Fault("a value's members are in random order", "evaluate.go",
				"canonical(value.JSONString())", "json.RawMessage(value.JSONString())"),
			mutant.Fault("ignore If-None-Match", "evaluate.go", `listed == "*" ||`, `listed == "*" && false &&`),
			mutant.Fault("answer a malformed flag with a value", "evaluate.go",
				"if reason.GetKind() != ldreason.EvalReasonError {", "if true {"),
			mutant.Fault("call a rollout static", "reason.go", "return !v.Variation.IsDefined()", "return false"),
			mutant.Fault("prefer LaunchDarkly's key", "context.go", "all[attrKey] = targetingKey\n",
				"_ = targetingKey\n"),
			mutant.Fault("send private attributes", "context.go",
				"	if private := all[attrPrivate]; !private.IsNull() {", "	if private := all[attrPrivate]; false {"),
			mutant.Fault("accept any key", "agent.go", "case h.apiKey != \"\" && !h.authorized(r):",
				"case h.apiKey != \"\" && r.Header.Get(\"X-API-Key\")+r.Header.Get(\"Authorization\") == \"\":"),
			mutant.Fault("accept any host", "agent.go",
				`case h.apiKey == "" && !isLoopbackHost(r.Host):`, `case false:`),
			mutant.Fault("listen anywhere without a key", "server.go",
				"} else if !isLoopbackHost(host) && c.APIKey == \"\" {", "} else if host == \"never\" {"),
			mutant.Fault("count a request that panicked forever", "agent.go",
				"			defer func() { <-h.slots }()\n", ""),
			mutant.Fault("give up after the first load", "loader.go",
				"if err == nil || ctx.Err() != nil {", "if true {"),
			mutant.Fault("log each failed load", "loader.go", "		if !again {", "		if !again || true {"),
			mutant.Fault("wait for the first load without a limit", "loader.go",
				"ctx, cancel := context.WithTimeout(ctx, limit)", "ctx, cancel := context.WithTimeout(ctx, 100*limit)"),
			mutant.Fault("exit when Lambda's API fails", "extension.go",
				"flags are still served\", \"error\", err)\n			<-ctx.Done()",
				"flags are still served\", \"error\", err)"),
			mutant.Fault("flush at each invocation", "extension.go",
				"flushed.Age(e.Clock()) < e.FlushInterval:", "false:"),
			mutant.Fault("ask for the next event during the flush", "extension.go", "		e.flush(ctx, deadline)\n",
				"		go e.flush(ctx, deadline)\n"),
			mutant.Fault("ask for invocations on Managed Instances", "extension.go",
				"	if e.Freezes {\n", "	if true {\n"),
			mutant.Fault("end without sending the events", "server.go",
				"err = errors.Join(err, opened.Close(ctx))", "_ = opened"),
		},
	})
}
