// Package demo runs the whole of warmflags in one process and measures it: a fake LaunchDarkly, the webhook, the
// sync, the table, its stream, the fan-out, and LaunchDarkly clients that evaluate flags all the time.
//
// It flips flags at random, one by one and in bursts, and looks at every evaluation: a flag's value is its
// version, so an evaluation shows what its client knows. A flip is lost when a client never sees its version or a
// later one, although every entry lives for an hour. An evaluation is stale when it began after the client was
// told of a version and yields an older one. Half of a client's evaluations look at flags that it waits for, so
// that the time from a flip to its first evaluation measures the path and not how many flags there are.
//
// Some clients live in warm Lambdas: nothing is pushed to them, nothing of them runs between two invocations, which come
// at random, and the journal tells them. (Processes that are really frozen: internal/proof/runtimeapi, test/lambda_test.go.)
//
// File path.go joins the packages, consumer.go is one client, lambda.go one in a warm Lambda, board.go keeps the score, report.go prints it.
package demo
