//go:build prove

package cachedstore_test

import (
	"testing"

	"github.com/warmflags/warmflags/internal/proof/mutant"
)

// TestPlantedFaults proves that the simulator detects each of these faults within 2,500 seeds.
func TestPlantedFaults(t *testing.T) {
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestSim$", Args: []string{"-sim.seeds=2500"},
		Mutants: inSimulations})
}

// TestPlantedFaultsInSingleTests plants faults that the simulator cannot detect: they need more flags, a check that
// hangs, or a count of log lines.
func TestPlantedFaultsInSingleTests(t *testing.T) {
	mutant.Check(t, mutant.Suite{
		Package: ".", Run: "^Test", Args: []string{"-test.skip=^TestSim|^TestPlanted"}, Mutants: single,
	})
}

const outageFile = "../internal/outage/outage.go"

var inSimulations = []mutant.Mutant{
	// The order of reads.
	mutant.Fault("a read in flight is joined after Invalidate", "flight.go",
		"return f != nil && f.start > need && ", "return f != nil && "),
	mutant.Fault("two reads of a key overlap", "flight.go",
		"	case e.flight != nil:\n		e.next = f\n	case covered:", "	case covered:"),
	mutant.Fault("misses do not share a read", "flight.go",
		"	case c.joinableLocked(e.flight, need, now):\n		return e.flight\n	case e.next != nil:\n"+
			"		return e.next\n", ""),
	mutant.Fault("a call that waits for the next read is lost", "flight.go",
		"			c.beginLocked(next)\n		}\n		return\n", "		}\n		return\n"),
	mutant.Fault("a read of the collection is stored for an item that is being read", "collections.go",
		"e.flight != nil || e.ended > f.start {", "e.flight != nil && f.start == 0 {"),
	mutant.Fault("an item is read while its collection is being read", "collections.go",
		"	return coll.flight != nil && e.flight == nil && e.ended < coll.flight.start\n",
		"	return coll.flight == nil && e == nil\n"),
	mutant.Fault("a discarded read is kept as fresh", "items.go",
		"fresh := f.start > c.discardLocked(f.entry) && !c.frozenLocked(f, now)",
		"fresh := f.start > 0 || now.Mono > 0"),
	mutant.Fault("a discarded collection is kept as fresh", "collections.go",
		"fresh := f.start > max(c.invalidAll, c.woken) && !c.frozenLocked(f, now)", "fresh := f.start > 0"),
	mutant.Fault("an invalidation during a read of the collection is lost", "collections.go",
		"fresh && f.start > e.invalid, now)", "fresh, now)"),
	mutant.Fault("an abandoned read is kept", "flight.go",
		"	if f.ended {\n		return\n	}\n	f.ended, f.err", "	f.ended, f.err"),
	mutant.Fault("a read is never abandoned", "flight.go",
		"time.AfterFunc(c.options.readLimit,", "time.AfterFunc(1000*c.options.readLimit,"),
	mutant.Fault("a reset is never accepted", "entry.go",
		"	e.last = v\n", "	if e.last != nil && v.found() && v.item.Version < e.last.item.Version {\n"+
			"		return\n	}\n	e.last = v\n"),
	mutant.Fault("GetAll reads a few stale items by a Query, and misses one", "collections.go",
		"	for entries := stale.entries; len(entries) > 0;",
		"	for entries := stale.entries[:len(stale.entries)/2]; len(entries) > 0;"),
	mutant.Fault("GetAll joins a Query from before many invalidations, and serves its items", "collections.go",
		"case joined > 0 && e.last != nil && e.last.start >= joined && e.last.start > e.invalid:",
		"case joined > 0 && e.last != nil && e.last.start >= joined:"),
	mutant.Fault("an invalidated key is removed from memory", "items.go",
		"if !unknown || invalid || !coll.droppable(e) ||", "if !unknown || !coll.droppable(e) && !invalid ||"),

	// The effect of a message.
	mutant.Fault("an unknown flag stays unknown", "entry.go",
		"	e.invalid = seq\n	e.fresh.Store(nil)\n",
		"	if e.last == nil || e.last.found() {\n		e.invalid = seq\n		e.fresh.Store(nil)\n	}\n"),
	mutant.Fault("a flag that the collection does not list stays unknown", "engine.go",
		"if coll.start == 0 && coll.flight == nil {", "if true {"),
	mutant.Fault("an invalidation during Preload is lost", "engine.go",
		"if coll.start == 0 && coll.flight == nil {", "if coll.start == 0 {"),
	mutant.Fault("InvalidateAll is lost on a collection in flight", "engine.go",
		"	c.invalidAll = c.seq\n	for _, coll", "	for _, coll"),
	mutant.Fault("GetAll serves invalidated values", "collections.go",
		"case e.pausing(now) && !c.missingLocked(e, e.failure, now):",
		"case e.last != nil && c.options.maxStale == 0:"),

	// Time.
	mutant.Fault("only the monotonic clock counts", "../internal/clock/clock.go",
		"return now.Mono >= i.Mono || now.Wall >= i.Wall", "return now.Mono >= i.Mono"),
	mutant.Fault("only the wall clock counts", "../internal/clock/clock.go",
		"return now.Mono >= i.Mono || now.Wall >= i.Wall", "return now.Wall >= i.Wall"),
	mutant.Fault("a read from before a freeze counts", "flight.go",
		"return f.freezes < c.freezes || f.began.Frozen(now)", "return now.Mono < 0"),
	mutant.Fault("a read from before a Wake counts", "engine.go",
		"	c.woken, c.paused = c.seq, c.seq\n", "	c.paused = c.seq\n"),
	mutant.Fault("the TTL counts from a read's end", "items.go",
		"until: f.began.Add(c.options.ttl), discarded", "until: now.Add(c.options.ttl), discarded"),
	mutant.Fault("values expire too early", "expiry.go",
		"const sweepAhead = 2 * sweepInterval", "const sweepAhead = 20 * sweepInterval"),
	mutant.Fault("the short wait applies after a freeze", "items.go",
		" && c.settled > c.paused", ""),
	mutant.Fault("the short wait applies to invalidated values", "items.go",
		"		e.last.start > max(e.invalid, c.invalidAll) && ", "		"),

	// Outages.
	mutant.Fault("the entry is dropped on an error", "flight.go",
		"		f.entry.note(f.err, now)\n", "		f.entry.note(f.err, now)\n		f.entry.last = nil\n"),
	mutant.Fault("an error is cached", "entry.go",
		"	if b.failures == 0 || b.over {\n",
		"	if b.failures > 0 {\n		return true\n	}\n	if b.failures == 0 || b.over {\n"),
	mutant.Fault("broken JSON replaces a good entry", "collections.go",
		"			found.broken[item.Key] = err\n", "			_ = err\n"),
	mutant.Fault("MaxStale does not limit", "items.go",
		"return v.taken.Age(now) <= c.options.maxStale", "return true"),
	mutant.Fault("clients are not notified of an outage", outageFile,
		"	if wasAnnounced != announced || announced {", "	if wasAnnounced && !announced {"),
	mutant.Fault("clients are not notified of its end", outageFile,
		"	if wasAnnounced != announced || announced {", "	if announced || wasAnnounced && announced {"),
	mutant.Fault("an outage does not end the pauses of single keys", outageFile,
		"		o.config.Ended()\n", ""),
	mutant.Fault("a reader writes to the table", "engine.go",
		"		coll.reset()\n		for _, e := range coll.entries.AllRelaxed() {\n			e.reset()\n",
		"		coll.reset()\n		for _, e := range coll.entries.AllRelaxed() {\n			e.reset()\n"+
			"			_, _ = c.inner.core.Upsert(coll.kind, e.key, serialize(coll.kind, e.last.item))\n"),
}

