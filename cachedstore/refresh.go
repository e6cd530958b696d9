package cachedstore

import (
	"math/rand/v2"
	"slices"
	"time"
)

// In a service what was cached and is not fresh any more is read again in the background, so that the next Get is
// a hit. It never starts in Lambda, where a goroutine may be frozen at any moment, and a read costs an invocation.
//
// Reads in the background are bounded and jittered: a fleet that is told to invalidate must not meet at one
// partition. A Get does not wait for them: it reads at once, and then there is nothing left to do.

const (
	// refreshSpread is the time over which the processes of a fleet read one changed item again.
	refreshSpread = 100 * time.Millisecond
	// refreshAllSpread is the same after InvalidateAll, which costs a Query.
	refreshAllSpread = 2 * time.Second
	// refreshAtOnce bounds the reads in the background that are under way at a time.
	refreshAtOnce = 4
)

// refresher has what is to be read again. Guarded by cache.mu. The flights under way are its goroutine's own; that one looks
// ten times in the spread of one item, so that nobody need wake it.
type refresher struct {
	due     map[job]time.Duration // not before the monotonic hand is there
	running bool                  // the goroutine lives: as long as something is due
}

// job is one item, or a whole collection where slot is nil.
type job struct {
	c    *collection
	slot *slot
}

// refreshLocked has something read again within a time. What is due by then already stays due when it was: many
// invalidations of one item do not put off its read. It does nothing in Lambda and without a cache.
func (s *cache) refreshLocked(j job, within time.Duration) {
	if !s.options.background || s.options.ttl == 0 || s.closed {
		return
	}
	now := s.clock().mono
	if at, ok := s.refresher.due[j]; ok && at <= now+within {
		return
	}
	if s.refresher.due == nil {
		s.refresher.due = map[job]time.Duration{}
	}
	s.refresher.due[j] = now + rand.N(max(within, 1))
	if s.refresher.running {
		return // it looks again before the spread of one item is over
	}
	s.refresher.running = true
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.refresh()
	}()
}

// refreshWholeLocked has everything of a kind that was cached read again: by one Query where it was cached as a
// whole, item by item otherwise.
func (s *cache) refreshWholeLocked(c *collection, within time.Duration) {
	if c.start > 0 {
		s.refreshLocked(job{c: c}, within)
		return
	}
	c.slots.each(func(sl *slot) {
		if sl.last != nil && sl.last.found() {
			s.refreshLocked(job{c, sl}, within)
		}
	})
}

// refresh works until nothing is due.
func (s *cache) refresh() {
	const look = refreshSpread / 10
	var flights []*flight // under way
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-timer.C:
		}
		s.mu.Lock()
		flights = slices.DeleteFunc(flights, func(f *flight) bool { return f.ended })
		flights = s.beginDueLocked(flights)
		if len(s.refresher.due) == 0 && len(flights) == 0 {
			s.refresher.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		timer.Reset(look)
	}
}

// beginDueLocked begins the reads that are due, as far as the bound allows, and forgets what is fresh by now. While
// the table is down nothing is read, and what was due is left to the Gets after it. A read that a Get has begun is joined,
// and counts as one of those under way.
func (s *cache) beginDueLocked(flights []*flight) []*flight {
	now := s.nowLocked()
	for j, at := range s.refresher.due {
		if at > now.mono {
			continue
		}
		if len(flights) == refreshAtOnce {
			break
		}
		delete(s.refresher.due, j)
		switch {
		case s.outage.down:
		case j.slot == nil:
			if !s.wholeLocked(j.c, now) || s.agingLocked(j.c.until, now) {
				flights = append(flights, s.joinLocked(&j.c.lane, &collectionReader{s, j.c}, max(s.invalidAll, s.woken)))
			}
		default:
			if v := j.slot.fresh.Load(); v == nil || s.agingLocked(v.until, now) {
				flights = append(flights, s.joinLocked(&j.slot.lane, &itemReader{s, j.c, j.slot}, s.staleTickLocked(j.slot)))
			}
		}
	}
	return flights
}

// agingLocked reports whether RefreshAhead should read again what is fresh until then: in the last tenth of the TTL.
func (s *cache) agingLocked(until, now instant) bool {
	ahead := s.options.ttl / 10
	return s.options.refreshAhead && ahead > 0 &&
		instant{mono: until.mono - ahead, wall: until.wall - ahead}.reached(now)
}

// refreshAgingLocked has what expires soon read again before it does: within half of the tenth of the TTL that is left. The
// timekeeper calls it, ten times a second; what is due already is not made due again, and what failed is left alone as a Get
// would leave it.
func (s *cache) refreshAgingLocked(now instant) {
	for _, c := range s.collections {
		if c.start > 0 {
			if s.agingLocked(c.until, now) && !c.resting(now) {
				s.refreshLocked(job{c: c}, s.options.ttl/20)
			}
			continue
		}
		c.slots.each(func(sl *slot) {
			if v := sl.fresh.Load(); v != nil && v.found() && s.agingLocked(v.until, now) && !sl.resting(now) {
				s.refreshLocked(job{c, sl}, s.options.ttl/20)
			}
		})
	}
}
