package v4store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
)

// Cache keeps the items of a [FeatureStore] in memory, and is a FeatureStore itself. Other processes may write the
// table. It keeps the promises of cachedstore (see the package's link), with two exceptions. A hit takes a lock and
// reads the clocks. And go-client.v4 is not notified of an outage, because it has no data store status; the outage is
// logged, once per failing period.
//
// Connect a source of changes to it. A Get that starts after Invalidate returned sees what the table held then or
// later, while the table can be reached, and waits for two reads at most. A process that can be frozen must call Wake.
//
// While the table cannot be reached, the last known value is served. A Get of an expired item waits for its read for
// 250 ms ([ShortWait]). A Get of an invalidated item waits until its read ends or [ReadLimit] has passed. After the
// first failure, calls that have a last known value do not wait. Wake, or a Get after a pause of 50 ms to 5 s, starts
// one read as a probe. So after the table has recovered, values are stale for at most that pause, the probe and one
// Get, or longer if the cache is not used. The last known value is also served if a row cannot be decoded.
//
// A read runs in its own goroutine. A read that takes longer than [ReadLimit] is abandoned, and its result is ignored.
//
// All methods are safe for concurrent use. Returned items are shared and must not be changed. Returned maps belong to
// the caller.
//
// Everything runs under one mutex. Each event is assigned a sequence number: a read starts, a read ends, an item is
// invalidated. File cached_entry.go defines when a value is fresh and when it is kept. cached_read.go runs the reads,
// cached_all.go reads a whole kind, cached_outage.go handles failed reads, and cached_marker.go handles an emptied
// table.
type Cache[K Kind[I], I Item] struct {
	inner   FeatureStore[K, I]
	options cacheOptions
	wrong   error // the error of invalid options, or nil; never changes
	inited  initialized
	marker  marker
	closing chan struct{} // closed by Close

	mu          sync.Mutex                   // guards the fields below, and those of collection, entry, flight, outage
	collections map[string]*collection[K, I] // by the kind's namespace
	seq         uint64                       // the number of the latest event
	invalidAll  uint64                       // seq of the latest InvalidateAll
	woken       uint64                       // seq of the latest Wake or detected freeze
	answered    uint64                       // seq at which the latest successful read started
	seen        clock.Instant                // the latest reading of the clock
	warned      clock.Instant                // when broken rows were last logged
	outage      outage[K, I]
	stats       CacheStats
	closed      bool
}

// Cached returns a cache over inner, such as a [Table]. It reads nothing. All invalid options are reported together, by
// each method that can return an error.
func Cached[K Kind[I], I Item](inner FeatureStore[K, I], options ...CacheOption) *Cache[K, I] {
	c := &Cache[K, I]{
		inner: inner, options: defaultCacheOptions(), collections: map[string]*collection[K, I]{},
		closing: make(chan struct{}),
	}
	c.outage.began = make(chan struct{})
	for _, o := range options {
		o(&c.options)
	}
	c.wrong = c.options.validate(inner != nil)
	return c
}

// Get returns an item. An item that is missing or deleted is the zero I and no error. A hit reads nothing. If the read
// fails, Get returns the last known value. It returns an error if there is no last known value or [MaxStale] forbids
// it, and after Close.
func (c *Cache[K, I]) Get(kind K, key string) (none I, err error) {
	if c.wrong != nil {
		return none, c.wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return none, fmt.Errorf("read %s %q: %w", kind.GetNamespace(), key, errClosed)
	}
	col, begun, now := c.collectionLocked(kind), c.seq, c.nowLocked()
	e := col.find(key)
	if e == nil {
		if c.freshLocked(&col.whole, now) {
			c.stats.Hits++
			return none, nil // the collection does not have it
		}
		e = col.add(key)
		col.asked++
	}
	if c.freshLocked(e, now) {
		c.stats.Hits++
		return e.last.item, nil
	}
	c.stats.Misses++
	err = c.readLocked(col, e, begun, now)
	if err == nil && e.last == nil { // a read of the whole kind found a row that cannot be decoded
		err = e.failure
	}
	if err != nil {
		if errors.Is(err, errClosed) || !c.servable(e.last, c.nowLocked()) {
			return none, fmt.Errorf("read %s %q: %w", col.kind.GetNamespace(), key, err)
		}
		c.stats.StaleServes++
	}
	return e.last.item, nil
}

