// Package flagsync makes a DynamoDB table equal to a LaunchDarkly environment.
//
// [Syncer.Sync] is one sync. In this order, it
//
//  1. takes the table's fence ([table.Environment.TakeToken]), one higher than any before;
//  2. fetches the environment with the LaunchDarkly SDK's own streaming client, so that transport,
//     authentication, proxies and endpoints are the SDK's;
//  3. reads the table, and checks the difference against the guards below;
//  4. writes what differs, and nothing else. Every transaction checks that the fence is still the newest, and where
//     there is nothing to write, the fence is read;
//  5. listens a little longer, and writes what arrives: LaunchDarkly's stream may trail its webhook. Such a patch
//     costs one read of its own row and one transaction.
//
// As the fence is taken before the data is asked for, payloads are ordered by when they were asked for: a sync
// that was paused, or that holds an old payload, fails with [table.ErrTokenLost] and undoes nothing. After
// a crash the next sync completes what is left. Syncing twice costs a few reads and one write, the fence.
//
// Guards, all lifted by [Force]: a payload without flags is refused, and so is one that would remove more than a
// share of a kind's items ([MaxRemovals], a third by default) and more than 10: [ErrGuard]. An item whose version is
// lower than the table's is held back, and the rest goes on. A guard that holds keeps holding, loudly, until somebody
// looks: it is an error or a warning in the log, and a metric, of every sync.
//
// [Handler] is the Lambda function: a batch of requests from a queue is one sync of each environment.
// [Syncer.Watch] is for those without webhooks: one process that streams. What operators may meet is in docs/syncing.md.
package flagsync
