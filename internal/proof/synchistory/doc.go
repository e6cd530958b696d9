// Package synchistory plays random histories of syncs on a flag table, and judges them from outside.
//
// A history is all of one seed. A LaunchDarkly environment changes: flags and segments are made, updated, removed and
// made again. Webhooks of that are lost, repeated, and come before LaunchDarkly's streams know. Syncs of it run two
// or three at a time, and so do upserts of another LaunchDarkly SDK. At every call to DynamoDB, and around
// LaunchDarkly's answer, whoever makes it may be paused while others go on, find DynamoDB throttled or in conflict,
// lose the call's answer, or crash. LaunchDarkly is at times slow, down, empty, or refuses the key.
//
// [Run] demands, of each transaction that a sync makes:
//
//   - The sync holds the newest fence.
//   - No row gets a lower version (except over another SDK's tombstone), none that was removed is revived, and none is removed that the payload has: what
//     the table says of an item is never replaced by what LaunchDarkly said of it before.
//   - A row that somebody changed since the sync read it is not removed.
//
// Of each sync that is acknowledged: it had a payload, held the newest fence after it had read the table, and the
// table is as new as its payload. And at the end, of one more sync that nothing disturbs: the table is exactly the
// environment, and a sync after that writes nothing.
//
// The DynamoDB client is an argument, and only package time is used: histories run on [localaws], in a
// testing/synctest bubble, where waits cost nothing, and on DynamoDB Local with short options. Only one goroutine
// runs at a time, so a seed is played alike each time.
//
// [localaws]: https://pkg.go.dev/github.com/warmflags/warmflags/internal/local/aws
package synchistory
