// Package synchistory runs random histories of syncs on a flag table and checks the table after each write.
//
// A history depends only on its seed. A LaunchDarkly environment changes: flags and segments are created, updated,
// removed and created again. Webhooks are lost, repeated, or arrive before LaunchDarkly's streams have the change.
// Two or three syncs run at a time, and another LaunchDarkly SDK upserts items. At every call to DynamoDB, and before
// and after LaunchDarkly's response, an actor may be paused while the others continue, be throttled, meet a conflict,
// lose the response, or crash. LaunchDarkly may be slow, be down, send an empty environment, or refuse the key.
//
// [Run] checks each transaction of a sync:
//
//   - The sync has the newest fencing token.
//   - No row gets a lower version (except over another SDK's tombstone), no removed row is written again from older
//     data, and no row is removed that the payload has. Newer data of an item is never replaced by older data.
//   - A row that another program changed after the sync read it is not removed.
//
// It checks each sync that is acknowledged: the sync had a payload and the newest fencing token after it had read the
// table, and the table is at least as new as the payload. At the end, it runs one more sync without disturbances: the
// table then equals the environment, and another sync writes nothing.
//
// The DynamoDB client is an argument, and the package uses only package time. Histories run on [localaws] in a
// testing/synctest bubble, with virtual time, and on DynamoDB Local with short timeouts. Only one goroutine runs at a
// time, so a seed always gives the same history.
//
// [localaws]: https://pkg.go.dev/github.com/warmflags/warmflags/internal/local/aws
package synchistory
