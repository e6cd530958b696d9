// Package flagsync makes a DynamoDB table equal to a LaunchDarkly environment. The table holds each flag and segment
// as the JSON that LaunchDarkly sent. The package reads LaunchDarkly's streaming protocol itself and does not import
// its server SDK.
//
// [Syncer.Sync] is one sync. In this order, it
//
//  1. takes the environment's fencing token ([table.Environment.TakeToken]), one higher than any before;
//  2. connects to LaunchDarkly's stream and waits for the whole environment, the put;
//  3. reads the table, and checks the difference against the guards;
//  4. writes what differs, and nothing else. Every transaction checks that the token is still the newest; if there is nothing to
//     write, the token is read;
//  5. listens a little longer and writes the patches that arrive: LaunchDarkly's stream may trail its webhook. A patch costs one
//     read of its row and one transaction.
//
// The token is taken before the data is requested, so payloads are ordered by when they were requested: a sync that
// was paused, or that holds an old payload, fails with [table.ErrTokenLost] and overwrites nothing. After a crash the
// next sync completes the rest.
//
// The guards, all lifted by [Force]: a payload without flags over a table that has some is refused, and so is one
// that would remove more than a share of a kind's items ([MaxRemovals], a third by default) and more than 10:
// [ErrGuard]. An item whose version is lower than its row's is held back, unless the row is a tombstone, and the rest
// is written.
//
// The files: stream.go is one connection, event.go the protocol's events, inbox.go what came and was not written yet,
// feed.go connects again and again; evaluator.go has what depends on LaunchDarkly's data model; guard.go, flagsync.go
// and result.go are the sync; watch.go is [Syncer.Watch], for those without webhooks; fetch.go reads
// LaunchDarkly alone; handler.go and all.go are [Handler], the Lambda function. What operators may meet is in docs/syncing.md.
package flagsync
