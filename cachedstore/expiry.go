package cachedstore

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// sweepInterval is the interval of the sweeper. It is at most a tenth of any TTL for which the sweeper runs.
const sweepInterval = 100 * time.Millisecond

// sweepAhead is how long before the end of its TTL a value is removed. A sweep that runs one interval late still
// removes the value in time.
const sweepAhead = 2 * sweepInterval

// sweeps reports whether the sweeper removes expired values, so that hits need not read the clock.
func (opts *options) sweeps() bool {
	return !opts.strict && (opts.ttl < 0 || opts.ttl >= 10*sweepInterval)
}

// startSweeperLocked starts the sweeper, once, and reports whether it did. The sweeper runs in a service, and in Lambda
// from the first Wake. With StrictClock it runs only for RefreshAhead. The first sweep runs before swept is set,
// because from then on a hit reads no clock.
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

// sweepLocked removes values that expire within sweepAhead. A collection's expiry is a lower bound for everything fresh
// in it, so most sweeps compare one instant per kind and visit no entry. Storing a fresh value lowers expiry; only
// sweepLocked raises it.
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
			coll.until = coll.taken // expired: otherwise the entries, removed early, would be read one by one
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