// readLocked waits for a read that satisfies a Get of e. It returns an error if the read failed, if no read may start
// now, or if the call must not wait any longer.
func (c *Cache[K, I]) readLocked(col *collection[K, I], e *entry[K, I], begun uint64, now clock.Instant) error {
	servable := c.servable(e.last, now)
	if c.blockedLocked(e, now) && (servable || e.flight == nil) {
		return c.reasonLocked(e)
	}
	wait := c.waitLocked(e, now)
	if c.skipsLocked(wait) {
		return errSlow
	}
	f := c.joinLocked(col, e, c.needLocked(e, begun), now)
	err := c.awaitLocked(wait, servable, f)
	if errors.Is(err, errSlow) && !c.servable(e.last, c.nowLocked()) { // it reached MaxStale during the wait
		err = c.awaitLocked(-1, false, f)
	}
	return cmp.Or(err, f.err)
}

// unusable returns the error of invalid options or of a closed cache, or nil.
func (c *Cache[K, I]) unusable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong == nil && c.closed {
		return errClosed
	}
	return c.wrong
}

// Init writes to the inner store and invalidates everything.
func (c *Cache[K, I]) Init(all map[K]map[string]I) error {
	if err := c.unusable(); err != nil {
		return err
	}
	defer c.InvalidateAll() // also after an error, because some items may have been written
	err := c.inner.Init(all)
	if err == nil {
		c.inited.mu.Lock()
		defer c.inited.mu.Unlock()
		c.inited.yes = true
	}
	return err
}

// Upsert writes to the inner store and invalidates the item.
func (c *Cache[K, I]) Upsert(kind K, item I) error {
	if err := c.unusable(); err != nil {
		return err
	}
	defer c.Invalidate(change.Change{Kind: kind.GetNamespace(), Key: item.GetKey()})
	return c.inner.Upsert(kind, item)
}

// Delete writes to the inner store and invalidates the item.
func (c *Cache[K, I]) Delete(kind K, key string, version int) error {
	if err := c.unusable(); err != nil {
		return err
	}
	defer c.Invalidate(change.Change{Kind: kind.GetNamespace(), Key: key})
	return c.inner.Delete(kind, key, version)
}

// Invalidate implements [change.Sink]. The next Get of each of these items reads it again.
func (c *Cache[K, I]) Invalidate(changes ...change.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.stats.Invalidations += len(changes)
	for _, ch := range changes {
		if col := c.collections[ch.Kind]; col != nil {
			c.invalidateLocked(col, ch.Key)
		}
	}
}

func (c *Cache[K, I]) invalidateLocked(col *collection[K, I], key string) {
	col.whole.failedAt = 0 // an All must not skip the read of this key because of a backoff
	e := col.find(key)
	if e == nil {
		if col.whole.last == nil && col.whole.flight == nil {
			return // the key is neither cached nor being read
		}
		e = col.add(key)
	}
	e.invalid = c.seq
}

// InvalidateAll implements [change.Sink]. Each item is read again when a call needs it. A kind that was cached as a
// whole is read again by one read.
func (c *Cache[K, I]) InvalidateAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.invalidAll = c.seq
	c.stats.InvalidateAll++
}

// Wake implements [change.Waker]. It means that an invocation starts and that the process may have been frozen until
// now. Reads that started earlier do not count as fresh. So call it only when an invocation starts and no other is
// running; package journal does. In an outage it starts a probe, which the invocation does not wait for.
func (c *Cache[K, I]) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.woken = c.seq
	if !c.closed {
		c.probeLocked(c.nowLocked())
	}
}

// Close closes the cache. Waiting calls and all later calls return an error. It does not wait for reads. It closes the
// inner store if that is an [io.Closer]. go-server-sdk.v4 calls Close when its client is closed; go-client.v4 does not.
func (c *Cache[K, I]) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.closing)
	c.mu.Unlock()
	if closer, ok := c.inner.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			return fmt.Errorf("close inner store: %w", err)
		}
	}
	return nil
}

// nowLocked reads the clock. If the wall clock advanced farther than the monotonic clock since the latest reading, the
// process was frozen, which counts as a Wake.
func (c *Cache[K, I]) nowLocked() clock.Instant {
	now := c.options.clock()
	if c.seen != (clock.Instant{}) && c.seen.Frozen(now) {
		c.seq++
		c.woken = c.seq
	}
	c.seen = now
	return now
}

// Stats returns the counts since the cache was created.
func (c *Cache[K, I]) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	for _, col := range c.collections {
		stats.Items += col.entries.ItemCount()
	}
	return stats
}
