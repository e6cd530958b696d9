package cachedstore

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// In a service, cached data that is no longer fresh is read again in the background, so that the next Get is a hit. In
// Lambda it is not: a goroutine may be frozen at any time, and a read takes invocation time.
//
// The number of concurrent background reads is limited, and their start is random, because the processes of a fleet
// must not all read the same partition at once. A Get does not wait for a background read. It reads at once, and the
// background read is then skipped.

const (
	// refreshSpread is the time within which a process reads a changed item again, at a random moment.
	refreshSpread = 100 * time.Millisecond
	// refreshAllSpread is the same after InvalidateAll, which costs a Query.
	refreshAllSpread = 2 * time.Second
	// maxConcurrentRefreshes is the maximum number of background reads in progress.
	maxConcurrentRefreshes = 4
)

// refresher tracks pending background reads. Guarded by cache.mu. Its goroutine polls ten times per refreshSpread, so
// it needs no wake-up.
type refresher struct {
	due     map[job]time.Duration // when to start the read, by the monotonic clock
	running bool                  // the goroutine is running
}

// job is one item, or a whole collection if entry is nil.
type job struct {
	coll  *collection
	entry *entry
}

// refreshLocked schedules a background read at a random moment within the given time. A read that is already scheduled
// for that time keeps its schedule, so that many invalidations of an item do not postpone its read. In Lambda and with
// TTL 0 it does nothing.
func (c *cache) refreshLocked(j job, within time.Duration) {
	if c.options.freezes || c.options.ttl == 0 {
		return
	}
	now := c.latest.Mono
	if at, ok := c.refresher.due[j]; ok && at <= now+within {
		return
	}
	if c.refresher.due == nil {
		c.refresher.due = map[job]time.Duration{}
	}
	c.refresher.due[j] = now + rand.N(max(within, 1))
	if !c.refresher.running {
		c.refresher.running = c.running.start(c.refresh)
	}
}

// refreshWholeLocked schedules background reads of all cached data of a kind: one Query if it was cached as a whole,
// otherwise one read per item.
func (c *cache) refreshWholeLocked(coll *collection, within time.Duration) {
	if coll.start > 0 {
		c.refreshLocked(job{coll: coll}, within)
		return
	}
	for _, e := range coll.entries.AllRelaxed() {
		if e.last != nil && e.last.found() {
			c.refreshLocked(job{coll, e}, within)
		}
	}
}

// refresh runs until no background read is due or in progress.
func (c *cache) refresh() {
	const pause = refreshSpread / 10
	var flights []*flight // in progress
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-timer.C:
		}
		c.mu.Lock()
		flights = slices.DeleteFunc(flights, func(f *flight) bool { return f.ended })
		flights = c.beginDueLocked(flights)
		if len(c.refresher.due) == 0 && len(flights) == 0 {
			c.refresher.running = false
			c.unlock()
			return
		}
		c.unlock()
		timer.Reset(pause)
	}
}

// beginDueLocked starts the reads that are due, up to the maximum, and drops those whose data is fresh again. While the
// table is down it drops them too: the Gets after the outage will read. It joins a read that a Get has started, and
// counts it as one in progress.
func (c *cache) beginDueLocked(flights []*flight) []*flight {
	now := c.nowLocked()
	for j, at := range c.refresher.due {
		if at > now.Mono {
			continue
		}
		if len(flights) == maxConcurrentRefreshes {
			break
		}
		delete(c.refresher.due, j)
		switch {
		case c.outage.Down():
		case j.entry == nil:
			if !c.wholeLocked(j.coll, now) || c.agingLocked(j.coll.until, now) {
				flights = append(flights, c.joinWholeLocked(j.coll, max(c.invalidAll, c.woken), now))
			}
		default:
			if e, ok := j.coll.entries.Load(j.entry.key); !ok || e != j.entry {
				continue // the entry was removed: a read of it could overlap a read of the entry that replaced it
			}
			if v := j.entry.hit(now); v == nil || c.agingLocked(v.until, now) {
				flights = append(flights, c.joinLocked(j.coll, j.entry, c.discardLocked(j.entry), now))
			}
		}
	}
	return flights
}

// agingLocked reports whether RefreshAhead should read data again that is fresh until the given instant. It should in
// the last tenth of the TTL.
func (c *cache) agingLocked(until, now clock.Instant) bool {
	ahead := c.options.ttl / 10
	return c.options.refreshAhead && ahead > 0 && until.Reached(now.Add(ahead))
}

// refreshAgingLocked schedules background reads of data that expires within a tenth of the TTL, at a random moment in
// the first half of that time. The sweeper calls it. Keys and collections in backoff are skipped.
func (c *cache) refreshAgingLocked(now clock.Instant) {
	for _, coll := range c.collections {
		if coll.start > 0 {
			if c.agingLocked(coll.until, now) && !coll.pausing(now) {
				c.refreshLocked(job{coll: coll}, c.options.ttl/20)
			}
			continue
		}
		for _, e := range coll.entries.AllRelaxed() {
			if v := e.fresh.Load(); v != nil && v.found() && c.agingLocked(v.until, now) && !e.pausing(now) {
				c.refreshLocked(job{coll, e}, c.options.ttl/20)
			}
		}
	}
}
