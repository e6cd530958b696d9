// Package flagsync makes a DynamoDB table equal to a LaunchDarkly environment. The table holds each flag and segment
// as the JSON that LaunchDarkly sent. The package reads LaunchDarkly's streaming protocol itself and does not import
// LaunchDarkly's server SDK.
//
// [Syncer.Sync] is one sync. In this order, it
//
//  1. takes the environment's fencing token ([table.Environment.TakeToken]), which is one higher than the last;
//  2. connects to LaunchDarkly's stream and waits for the put, which has the whole environment;
//  3. reads the table and checks the difference against the guards;
//  4. writes only what differs. Every transaction checks that the token is still the newest. If there is nothing to
//     write, the record of the sync's end checks it;
//  5. listens for a while and writes the patches that arrive, because LaunchDarkly's stream may be later than its
//     webhook. A patch costs one read of its row and one transaction.
//
// The token is taken before the data is requested, so tokens have the order of the requests. A sync that was paused
// and has an old payload fails with [table.ErrTokenLost] and overwrites nothing. After a crash, the next sync writes
// the rest.
//
// Guards protect the table; [Force] turns them off. A sync fails with [ErrGuard] if the payload has no flags but the
// table does, or if it would remove more than 10 items of a kind and more than a share of them ([MaxRemovals], a
// third by default). An item whose version is lower than its row's is held back, unless the row is a tombstone; the
// rest is written.
//
// The files: stream.go has one connection, event.go the protocol's events, inbox.go the updates to be written,
// feed.go the sequence of connections, and evaluator.go all that depends on LaunchDarkly's data model. guard.go,
// flagsync.go and result.go are the sync; fetch.go fetches without a sync; watch.go is [Syncer.Watch], for use without
// webhooks; handler.go and all.go are [Handler], the Lambda function. docs/syncing.md is for operators.
package flagsync
