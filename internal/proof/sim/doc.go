// Package sim tests caches of flags with random histories. It contains a table that other processes write, a stream of
// messages about it, clocks, clients, and a model of the values that a cache may return.
//
// A [Script] is a list of steps. It is generated from a seed ([Draw]), by rapid ([Scripts]), or written by hand
// ([Parse]). [Run] executes it in a testing/synctest bubble. It waits after each step until all goroutines are blocked,
// so that the order of events is exact:
//
//	err := sim.Run(t, sim.Draw(seed, 100), sim.Subject{New: newCache}, nil)
//
// # Events
//
// Writers change the table: they raise versions, edit items without raising the version, reset rows to earlier
// contents, remove rows, re-create them, and write tombstones. Each change produces a message, which is delivered late,
// twice, out of order, or never, with the correct version, no version, an older or a newer one. A read of the table
// sees its rows at a chosen moment. It can be held, and a later step ends it: with the rows, with an error, with broken
// JSON, with a panic, or only after the cache has abandoned it. The wall clock jumps forward alone (a freeze) or is set
// back. Meanwhile clients call Get and GetAll, several at a time.
//
// # The model
//
// The table records every row that it ever contained. The age of a value is its place in this history, not its version:
// a reset lowers versions, and a row can be re-created with the version it had. The model knows which rows each read
// saw, so it can check that every result came from a read that was allowed to provide it. check.go checks what a call
// returns. reads.go checks when the cache may read and when a call may wait. Both implement the promises
// (docs/promises.md) and use no knowledge about the cache.
//
// Promises hold under conditions, which the model defines exactly:
//
//   - The table "cannot be reached" for a key after a read of it failed (an error, a panic, broken JSON, or no response
//     within the limit), until a read that started later succeeds or the cache reports that the store is up. It cannot
//     be reached for all keys while the cache reports that the store is down. Calls that overlap this time may return
//     any value that was ever read successfully and is not older than a value returned before they started.
//   - A freeze is detected by comparing two clocks. A freeze does not count if the wall clock was set back before the
//     cache could detect it.
//   - A script defines whether the table's reads may lag. If they may, the order of values is promised between reads,
//     not in the table's history.
//
// A [Campaign] runs many seeds. It fails unless each race that [Races] names occurred at least once.
package sim
