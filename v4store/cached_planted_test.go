//go:build prove

package v4store_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// TestPlantedFaultsInTheCache proves that the simulator detects each of these faults within 2,500 seeds.
func TestPlantedFaultsInTheCache(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Args: []string{"-sim.seeds=2500"},
		Mutants: cacheFaults})
}

var cacheFaults = []mutant.Mutant{
	// The order of reads.
	mutant.Fault("a discarded read is joined", "cached_read.go",
		"return f != nil && f.start > need", "return f != nil"),
	mutant.Fault("a discarded read is kept as fresh", "cached_entry.go",
		"v.discarded || c.invalidatedLocked(e) ||", ""),
	mutant.Fault("misses do not share a read", "cached_read.go",
		"	case joinable(e.flight, need):\n		return e.flight\n", ""),
	mutant.Fault("two reads of a key overlap", "cached_read.go",
		"	case e.flight != nil:\n		e.next = f\n", ""),
	mutant.Fault("a key is read during a read of its kind", "cached_read.go",
		"	case covered:\n", "	case false:\n"),
	mutant.Fault("All replaces the value of a newer Get", "cached_read.go",
		"e.flight != nil || e.ended > f.start {", "false {"),
	mutant.Fault("an abandoned read is kept", "cached_read.go",
		"	if f.ended || c.closed {\n",
		"	if f.ended || c.closed {\n		if err == nil {\n			c.keepLocked(f, got, c.nowLocked())\n"+
			"		}\n"),

	// The effect of a message.
	mutant.Fault("InvalidateAll is lost on a collection in flight", "cached.go",
		"	c.invalidAll = c.seq\n",
		"	c.invalidAll = c.seq\n	c.seq++\n	for _, col := range c.collections {\n"+
			"		if f := col.whole.flight; f != nil {\n			f.start = c.seq\n		}\n	}\n"),
	mutant.Fault("a flag that the collection does not list stays unknown", "cached.go",
		"if col.whole.last == nil && col.whole.flight == nil {", "if true {"),
	mutant.Fault("the collection is dropped when a key is invalidated", "cached.go",
		"	e.invalid = c.seq\n", "	e.invalid = c.seq\n	col.whole.last = nil\n"),
	mutant.Fault("All serves invalidated values", "cached_all.go",
		"if !answered && !c.freshLocked(e, now) {", "if !answered && e.last == nil {"),
	mutant.Fault("an invalidated key is removed as unknown", "cached_all.go",
		" && e.invalid <= whole.start)", ")"),

	// Time.
	mutant.Fault("a freeze is not detected", "cached.go",
		"if c.seen != (clock.Instant{}) && c.seen.Frozen(now) {", "if false {"),
	mutant.Fault("the TTL does not end", "cached_entry.go",
		"v.over = v.until.Reached(now)", "v.over = false"),
	mutant.Fault("the short wait applies to invalidated values", "cached_outage.go",
		"case c.invalidatedLocked(e) || e.last.discarded ||", "case e.last.discarded ||"),
	mutant.Fault("the short wait applies to the first read after a freeze", "cached_outage.go",
		" || c.answered <= c.woken:", ":"),

	// Outages.
	mutant.Fault("the last known value is not served", "cached.go",
		"if errors.Is(err, errClosed) || !c.servable(e.last, c.nowLocked()) {", "if err != nil {"),
	mutant.Fault("MaxStale does not limit", "cached_entry.go",
		"return v.taken.Age(now) <= c.options.maxStale", "return true"),
	mutant.Fault("a failed read is never retried", "cached_outage.go",
		"return !o.next.Reached(now) ||", "return true ||"),
	mutant.Fault("an outage does not end", "cached_outage.go",
		"	o.slow = nil\n	o.up()\n", "	o.slow = nil\n"),
}

// TestPlantedFaultsInThePromises proves that the tests which force the order of events can fail.
func TestPlantedFaultsInThePromises(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^Test[^S]", Mutants: []mutant.Mutant{
		mutant.Fault("All uses a read that is older than many stale items", "cached_all.go",
			"		need = max(need, latest)\n", "		_ = latest\n"),
		mutant.Fault("InvalidateAll costs a read of each key", "cached_read.go",
			"	query := c.options.ttl != 0 &&", "	query := c.options.ttl < 0 && c.options.ttl > 0 &&"),
		mutant.Fault("each key is retried by itself", "cached_outage.go",
			"return !o.next.Reached(now) || o.retry != nil && (o.down || !o.retry.covers(e)) && c.servable(e.last, "+
				"now)",
			"return e.failed.Age(now) < backoff(max(e.failures, 1))"),
		mutant.Fault("throttled keys delay others", "cached_outage.go",
			"if !o.down && !f.retry && o.partial.Reached(now) {", "if !o.down && !f.retry {"),
		mutant.Fault("each failure is logged", "cached_outage.go", "	return begins\n", "	return true\n"),
		mutant.Fault("each key waits in an outage", "cached_outage.go",
			"	case o.down:\n", "	case false:\n"),
		mutant.Fault("an expired value waits for the whole read", "cached_outage.go",
			"	default:\n		return short\n", "	default:\n		return -1\n"),
		mutant.Fault("ShortWait(0) never reads again", "cached_outage.go",
			"!c.outage.down && c.outage.slow != nil", "!c.outage.down"),
		mutant.Fault("each expired value waits", "cached_outage.go",
			"	case c.outage.slow != nil:\n		return 0\n", ""),
		mutant.Fault("Wake starts no probe", "cached.go", "c.probeLocked(c.nowLocked())", "c.nowLocked()"),
		mutant.Fault("the absence of items in an emptied table is accepted", "cached_marker.go",
			"&& !present && m.seen {", "&& !present && m.seen && !m.seen {"),
		mutant.Fault("a missing marker is an outage although none was seen", "cached_marker.go",
			"	if !seen {\n		return nil\n	}\n	return m.read(inner)\n",
			"	present, err := m.load(inner)\n	if err == nil && !present {\n		err = errEmptied\n	}\n"+
				"	_ = seen\n	return err\n"),
		mutant.Fault("Get serves after Close", "cached.go",
			"	if c.closed {\n		return none, fmt.Errorf(", "	if false {\n		return none, fmt.Errorf("),
		mutant.Fault("a closed cache writes", "cached.go",
			"	if c.wrong == nil && c.closed {", "	if false {"),
		mutant.Fault("an older read of the marker confirms an absence", "cached_marker.go",
			"	f, before := m.next, m.check\n", "	f, before := m.check, m.check\n"),
		mutant.Fault("a marker that is written later is never seen", "cached_marker.go",
			"m.asked.Age(now) < quiet", "now.Wall > 0"),
		mutant.Fault("a read of a kind with a broken row does not count as a response", "cached_read.go",
			"f.entry == &f.col.whole || len(got.broken) == 0", "len(got.broken) == 0"),
		mutant.Fault("a read that ends after Close is an outage", "cached_read.go",
			"if f.ended || c.closed {", "if f.ended {"),
		mutant.Fault("Close does not release waiting calls", "cached.go", "	close(c.closing)\n", ""),
		mutant.Fault("lines are logged with the lock held", "cached_read.go",
			"	c.mu.Unlock()\n	r.log(c.options.logger, f.col.kind.GetNamespace())\n",
			"	r.log(c.options.logger, f.col.kind.GetNamespace())\n	c.mu.Unlock()\n"),
		mutant.Fault("Initialized calls wait for each other", "cached_marker.go",
			"	i.mu.Unlock()\n	yes := c.holdsData()\n	i.mu.Lock()\n", "	yes := c.holdsData()\n"),
	}})
}
