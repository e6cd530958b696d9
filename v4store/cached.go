package v4store

import (
	"log/slog"
	"sync"
	"time"

	"github.com/warmflags/warmflags/change"
)

// Cache keeps what a [FeatureStore] holds in memory, and is one itself; other processes may write the table below it.
// It keeps the promises of cachedstore (see the package's link), but for three: a hit is not free of locks and clocks;
// go-client.v4 is not told of an outage, because it has no data store status, though the log is, once a minute, and
// [Cache.Stats]; and nobody finds out about the end of an outage but a Get. So while the table does not answer, a Get waits
// for one read of its item, [ReadLimit] at most, whenever the pause after that item's last failure is over (50 milliseconds,
// then twice as long each time, up to 5 seconds), and for one after a message. A function that evaluates many flags waits
// for each of them.
//
// A source of changes delivers to it: a Get that starts after Invalidate returned sees what the table held then or
// later, while the table can be reached, and waits for two reads at most. A process that can be frozen calls Wake.
// While the table cannot be reached the last known value is served, and so it is where a row cannot be understood. Reads run
// beside their callers: one that takes longer than [ReadLimit] is abandoned, and what it finds in the end is neither kept
// nor returned.
//
// All its methods are safe for concurrent use. The items that it returns are shared, and must not be changed; maps are
// the caller's own.
//
// Under one mutex each event gets a number, its tick: a read begins, a read ends, an item is invalidated. File
// cached_entry.go has the rules by which a value is fresh and is kept, cached_read.go runs the reads, and
// cached_all.go puts a whole kind together.
type Cache[K Kind[I], I Item] struct {
	inner   FeatureStore[K, I]
	options cacheOptions
	wrong   error // what is wrong with the options; never changes
	inited  initialized

	mu          sync.Mutex                   // guards the fields below, and what collection, entry and flight say
	collections map[string]*collection[K, I] // by the kind's namespace
	tick        uint64                       // the number of the latest event
	invalidAll  uint64                       // tick of the latest InvalidateAll
	woken       uint64                       // tick of the latest Wake, or of when a freeze was seen
	seen        instant                      // the latest look at the clock
	warned      instant                      // when a failed read was last logged
	stats       CacheStats
}

// Cached makes a cache over inner, such as [DynamoDB]'s store. It reads nothing. Wrong options are reported by each
// method that can return an error, all at once.
func Cached[K Kind[I], I Item](inner FeatureStore[K, I], options ...CacheOption) *Cache[K, I] {
	c := &Cache[K, I]{inner: inner, options: defaultCacheOptions(), collections: map[string]*collection[K, I]{}}
	for _, o := range options {
		o(&c.options)
	}
	c.wrong = c.options.validate(inner != nil)
	return c
}

