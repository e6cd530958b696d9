// Package demo runs the whole of warmflags in one process and measures it: a fake LaunchDarkly, the webhook, the
// sync, the table, its stream, the fan-out, and LaunchDarkly clients that evaluate flags all the time.
//
// It flips flags at random, one by one and in bursts, and looks at every evaluation: a flag's value is its version,
// so an evaluation shows what its client knows. A flip is lost when a client never sees its version or a later one,
// although every entry lives for an hour. An evaluation is stale when it began after the client was told of a version
// and yields an older one. Half of a client's evaluations look at flags that it waits for, so that the time from a
// flip to its first evaluation measures the path and not how many flags there are.
//
// Some clients are made with warmflags.Open, and hear of changes from the journal only: services that poll it on a
// timer, and warm Lambdas, of which nothing runs between two invocations, which come at random.
// (internal/proof/runtimeapi and test/lambda_test.go have processes that are really frozen.)
//
// File path.go joins the packages, consumer.go is one client, poller.go one that polls, board.go keeps the score,
// report.go prints it.
package demo
