// Package storehistory runs random histories of LaunchDarkly's own operations on a flag table and checks the table
// after each write.
//
// A history depends only on its seed. Two Inits with different data and some upserts run at the same time, with their
// calls in a random order. Every call to DynamoDB may be throttled, lose its response, or be the last one of a
// process that crashes. Transactions are also canceled at random.
//
// [Run] checks the SDK's contract:
//
//   - When Init writes a row, the row is as Init read it, or has changed and is older than Init's item: no newer upsert
//     is lost.
//   - When $inited is written, and when Init returns without an error, the table holds Init's data, except for later
//     changes of other programs.
//   - At the end, one more Init without disturbances makes the table equal to its data.
//
// The DynamoDB client is an argument, and the package uses only package time. Histories run on [localaws] in a
// testing/synctest bubble, with virtual time, and on DynamoDB Local. Only one goroutine runs at a time, so a seed
// always gives the same history.
//
// [localaws]: https://pkg.go.dev/github.com/warmflags/warmflags/internal/local/aws
package storehistory
