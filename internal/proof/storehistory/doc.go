// Package storehistory plays random histories of LaunchDarkly's own operations on a flag table, and judges them from
// outside.
//
// A history is all of one seed. Two Inits with different data run at once, and some upserts beside them, call by call
// in a random order. Every call to DynamoDB may find it throttled, lose its answer, or be the last one of a process
// that crashes; transactions are canceled at random, too.
//
// [Run] demands what the SDK's contract says:
//
//   - A write of Init finds its row as Init read it, or changed meanwhile and older than ours: no newer upsert is lost.
//   - When $inited is written, and when Init returns without an error, the table holds what Init was to make of it, but
//     for what others did since.
//   - In the end, one more Init that nothing disturbs makes the table exactly its data.
//
// The DynamoDB client is an argument, and only package time is used: histories run on [localaws], in a testing/synctest
// bubble, where waits cost nothing, and on DynamoDB Local. Only one goroutine runs at a time, so a seed is played alike
// each time.
//
// [localaws]: https://pkg.go.dev/github.com/warmflags/warmflags/internal/local/aws
package storehistory