// Get returns an item; one that is missing or deleted is the zero I and no error. A hit reads nothing. When the read
// fails it is the last known value, and an error only where there is none, or none that [MaxStale] allows.
func (c *Cache[K, I]) Get(kind K, key string) (none I, err error) {
	if c.wrong != nil {
		return none, c.wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	col, begun, now := c.collectionLocked(kind), c.tick, c.nowLocked()
	e := col.find(key)
	if e == nil {
		if c.freshLocked(&col.whole, col.whole.last, now) {
			c.stats.Hits++
			return none, nil // the collection does not have it
		}
		e = col.add(key)
		col.asked++
	}
	if c.freshLocked(e, e.last, now) {
		c.stats.Hits++
		return e.last.item, nil
	}
	c.stats.Misses++
	if c.restingLocked(e, now) && (c.servable(e.last, now) || e.flight == nil) {
		return c.lastLocked(e, e.failure)
	}
	f := c.joinLocked(col, e, c.afterLocked(e, begun))
	c.awaitLocked(f)
	if f.err != nil {
		return c.lastLocked(e, f.err)
	}
	// What is known now: what this read found, or what was kept before it ended, or a later read's.
	return e.last.item, nil
}

// lastLocked answers a Get whose read failed.
func (c *Cache[K, I]) lastLocked(e *entry[I], err error) (none I, _ error) {
	if !c.servable(e.last, c.nowLocked()) {
		return none, err
	}
	c.stats.StaleServes++
	return e.last.item, nil
}

// Init writes through, and what was cached is read again.
func (c *Cache[K, I]) Init(all map[K]map[string]I) error {
	if c.wrong != nil {
		return c.wrong
	}
	defer c.InvalidateAll() // also after an error: part of it may have been written
	err := c.inner.Init(all)
	if err == nil {
		c.inited.mu.Lock()
		defer c.inited.mu.Unlock()
		c.inited.yes = true
	}
	return err
}

// Upsert writes through, and the item is read again.
func (c *Cache[K, I]) Upsert(kind K, item I) error {
	if c.wrong != nil {
		return c.wrong
	}
	defer c.Invalidate(change.Change{Kind: kind.GetNamespace(), Key: item.GetKey()})
	return c.inner.Upsert(kind, item)
}

// Delete writes through, and the item is read again.
func (c *Cache[K, I]) Delete(kind K, key string, version int) error {
	if c.wrong != nil {
		return c.wrong
	}
	defer c.Invalidate(change.Change{Kind: kind.GetNamespace(), Key: key})
	return c.inner.Delete(kind, key, version)
}

// initialized is what is known of whether the table holds data.
type initialized struct {
	mu    sync.Mutex // guards the fields below; held while the table is asked, so that others wait for the answer
	yes   bool       // once true it stays
	asked instant    // when the table last said no
}

// Initialized reports whether the table holds flags. Once it was true it stays true and costs nothing; until then
// the table is asked at most once a second, and all callers wait for that answer.
func (c *Cache[K, I]) Initialized() bool {
	c.inited.mu.Lock()
	defer c.inited.mu.Unlock()
	if c.inited.yes || c.inner == nil {
		return c.inited.yes
	}
	if asked := c.inited.asked; asked != (instant{}) && asked.age(c.options.clock()) < time.Second {
		return false
	}
	c.inited.yes = c.holdsData()
	c.inited.asked = c.options.clock()
	return c.inited.yes
}

// holdsData asks the inner store. A panic is a no.
func (c *Cache[K, I]) holdsData() (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			c.options.logger.Error("v4store: store panicked", slog.Any("panic", p))
		}
	}()
	return c.inner.Initialized()
}

// Invalidate implements [change.Sink]: these items are read again when they are next asked for.
func (c *Cache[K, I]) Invalidate(changes ...change.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowLocked()
	c.tick++
	c.stats.Invalidations += len(changes)
	for _, ch := range changes {
		if col := c.collections[ch.Kind]; col != nil {
			c.invalidateLocked(col, ch, now)
		}
	}
}

func (c *Cache[K, I]) invalidateLocked(col *collection[K, I], ch change.Change, now instant) {
	col.whole.failures = 0 // an All must not rest over this key
	e := col.find(ch.Key)
	if e == nil {
		if col.whole.last == nil && col.whole.flight == nil {
			return // nothing is known of the key, and nothing is being read
		}
		e = col.add(ch.Key)
	}
	e.invalid = c.tick
	e.rumor, e.lagging = rumor{version: ch.Version, gone: ch.Deleted, came: now}, 0
}

// InvalidateAll implements [change.Sink]: everything is read again when it is next asked for.
func (c *Cache[K, I]) InvalidateAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	c.invalidAll = c.tick
	c.stats.InvalidateAll++
}

// Wake implements [change.Waker]: an invocation begins, and the process may have been frozen until now. A read that
// began earlier does not count as fresh.
func (c *Cache[K, I]) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	c.woken = c.tick
}

// nowLocked looks at the clock. Where the hands moved apart since the last look, the process was frozen: that counts as
// Wake does.
func (c *Cache[K, I]) nowLocked() instant {
	now := c.options.clock()
	if c.seen != (instant{}) && c.seen.frozen(now) {
		c.tick++
		c.woken = c.tick
	}
	c.seen = now
	return now
}

// Stats returns the counts since the cache was made.
func (c *Cache[K, I]) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	for _, col := range c.collections {
		stats.Items += col.entries.ItemCount()
	}
	return stats
}
