//go:build prove

package cachedstore_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// TestPlantedFaults proves that the simulator can fail: it notices each of these, in 2,500 seeds.
func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Args: []string{"-sim.seeds=2500"}, Mutants: faults})
}

var faults = []mutant.Mutant{
	// The order of reads.
	mutant.Fault("a read in flight is joined after Invalidate", "read.go",
		"l.flight.start > tick && ", ""),
	mutant.Fault("two reads of a key overlap", "read.go",
		"	if l.flight != nil {\n		l.next = f\n		return f\n	}\n", ""),
	mutant.Fault("misses do not share a read", "read.go",
		"case l.flight != nil && l.flight.start > tick && !s.frozenLocked(l.flight, s.nowLocked()):", "case false:"),
	mutant.Fault("a call that waits for the next read is lost", "read.go",
		"	case l.next != nil:\n		return l.next\n", ""),
	mutant.Fault("GetAll undoes a newer Get", "slot.go",
		"if v.start < s.kept {", "if false {"),
	mutant.Fault("a discarded read is kept as fresh", "item.go",
		"fresh := f.start > stale && !s.frozenLocked(f, now)", "fresh := f.start > 0 || stale > 0"),
	mutant.Fault("a discarded collection is kept as fresh", "collection.go",
		"fresh := f.start > stale && !frozen", "fresh := f.start > 0 || stale > 0"),
	mutant.Fault("a discarded read is forgotten as last known", "slot.go",
		"	s.last, s.kept, s.spare = v, tick, nil\n",
		"	if fresh || s.last == nil {\n		s.last, s.kept, s.spare = v, tick, nil\n	}\n"),
	mutant.Fault("an abandoned read is kept", "read.go",
		"	if f.ended {\n		return\n	}\n",
		"	if f.ended {\n		if err == nil {\n			f.read.keep(f, found, s.nowLocked())\n		}\n		return\n	}\n"),
	mutant.Fault("a read is never abandoned", "read.go",
		"time.AfterFunc(s.options.readLimit,", "time.AfterFunc(1000*s.options.readLimit,"),
	mutant.Fault("a reset is never accepted", "slot.go",
		"if v.start < s.kept {", "if v.start < s.kept || s.last != nil && v.found() && v.item.Version < s.last.item.Version {"),

	// What a message does.
	mutant.Fault("a message for the version that is held is skipped", "cache.go",
		"	sl.invalidate(s.tick)\n	sl.expect,",
		"	if sl.last != nil && ch.Version > 0 && sl.last.item.Version == ch.Version {\n		return\n	}\n	sl.invalidate(s.tick)\n	sl.expect,"),
	mutant.Fault("an unknown flag stays unknown", "cache.go",
		"	sl.invalidate(s.tick)\n	sl.expect,",
		"	if sl.last == nil || sl.last.found() {\n		sl.invalidate(s.tick)\n	}\n	sl.expect,"),
	mutant.Fault("a flag that the collection does not list stays unknown", "cache.go",
		"if c.start == 0 && c.flight == nil {", "if true {"),
	mutant.Fault("an invalidation during Preload is lost", "cache.go",
		"if c.start == 0 && c.flight == nil {", "if c.start == 0 {"),
	mutant.Fault("InvalidateAll is lost on a collection in flight", "cache.go",
		"	s.invalidAll = s.tick\n", ""),
	mutant.Fault("the collection is forgotten when a key is invalidated", "cache.go",
		"	sl.invalidate(s.tick)\n	sl.expect,", "	sl.invalidate(s.tick)\n	c.start = 0\n	sl.expect,"),
	mutant.Fault("GetAll serves what was invalidated", "collection.go",
		"		case sl.resting(now): //", "		case sl.last != nil && s.options.maxStale == 0: //"),

	// Time.
	mutant.Fault("only the monotonic clock counts", "clock.go",
		"return now.mono >= i.mono || now.wall >= i.wall", "return now.mono >= i.mono"),
	mutant.Fault("only the wall clock counts", "clock.go",
		"return now.mono >= i.mono || now.wall >= i.wall", "return now.wall >= i.wall"),
	mutant.Fault("a read from before a freeze counts", "read.go",
		"return f.freezes < s.freezes || f.began.frozen(now)", "return false"),
	mutant.Fault("a read from before a Wake counts", "cache.go",
		"	s.woken = s.tick\n", ""),
	mutant.Fault("the TTL counts from a read's end", "item.go",
		"until := f.began.until(s.options.ttl)", "until := now.until(s.options.ttl)"),
	mutant.Fault("the TTL is over too early", "clock.go",
		"instant{mono: sum(i.mono, ttl), wall: sum(i.wall, ttl)}", "instant{mono: sum(i.mono, ttl/2), wall: sum(i.wall, ttl/2)}"),

	// Outages.
	mutant.Fault("the entry is dropped on an error", "item.go",
		"	r.sl.fail(err, now)\n", "	r.sl.fail(err, now)\n	r.sl.last = nil\n"),
	mutant.Fault("an error is cached", "item.go",
		"	if s.outage.down || sl.resting(now) {\n",
		"	if sl.failure != nil {\n		s.mu.Unlock()\n		return notFound, sl.failure\n	}\n	if s.outage.down || sl.resting(now) {\n"),
	mutant.Fault("broken JSON replaces a good entry", "collection.go",
		"			result.broken[item.Key] = err\n", ""),
	mutant.Fault("MaxStale does not limit", "item.go",
		"return v.taken.age(now) <= s.options.maxStale", "return true"),
	mutant.Fault("clients do not hear of an outage", "outage.go",
		"		s.announce(true)\n		if !s.awaitRecovery()", "		if !s.awaitRecovery()"),
	mutant.Fault("clients do not hear of its end", "outage.go",
		"	s.announce(false)\n", ""),
	mutant.Fault("an old cache is written over the table", "outage.go",
		"				c.slots.each(func(sl *slot) { sl.failures = 0 })\n",
		"				c.slots.each(func(sl *slot) {\n					if sl.last != nil && sl.last.found() {\n"+
			"						_, _ = s.core.Upsert(c.kind, sl.key, serialize(c.kind, sl.last.item))\n					}\n				})\n"),
}
