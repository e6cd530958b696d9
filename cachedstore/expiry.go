package cachedstore

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// sweepInterval is the sweeper's pause. It is at most a tenth of any TTL that is swept.
const sweepInterval = 100 * time.Millisecond

// sweepAhead is how long before the end of its TTL a value is removed: a sweep that comes one interval late is still in
// time.
const sweepAhead = 2 * sweepInterval

// sweeps reports whether a sweeper removes what expires, so that hits need not read the clock.
func (opts *options) sweeps() bool {
	return !opts.strict && (opts.ttl < 0 || opts.ttl >= 10*sweepInterval)
}

// startSweeperLocked starts the sweeper, once, and reports whether it did. It runs in a service, and in Lambda from
// the first Wake. It sweeps before the mode changes: a hit that reads no clock takes what it finds. With StrictClock
// it only runs for RefreshAhead.
func (c *cache) startSweeperLocked() bool {
	ahead := c.options.refreshAhead && !c.options.freezes
	if c.sweeping || !c.options.sweeps() && !ahead {
		return false
	}
	c.sweeping = c.running.start(func() {
		ticker := time.NewTicker(sweepInterval)
		defer ticker.Stop()
		for {
			select {
			case <-c.life.Done():
				return
			case <-ticker.C:
			}
			c.mu.Lock()
			now := c.nowLocked()
			c.sweepLocked(now)
			if ahead {
				c.refreshAgingLocked(now)
			}
			c.unlock()
		}
	})
	c.sweepLocked(c.nowLocked())
	c.swept.Store(c.options.sweeps())
	return c.sweeping
}

// sweepLocked removes what expires within sweepAhead. A collection's expiry is a lower bound of all that is fresh in
// it, so most sweeps compare one instant per kind and visit no entry. Whatever makes something fresh lowers it; only
// this raises it.
func (c *cache) sweepLocked(now clock.Instant) {
	if c.options.sweeps() {
		now = now.Add(sweepAhead)
	}
	for _, coll := range c.collections {
		if !coll.expiry.Reached(now) {
			continue
		}
		coll.expiry = clock.Never
		if coll.until.Reached(now) {
			coll.until = coll.taken // else the last moments of a small collection would be read item by item
		}
		if v := coll.view.Load(); v != nil {
			if v.until.Reached(now) {
				coll.view.Store(nil)
			} else {
				coll.expiry = v.until
			}
		}
		for _, e := range coll.entries.AllRelaxed() {
			if v := e.hit(now); v != nil {
				coll.expiry = coll.expiry.Earlier(v.until)
			}
		}
	}
}
