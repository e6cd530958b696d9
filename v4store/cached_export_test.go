package v4store

import (
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// CacheClock replaces the cache's clock.
func CacheClock(now func() (mono, wall time.Duration)) CacheOption {
	return func(o *cacheOptions) {
		o.clock = func() clock.Instant {
			mono, wall := now()
			return clock.Instant{Mono: mono, Wall: wall}
		}
	}
}

// MaxUnknown sets the number of unknown keys that are kept in memory.
func MaxUnknown(n int) CacheOption { return func(o *cacheOptions) { o.unknown = n } }

// ManyStale sets the number of items that an All reads one by one.
func ManyStale(n int) CacheOption { return func(o *cacheOptions) { o.stale = n } }

// Held returns the number of a kind's entries in go-cache, and how many of them go-cache would expire.
func (c *Cache[K, I]) Held(kind K) (entries, expiring int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range c.collectionLocked(kind).entries.Items() {
		entries++
		if item.Expiration != 0 {
			expiring++
		}
	}
	return entries, expiring
}

// OnOutage calls f, with the cache's lock held, when an outage begins and ends.
func OnOutage(f func(down bool)) CacheOption { return func(o *cacheOptions) { o.onOutage = f } }

// BrokenRow returns the error of a row that was read and cannot be decoded.
func BrokenRow(err error) error { return &brokenRowError{err} }
