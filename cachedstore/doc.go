// Package cachedstore keeps LaunchDarkly flags in memory, over a table that other processes write.
//
// It is for clients in daemon mode, which read flags from a [subsystems.PersistentDataStore] such as a DynamoDB table
// and never call LaunchDarkly for them. [New] wraps that store. The [Store] goes into the client's configuration and
// is a [change.Sink]: connect it to a source of changes (package subscriber or journal) and a flipped flag is fresh
// at once, instead of after the TTL.
//
//	store := cachedstore.New(dynamostore.DataStore("flags"), cachedstore.TTL(time.Hour))
//	config := ld.Config{DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly()}
//
// # Promises
//
//   - Monotonic: a Get never returns an older value, in the table's own history, than a Get that completed before it
//     started. Reads of one key never overlap, and a Get waits for two reads at most.
//   - A Get or GetAll that starts after [Store.Invalidate] returned sees what the table held then or later, while the
//     table can be reached.
//   - With every message lost, nothing older than the TTL is served, by the monotonic and by the wall clock: the time
//     during which a Lambda sandbox was frozen counts. See [TTL] for the exceptions.
//   - While the table cannot be reached, the last known value is served, and the SDK's data store status shows the outage.
//     A Get waits for a table that hangs once per outage, not once per key. It recovers by itself.
//   - Concurrent misses on a key share one read. An invalidated flag costs one read, even for AllFlagsState; a kind that
//     was cached as a whole is read again by one Query.
//   - A hit takes no lock, allocates nothing and, with a sweeper running, reads no clock.
//   - In daemon mode nothing is ever written to the table.
//
// docs/promises.md names the test of each.
//
// # Clocks and goroutines
//
// In a service, a sweeper removes what expires, ten times per second, so that a hit reads no clock. In a Lambda
// function that is frozen between invocations, each Get reads the clock until [Store.Wake] is called for the first
// time; from then on Wake removes what expired, at the start of each invocation, and the sweeper does in long ones.
// With [StrictClock], and with a TTL below one second, each Get reads the clock.
//
// In a service, what was cached and was invalidated is read again in the background, a few items at a time and after a
// random pause; in Lambda nothing is.
//
// # How events are ordered
//
// Everything except a hit runs under one mutex and is assigned a sequence number, its seq: a read begins, a read
// ends, a key is invalidated, an invocation begins. For each key, these rules hold:
//
//  1. A Get may be answered by a read that began after the latest invalidation of the key, the latest InvalidateAll and
//     the latest Wake; it joins such a read, or has one begin.
//  2. Reads of a key follow each other: the next begins when the one in progress has ended, or was abandoned. Reads
//     are strongly consistent, so they are in the order of the table's history, and each replaces the last known value.
//     Versions do not matter: a table that was reset to older data is followed.
//  3. A read that was invalidated while it was in progress is discarded: it answers the calls that had joined it and
//     becomes the last known value, but is never a hit.
//  4. A read of the whole collection is a read of each key, with two exceptions. It says nothing of a key that was being
//     read when it began, because two reads that overlap cannot be ordered. And no key that it covers is read
//     until it has ended; if another read of the collection waits by then, that one answers.
//  5. An absent row is believed while the table's marker stands, or if this process has never seen one. A marker that
//     was seen and is gone makes the read a failed one.
//
// A hit is an atomic pointer to the last known value. An invalidation clears it before it returns, and that alone sends
// the next Get to the mutex.
//
// # Files
//
//   - store.go: [Store], shared by clients; options.go; stats.go
//   - client.go: LaunchDarkly's interface, with the path of a hit
//   - engine.go: the cache behind a Store: invalidations, Wake, Close
//   - entry.go: what is known of one key, and its backoff after failed reads
//   - flight.go: reads, from the call that joins one to its end
//   - items.go, collections.go: what a Get and a GetAll wait for, and what their reads store
//   - expiry.go, refresh.go: the sweeper, and background reads
//   - inner.go: calls of the wrapped store, and the marker
//
// Package internal/outage tracks whether the table can be reached.
package cachedstore
