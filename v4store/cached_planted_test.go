//go:build prove

package v4store_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// TestPlantedFaultsInTheCache proves that the simulator can fail: it notices each of these, in 2,500 seeds.
func TestPlantedFaultsInTheCache(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Args: []string{"-sim.seeds=2500"}, Mutants: cacheFaults})
}

var cacheFaults = []mutant.Mutant{
	// The order of reads.
	mutant.Fault("a discarded read is joined", "cached_read.go",
		"e.flight.start > after:", "e.flight.start > 0:"),
	mutant.Fault("a discarded read is kept as fresh", "cached_entry.go",
		"start: f.start, kept: c.tick,", "start: c.tick, kept: c.tick,"),
	mutant.Fault("misses do not share a read", "cached_read.go",
		"case e.flight != nil && e.flight.start > after:", "case false:"),
	mutant.Fault("two reads of a key overlap", "cached_read.go",
		"	if e.flight != nil {\n		e.next = f\n		return f\n	}\n", ""),
	mutant.Fault("what is fresh by now is read all the same", "cached_read.go",
		"case c.freshLocked(e, e.last, now):", "case false:"),
	mutant.Fault("All undoes a newer Get", "cached_entry.go",
		"v.start >= e.last.kept", "true"),
	mutant.Fault("a discarded collection displaces a fresh read", "cached_read.go",
		"own.start > f.start &&", "false &&"),
	mutant.Fault("an abandoned read is kept", "cached_read.go",
		"	if f.ended {\n", "	if f.ended {\n		if err == nil {\n			f.keep(got, c.nowLocked())\n		}\n"),

	// What a message does.
	mutant.Fault("InvalidateAll is lost on a collection in flight", "cached.go",
		"	c.invalidAll = c.tick\n",
		"	c.invalidAll = c.tick\n	c.tick++\n	for _, col := range c.collections {\n"+
			"		if f := col.whole.flight; f != nil {\n			f.start = c.tick\n		}\n	}\n"),
	mutant.Fault("a flag that the collection does not list stays unknown", "cached.go",
		"if col.whole.last == nil && col.whole.flight == nil {", "if true {"),
	mutant.Fault("the collection is forgotten when a key is invalidated", "cached.go",
		"	e.invalid = c.tick\n", "	e.invalid = c.tick\n	col.whole.last = nil\n"),
	mutant.Fault("All serves what was invalidated", "cached_all.go",
		"a.failure == nil && !c.restingLocked(e, now)", "a.failure != nil"),

	// Time.
	mutant.Fault("a freeze is not seen", "cached.go",
		"if c.seen != (instant{}) && c.seen.frozen(now) {", "if false {"),
	mutant.Fault("only the monotonic clock counts", "cached_clock.go",
		"return now.mono >= i.mono || now.wall >= i.wall", "return now.mono >= i.mono"),
	mutant.Fault("only the wall clock counts", "cached_clock.go",
		"return now.mono >= i.mono || now.wall >= i.wall", "return now.wall >= i.wall"),

	// Outages.
	mutant.Fault("the last known value is not served", "cached.go",
		"if !c.servable(e.last, c.nowLocked()) {", "if err != nil {"),
	mutant.Fault("MaxStale does not limit", "cached_entry.go",
		"return v.taken.age(now) <= c.options.maxStale", "return true"),
	mutant.Fault("what failed is never tried again", "cached_entry.go",
		"&& e.failed.age(now) < restAfter(e.failures)", ""),
}
