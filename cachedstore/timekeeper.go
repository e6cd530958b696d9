package cachedstore

import (
	"math/rand/v2"
	"time"
)

// The timekeeper takes from fresh what has expired, so that a hit need not look at a clock. It lives in services,
// and in Lambda from the first Wake, which is a tick of its own: after a thaw it comes before the first Get.
//
// When the whole process was stopped (a suspended machine, a paused container) and nothing calls Wake, the timekeeper
// learns of it when it next runs: a Get in the meantime may serve what has expired. StrictClock is for those who
// mind.

// tick is the timekeeper's pause.
const tick = 100 * time.Millisecond

// keepTimeLocked starts the timekeeper, once. With StrictClock it only runs for RefreshAhead, and hits look at the
// clock all the same. What has expired goes before the mode is set: a hit that sees another mode than clocked looks at no
// clock, and takes what it finds. The goroutine ends with the cache.
func (s *cache) keepTimeLocked() {
	ahead := s.options.refreshAhead && s.options.background
	if s.keeping || s.closed || s.options.strict && !ahead {
		return
	}
	s.keeping = true
	if !s.options.strict {
		s.sweepLocked(s.nowLocked())
		s.mode.Store(timed)
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for n := 1; ; n++ {
			select {
			case <-s.life.Done():
				return
			case <-ticker.C:
				s.mu.Lock()
				now := s.nowLocked()
				s.sweepLocked(now)
				switch {
				case s.options.strict:
				case n%countedTicks == 0:
					s.mode.Store(counting)
				default:
					s.mode.Store(timed)
				}
				if ahead {
					s.refreshAgingLocked(now)
				}
				s.mu.Unlock()
			}
		}
	}()
}

// The modes of a hit. It begins as clocked, and never becomes that again.
const (
	clocked  = iota // look at the clock, and count
	timed           // do nothing: what expires is taken away
	counting        // as timed, and be counted
)

// An atomic counter would cost a hit more than all the rest: one tick in countedTicks counts, and that one hit in
// countedHits, drawn by chance. Each that is drawn stands for the product of both.
const countedTicks, countedHits = 16, 16

// hit reports whether what is fresh until then is a hit of Get, and counts it. It takes no lock. client.Get looks for the
// mode timed before it calls this, so that the usual hit of a service makes no call.
func (s *cache) hit(until instant) bool {
	switch {
	case s.mode.Load() != clocked:
		if rand.Uint32()%countedHits == 0 {
			s.hits.Add(countedTicks * countedHits)
		}
		return true
	case until.reached(s.clock()):
		return false
	}
	s.hits.Add(1)
	return true
}

// fresh is the same for GetAll, whose hits are not counted. With a timekeeper all that is there is a hit: what expires is
// taken away.
func (s *cache) fresh(until instant) bool {
	return s.mode.Load() != clocked || !until.reached(s.clock())
}

// sweepLocked takes away what has expired. A collection's expiry is a lower bound of all that is fresh in it, so that most
// ticks look at one instant a kind and at no slot. Whoever makes something fresh lowers it; only this raises it.
func (s *cache) sweepLocked(now instant) {
	for _, c := range s.collections {
		if !c.expiry.reached(now) {
			continue
		}
		c.expiry = never
		if v := c.view.Load(); v != nil {
			if v.until.reached(now) {
				c.view.Store(nil)
			} else {
				c.expiry = v.until
			}
		}
		c.slots.each(func(sl *slot) {
			if v := sl.fresh.Load(); v == nil {
				return
			} else if v.until.reached(now) {
				sl.fresh.Store(nil)
			} else {
				c.expiry = c.expiry.earlier(v.until)
			}
		})
	}
}
