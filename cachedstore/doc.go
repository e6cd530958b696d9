// Package cachedstore keeps LaunchDarkly flags in memory, over a table that other processes write.
//
// It is for clients in daemon mode, which read flags from a [subsystems.PersistentDataStore] such as a DynamoDB table
// and never call LaunchDarkly for them. [New] wraps that store. The [Store] goes into the client's configuration and is
// a [change.Sink]: connect it to a source of changes (package subscriber or journal), and a changed flag is fresh at
// once instead of after the TTL.
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
//   - If every message is lost, nothing older than the TTL is served, by the monotonic and by the wall clock: the time
//     during which a Lambda sandbox was frozen counts. See [TTL] for the exceptions.
//   - While the table cannot be reached, the last known value is served, and the SDK's data store status shows the
//     outage. Gets wait for a hanging table once per outage, not once per key. The cache recovers by itself: after the
//     table has recovered, values are stale for at most 5 s, or 1 s in Lambda.
//   - Concurrent misses on a key share one read. An invalidated flag costs one read, even for AllFlagsState. A kind
//     that was cached as a whole is read again by one Query.
//   - A hit takes no lock, allocates nothing and, with a sweeper running, reads no clock.
//   - In daemon mode nothing is ever written to the table.
//
// docs/promises.md names the test of each promise.
//
// # Clocks and goroutines
//
// In a service, a sweeper removes expired values ten times per second, so that a hit reads no clock. In a Lambda
// function that is frozen between invocations, each Get reads the clock until the first call of [Store.Wake]. From then
// on, Wake removes expired values at the start of each invocation, and a sweeper does during long invocations. With
// [StrictClock], and with a TTL below one second, each Get reads the clock.
//
// In a service, cached items that were invalidated are read again in the background, a few at a time and after a random
// pause. In Lambda there are no background reads.
//
// # How events are ordered
//
// A value is fresh until it expires or is invalidated. A hit is a Get or GetAll that returns fresh values without a
// read; any other call is a miss. The marker is the row that shows that the table was filled ($inited in dynamostore).
//
// Everything except a hit runs under one mutex. Each event is assigned a sequence number, its seq: a read starts, a
// read ends, a key is invalidated, an invocation starts. For each key, these rules hold:
//
//  1. A miss uses a read that started after the latest invalidation of the key, the latest InvalidateAll and the latest
//     Wake. It joins such a read, or starts one.
//  2. The next read of a key starts when the read in progress has ended or was abandoned. Reads are strongly
//     consistent, so they follow the order of the table's history, and each replaces the last known value. Versions are
//     not compared: a table that was reset to older data is followed.
//  3. A read that was invalidated while it was in progress is discarded. Its result is returned to the calls that had
//     joined it and becomes the last known value, but is never a hit.
//  4. A read of the whole collection counts as a read of each key, except a key that was being read when it started:
//     two reads that overlap cannot be ordered. The keys that it covers are not read on their own until it has ended.
//     If another read of the collection is pending by then, that read is used for them.
//  5. The absence of a row is accepted if the table has its marker, or if this process has never seen a marker. If a
//     marker was seen and is missing, the read fails.
//
// A hit loads an atomic pointer to a fresh value. An invalidation clears the pointer before it returns, so the next Get
// is a miss.
//
// # Files
//
//   - store.go: [Store], shared by clients; options.go; stats.go
//   - client.go: LaunchDarkly's interface, including hits
//   - engine.go: the cache behind a Store: invalidations, Wake, Close
//   - entry.go: the cached values of one key, and its backoff after failed reads
//   - flight.go: reads, from the call that joins one to its end
//   - items.go, collections.go: what a Get and a GetAll wait for, and what their reads store
//   - decode.go: rows as items, and rows that cannot be decoded
//   - expiry.go, refresh.go: the sweeper, and background reads
//   - inner.go: calls of the wrapped store, and the marker
//
// Package internal/outage tracks whether the table can be reached.
package cachedstore
