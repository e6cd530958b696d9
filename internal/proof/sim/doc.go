// Package sim judges caches of flags by whole histories: it is a table that other processes write, a stream of
// messages about it, clocks, clients, and a model of what a cache may answer.
//
// A [Script] is a list of steps, drawn from a seed ([Draw]) or by rapid ([Scripts]), or written by hand
// ([Parse]). [Run] carries it out in a testing/synctest bubble, one step at a time and each until nothing moves
// any more, so that the order of events is exact:
//
//	err := sim.Run(t, sim.Draw(seed, 100), sim.Subject{New: newCache}, nil)
//
// # What happens in a script
//
// Writers change the table: they raise versions, edit under the same version, reset rows to what they held
// before, remove them, make them again, and leave tombstones. Each change makes a message, which is delivered
// late, twice, out of order, or never, with the right version, none, an older or a newer one. Reads of the table
// look at its rows at a moment of their own, are held, and are answered by a later step: well, with an error, with
// broken JSON, with a panic, or not before the cache gave them up. The wall clock leaps on alone (a freeze) or
// steps back. Meanwhile clients call Get and GetAll, several at a time.
//
// # How it judges
//
// The table remembers every row that it ever held, and the place of a value in this history, not its version,
// tells how old it is: a reset lowers versions, and a row can be made again under the one it had. Since each
// read's look at the table is known, every answer must have come from a read that was allowed to give it:
// judge.go says which those are for what a call returns, reads.go says when the cache may read at all and when a
// call may wait. Both know the promises (docs/promises.md) and nothing of the cache.
//
// Promises hold on conditions, and the model needs them exactly:
//
//   - The table "cannot be reached" for a key from when a read of it failed (an error, a panic, broken JSON, no
//     answer within the limit) until one succeeds that began later, or the cache tells that the store is up; and
//     for all keys while it has told that the store is down. Calls that overlap this time may return any value
//     that was ever read well and is not older than what was returned before they began.
//   - A freeze is seen by comparing two clocks, so one that the wall clock took back unseen does not count.
//   - A script says whether the table's reads may lag; order is then promised between reads, not in the table.
//
// A [Campaign] runs many seeds, and fails unless each race that [Races] names occurred in at least one of them.
package sim
