package v4store

import "time"

// CacheClock replaces both hands of the cache's clock.
func CacheClock(hands func() (mono, wall time.Duration)) CacheOption {
	return func(o *cacheOptions) {
		o.clock = func() instant {
			mono, wall := hands()
			return instant{mono: mono, wall: wall}
		}
	}
}

// MaxUnknown sets how many unknown keys are remembered.
func MaxUnknown(n int) CacheOption { return func(o *cacheOptions) { o.unknown = n } }

// Held returns how many entries go-cache holds of a kind, and how many of them it would take away by itself.
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
