// Package demo runs the whole of warmflags in one process and measures it: a fake LaunchDarkly, the webhook, the
// sync, the table, its stream, the fan-out, and LaunchDarkly clients that evaluate flags all the time.
//
// It flips flags at random, one by one and in bursts, and checks every evaluation. A flag's value is its version, so
// an evaluation shows which version the client has. A flip is lost if a client never evaluates the flag to this
// version or a later one; the cache's TTL is an hour. An evaluation is stale if it began after the client was
// notified of a version and returns an older one. Half of a client's evaluations are of flags with pending flips, so
// that the time from a flip to its first evaluation does not depend on the number of flags.
//
// Some clients are made with warmflags.Open and get changes only from the journal: services that poll it on a timer,
// and warm Lambdas. Nothing runs in a warm Lambda between two invocations, which come at random.
// (internal/proof/runtimeapi and test/lambda_test.go have processes that are really frozen.)
//
// File path.go connects the packages, consumer.go has a client, poller.go a client that polls, board.go the results,
// and report.go prints them.
package demo
