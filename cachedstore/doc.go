// Package cachedstore keeps LaunchDarkly flags in memory, over a table that other processes write.
//
// It is for clients in daemon mode, which read flags from a [subsystems.PersistentDataStore] such as a
// DynamoDB table and never call LaunchDarkly for them. [New] wraps that store; the [Store] goes into the
// client's configuration, and is a [change.Sink]: connect it to a source of changes (package subscriber or
// journal) and a flipped flag is fresh at once, instead of after the TTL.
//
//	store := cachedstore.New(dynamostore.DataStore("flags"), cachedstore.TTL(time.Hour))
//	config := ld.Config{DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly()}
//
// # Promises
//
//   - Monotonic: a Get never returns anything older, in the table's own history, than what a Get that had
//     returned before it began. Reads of one key never overlap.
//   - A Get that starts after [Store.Invalidate] returned sees what the table held then or later, while the
//     table can be reached. It waits for two reads at most.
//   - With every message lost, staleness is at most the TTL and one read, by the monotonic and by the wall
//     clock: an entry is expired when either says so, so that the time in which a Lambda sandbox was frozen
//     counts.
//   - While the table cannot be reached the last known value is served, and the SDK's data store status
//     says so. It recovers by itself.
//   - Any number of concurrent misses on a key cost one read; an invalidated flag costs one, even for
//     AllFlagsState over a cached collection.
//   - In daemon mode nothing is ever written to the table.
//
// # Clocks and goroutines
//
// A hit takes no lock, and in a service it looks at no clock: a timekeeper takes away what has expired, ten times a
// second. After the whole process was stopped, what has expired can be served until it runs again; with
// [StrictClock] each Get looks. In Lambda (AWS_LAMBDA_FUNCTION_NAME is set) each Get looks at the clock, until
// [Store.Wake] is called for the first time: then only Wake does, at the start of each invocation, and the
// timekeeper in long ones.
//
// In a service what was cached and was invalidated is read again in the background, a few items at a time and after a
// random pause; in Lambda nothing is.
//
// # How a read is ordered
//
// All that is not a hit happens under one mutex, and gets a number, its tick: a read begins, a read ends, an
// item is invalidated. A read counts as fresh when it began after the latest invalidation of its key. Its
// value is kept when it began after the value at hand was kept, so that of two reads that overlap (an item's
// and its collection's) the one that ends second is thrown away. File slot.go has these rules for one key,
// collection.go for a kind, read.go runs the reads, outage.go is for when they fail, timekeeper.go
// and refresh.go are the goroutines.
package cachedstore
