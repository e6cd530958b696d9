package cachedstore

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// In a service, what was cached and is not fresh any more is read again in the background, so that the next Get is a
// hit. In Lambda it is not: a goroutine may be frozen at any moment, and a read costs an invocation.
//
// Background reads are bounded and jittered: the processes of a fleet must not read one partition at the same moment. A
// Get does not wait for them: it reads at once, and then there is nothing left to do.

const (
	// refreshSpread is the time over which the processes of a fleet read one changed item again.
	refreshSpread = 100 * time.Millisecond
	// refreshAllSpread is the same after InvalidateAll, which costs a Query.
	refreshAllSpread = 2 * time.Second
	// maxConcurrentRefreshes bounds the background reads in progress.
	maxConcurrentRefreshes = 4
)

// refresher tracks what is to be read again. Guarded by cache.mu. Its goroutine looks ten times within the spread of
// one item, so nothing has to wake it.
type refresher struct {
	due     map[job]time.Duration // not before the monotonic clock shows this
	running bool                  // the goroutine runs: as long as something is due
}

// job is one item, or a whole collection if entry is nil.
type job struct {
	coll  *collection
	entry *entry
}

// refreshLocked has something read again within a time. Something that is already due by then stays due when it was:
// many invalidations of one item do not put off its read. It does nothing in Lambda and without a cache.
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

// refreshWholeLocked has everything of a kind that was cached read again: by one Query if it was cached as a whole,
// item by item otherwise.
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

// refresh runs until nothing is due.
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

// beginDueLocked begins the reads that are due, as far as the bound allows, and drops what is fresh by now. While the
// table is down nothing is read: what was due is left to the Gets after the outage. A read that a Get has begun is
// joined, and counts as one in progress.
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
				continue // forgotten: a read of it could overlap one of the entry that replaced it
			}
			if v := j.entry.hit(now); v == nil || c.agingLocked(v.until, now) {
				flights = append(flights, c.joinLocked(j.coll, j.entry, c.discardLocked(j.entry), now))
			}
		}
	}
	return flights
}

// agingLocked reports whether RefreshAhead should read again what is fresh until then: in the last tenth of the TTL.
func (c *cache) agingLocked(until, now clock.Instant) bool {
	ahead := c.options.ttl / 10
	return c.options.refreshAhead && ahead > 0 && until.Reached(now.Add(ahead))
}

// refreshAgingLocked has what expires soon read again before it does: within half of the tenth of the TTL that is
// left. The sweeper calls it. What is due already is not made due again, and what failed is left alone as a Get would
// leave it.
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