var single = []mutant.Mutant{
	mutant.Fault("a discarded read replaces a hit", "collections.go",
		"			e.fresh.Store(hit) // a", "			_ = hit // a"),
	mutant.Fault("an unknown key is removed while a read of the collection would restore an old value",
		"collections.go",
		"(coll.flight == nil || e.ended < coll.flight.start)", "true"),
	mutant.Fault("a table that hangs costs a wait for each key", outageFile,
		"	o.setLocked(max(to, o.level()))\n", "	_ = to\n"),
	mutant.Fault("an expired value waits for ReadLimit", "flight.go",
		" || waited && servable && expired {", " {"),
	mutant.Fault("a cold container waits for each flag", outageFile,
		"	return at == down || servable &&", "	return servable &&"),
	mutant.Fault("each failed read triggers a check", outageFile,
		"		o.pause, o.logged = 0, false\n	}\n", "		o.logged = false\n	}\n	o.pause = 0\n"),
	mutant.Fault("each failed read writes a line", outageFile,
		"		if !o.logged && !o.onlySlow {", "		if !o.onlySlow {"),
	mutant.Fault("a slow read writes a line", outageFile,
		"		if !o.logged && !o.onlySlow {", "		if !o.logged {"),
	mutant.Fault("every key of a throttled table is tried again", outageFile,
		"	return o.retryAt.Reached(now) ||", "	return true ||"),
	mutant.Fault("after InvalidateAll each item is read on its own", "flight.go",
		"	case query:\n", "	case query && now.Mono < 0:\n"),
	mutant.Fault("a lost marker is not an outage", "inner.go",
		"		return errMarkerGone\n", "		return nil\n"),
	mutant.Fault("a table without its marker counts as recovered", "engine.go",
		"answer <- reached && (marker || !seen)", "answer <- reached && (marker || !seen || true)"),
	mutant.Fault("the marker is read for every absent key", "items.go",
		"if err == nil && !d.found() && e.read.Load().live() {", "if err == nil && !d.found() && e != c.marker {"),
	mutant.Fault("a closed client still returns values", "client.go",
		"	c := cl.cache.Swap(nil)\n", "	c := cl.cache.Load()\n"),
	mutant.Fault("Close reports an outage", outageFile,
		"		case <-o.config.Done:\n			return\n		default:\n", "		default:\n"),
	mutant.Fault("Close waits for ReadLimit", "engine.go",
		"	if !c.running.stop(closeGrace) {", "	if !c.running.stop(c.options.readLimit) {"),
	mutant.Fault("calls wait for a read although the cache is closed", "flight.go",
		"		case <-c.life.Done():\n			return false, false\n", ""),
	mutant.Fault("a line is logged under the lock", "engine.go",
		"	c.lines = nil\n	c.mu.Unlock()\n	for", "	c.lines = nil\n	defer c.mu.Unlock()\n	for"),
	mutant.Fault("a listener that is not read blocks the watch", "../internal/outage/notify.go",
		"	go n.send(l)\n", "	n.mu.Unlock()\n	n.send(l)\n	n.mu.Lock()\n"),
	mutant.Fault("DropCache loses invalidations", "engine.go",
		"	c.invalidAll = c.seq // a read", "	_ = c.seq // a read"),
	mutant.Fault("DropCache keeps background reads", "engine.go",
		"	clear(c.refresher.due)\n", ""),
	mutant.Fault("a marker that is written later is never seen", "inner.go",
		"e.last.taken.Age(now) >= time.Minute", "e.last.taken.Age(now) >= 1000*time.Minute"),
	mutant.Fault("reads of the marker count as discarded", "items.go",
		"	if !fresh && f.coll != c.markers {", "	if !fresh {"),
	mutant.Fault("DropCache keeps everything", "engine.go",
		"				coll.entries.Delete(key)\n", "				_ = key\n"),
	mutant.Fault("a row that the inner store skipped hides the others", "collections.go",
		"&decodeError{cause: err, logged: true}", "err"),
	mutant.Fault("a row without the schema is a failed read", "inner.go",
		"			err = &decodeError{cause: err}\n", ""),
	mutant.Fault("a broken row is logged at each attempt", "decode.go",
		" && !errors.As(e.failure, &before)", " && (before == nil || e.failures >= 0)"),
	mutant.Fault("a decoding error has no reason", "decode.go",
		"		if err.Error() == \"\" {", "		if false {"),
	mutant.Fault("a sweep runs too late", "expiry.go",
		"		now = now.Add(sweepAhead)\n", ""),
	mutant.Fault("a short TTL is swept", "expiry.go",
		"(opts.ttl < 0 || opts.ttl >= 10*sweepInterval)", "true"),
	mutant.Fault("a table that is down is checked by the timer alone", outageFile,
		"	if o.checkedAt.Age(now) >= o.pause {\n		o.hurryLocked()\n	}\n", "	_ = now\n"),
	mutant.Fault("a value is served past its TTL", "expiry.go",
		"		now = now.Add(sweepAhead)\n", ""),
	mutant.Fault("a read from before a freeze counts as an outage", "flight.go",
		"	if abandoned && c.options.freezes && f.waitersLocked() == 0 {", "	if false {"),
	mutant.Fault("recovery is detected late in Lambda", "engine.go",
		"		lastDown = lastDownLambda\n", "		lastDown = 30 * time.Second\n"),
	mutant.Fault("a lost write is not announced", outageFile,
		"		o.announced = o.lostWrite\n", "		o.announced = false\n"),
	mutant.Fault("Wake does not check a table that is down", outageFile,
		"	if o.checkedAt.Age(now) >= firstCheck {\n		o.hurryLocked()\n	}\n", "	_ = now\n"),
}
