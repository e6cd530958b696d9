package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/outage"
)

// cache is the engine of a [Store], from its first client's Build to its last client's Close. The package comment
// explains how it orders events.
//
// A hit reads only atomic pointers to values that never change after they are stored. Everything else runs under mu.
// Nothing is called while mu is held: not the inner store, not a client, not the logger (see unlock).
type cache struct {
	inner   inner
	options options
	loggers ldlog.Loggers
	life    context.Context // ends at close
	endLife context.CancelFunc
	running goroutines     // those that close waits for
	outage  *outage.Outage // its lock is taken after mu

	inited   atomic.Bool // the table holds data; never becomes false again
	swept    atomic.Bool // the sweeper removes what expires, so a hit reads no clock; never becomes false again
	flags    *collection // LaunchDarkly's features; never changes
	segments *collection // never changes
	markers  *collection // holds marker alone; never changes
	marker   *entry      // the table's marker; never changes

	mu          sync.Mutex    // guards the fields below and, unless they say otherwise, those of collection, entry and flight
	collections []*collection // one per kind
	seq         uint64        // number of the latest event
	invalidAll  uint64        // seq of the latest InvalidateAll
	woken       uint64        // seq of the latest Wake
	paused      uint64        // seq when the process was last known to have stood still; a Wake counts
	settled     uint64        // seq at which the latest read that succeeded began
	latest      clock.Instant // the latest reading of the clock
	freezes     int           // freezes seen so far
	askedInited clock.Instant // when the table was last asked whether it holds data
	refresher   refresher
	sweeping    bool // the sweeper was started
	stats       Stats
	lines       []string // warnings to write when mu is released
	closed      bool
}

// lastDownLambda is the longest pause between checks of a table that is down in a Lambda function, whose time stands
// still between invocations.
const lastDownLambda = time.Second

// newCache returns an engine with a collection for each kind that the SDK has today. In a service the sweeper starts at
// once; in Lambda it starts at the first Wake.
func newCache(core subsystems.PersistentDataStore, opts options, loggers ldlog.Loggers) *cache {
	c := &cache{inner: inner{core: core}, options: opts, loggers: loggers, latest: opts.clock()}
	c.life, c.endLife = context.WithCancel(context.Background())
	lastDown := outage.LastCheck
	if opts.freezes {
		lastDown = lastDownLambda
	}
	c.outage = outage.New(outage.Config{
		Check: c.available, Ended: c.resetBackoffs, Start: c.running.start, Done: c.life.Done(), Clock: opts.clock,
		Warn: func(line string) { c.loggers.Warn("cachedstore: " + line) }, LastDown: lastDown,
	})
	c.markers = newCollection(ldstoreimpl.Features())
	c.marker = c.markers.addEntry("$inited")
	c.flags = c.makeCollection(ldstoreimpl.Features())
	c.segments = c.makeCollection(ldstoreimpl.Segments())
	for _, kind := range ldstoreimpl.AllKinds() {
		c.makeCollection(kind)
	}
	if !opts.freezes {
		c.mu.Lock()
		c.startSweeperLocked()
		c.unlock()
	}
	return c
}

// nowLocked reads the clock and notes whether the process stood still since the last reading.
func (c *cache) nowLocked() clock.Instant {
	now := c.options.clock()
	if c.latest.Frozen(now) {
		c.freezes++
		c.paused = c.seq
	}
	c.latest = now
	return now
}

// warnLocked notes a line for the log.
func (c *cache) warnLocked(format string, args ...any) {
	c.lines = append(c.lines, fmt.Sprintf("cachedstore: "+format, args...))
}

// unlock releases mu, then writes the lines that were noted: a logger may evaluate a flag.
func (c *cache) unlock() {
	lines := c.lines
	c.lines = nil
	c.mu.Unlock()
	for _, line := range lines {
		c.loggers.Warn(line)
	}
}

// collection returns the collection of a kind, without the lock for the two kinds that evaluations read. Comparing
// names is cheaper than comparing interfaces.
func (c *cache) collection(kind ldstoretypes.DataKind) *collection {
	switch kind.GetName() {
	case c.flags.name:
		return c.flags
	case c.segments.name:
		return c.segments
	}
	return c.makeCollection(kind)
}

// makeCollection returns the collection of a kind, and makes it if there is none.
func (c *cache) makeCollection(kind ldstoretypes.DataKind) *collection {
	c.mu.Lock()
	defer c.unlock()
	for _, coll := range c.collections {
		if coll.name == kind.GetName() {
			return coll
		}
	}
	coll := newCollection(kind)
	c.collections = append(c.collections, coll)
	return coll
}

// invalidate assigns one seq to all these changes: reads that began before it are discarded for their keys. A kind
// without a collection is skipped: nothing of it is cached or being read.
func (c *cache) invalidate(changes []change.Change) {
	c.mu.Lock()
	defer c.unlock()
	c.seq++
	c.stats.Invalidations += len(changes)
	for _, ch := range changes {
		for _, coll := range c.collections {
			if coll.name == ch.Kind {
				c.invalidateLocked(coll, ch.Key)
			}
		}
	}
}

// invalidateLocked invalidates one key. A key without an entry gets one if its absence is known (the collection was
// read) or a read of the collection is in progress, which may have seen the key before the change.
func (c *cache) invalidateLocked(coll *collection, key string) {
	e, ok := coll.entries.Load(key)
	if !ok {
		if coll.start == 0 && coll.flight == nil {
			return
		}
		e = coll.addEntry(key)
	}
	e.invalidate(c.seq)
	coll.view.Store(nil)
	coll.reset() // GetAll must not wait for a backoff to read this key
	// Only what was cached is read in the background: the key, or the collection, of which a new key is a part.
	if e.last != nil || coll.start > 0 {
		c.refreshLocked(job{coll, e}, refreshSpread)
	}
}

// invalidateEverything discards all reads that began before it and removes every hit.
func (c *cache) invalidateEverything() {
	c.mu.Lock()
	defer c.unlock()
	c.seq++
	c.stats.InvalidateAlls++
	c.invalidAll = c.seq
	for _, coll := range c.collections {
		coll.view.Store(nil)
		coll.reset()
		for _, e := range coll.entries.AllRelaxed() {
			e.invalidate(c.seq)
		}
		c.refreshWholeLocked(coll, refreshAllSpread)
	}
}

// wake removes what expired while the process was frozen, and has reads that began before it discarded: an answer that
// was in flight during a freeze may be hours old.
func (c *cache) wake() {
	c.mu.Lock()
	c.seq++
	now := c.nowLocked()
	c.woken, c.paused = c.seq, c.seq
	if !c.startSweeperLocked() {
		c.sweepLocked(now)
	}
	c.unlock()
	c.outage.Hurry(now)
}

// preload reads every collection and waits for the reads. A read that fails is reported by the outage; its items are
// read when a client asks for them.
func (c *cache) preload() {
	c.mu.Lock()
	var flights []*flight
	for _, coll := range c.collections {
		f := c.joinWholeLocked(coll, c.invalidAll, c.nowLocked())
		f.waiters++
		flights = append(flights, f)
	}
	c.unlock()
	for _, f := range flights {
		<-f.done
	}
}

// forget removes what is cached, except entries that a read in progress will answer. Later calls read the table again.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.unlock()
	c.seq++
	c.invalidAll = c.seq // a read in progress may be older than an invalidation that is forgotten
	for _, coll := range c.collections {
		coll.view.Store(nil)
		coll.start, coll.until = 0, clock.Instant{}
		for key, e := range coll.entries.AllRelaxed() {
			if coll.droppable(e) {
				coll.entries.Delete(key)
			}
		}
	}
}

// ready asks the table in a goroutine, because not every inner store takes a context: when ctx ends first, the
// goroutine goes on and its answer is dropped.
func (c *cache) ready(ctx context.Context) error {
	answer := make(chan error, 1)
	asks := c.running.start(func() {
		switch reached, marker := c.inner.check(ctx); {
		case !reached:
			answer <- errors.New("cachedstore: the table cannot be read: check its name, region and permissions")
		case !marker:
			answer <- fmt.Errorf("cachedstore: %w: run the sync, or check the prefix", ErrNoData)
		default:
			answer <- nil
		}
	})
	if !asks {
		return fmt.Errorf("cachedstore: %w", errClosed)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cachedstore: ask the table: %w", ctx.Err())
	}
}

// initialized asks the table at most once a second until it holds data: a client that is not initialized asks at every
// evaluation. In daemon mode the SDK does not ask.
func (c *cache) initialized() bool {
	if c.inited.Load() {
		return true
	}
	c.mu.Lock()
	now := c.nowLocked()
	if c.askedInited != (clock.Instant{}) && c.askedInited.Age(now) < time.Second {
		c.unlock()
		return false
	}
	c.askedInited = now
	c.unlock()
	if c.inner.initialized() {
		c.inited.Store(true)
		c.inner.markerSeen.Store(true)
	}
	return c.inited.Load()
}

// closeGrace is how long close waits for calls into an inner store that ignores its context.
const closeGrace = 100 * time.Millisecond

// close cancels all reads and frees the calls that wait for them. Afterwards no goroutine starts.
func (c *cache) close() error {
	c.mu.Lock()
	c.closed = true
	c.unlock()
	c.endLife()
	if !c.running.stop(closeGrace) {
		c.loggers.Warn("cachedstore: closed while the inner store had not returned from a read")
	}
	if err := c.inner.core.Close(); err != nil {
		return fmt.Errorf("close cachedstore: %w", err)
	}
	return nil
}

// goroutines starts goroutines until it is stopped.
type goroutines struct {
	mu      sync.Mutex // guards stopped, and that wg grows only before
	stopped bool
	wg      sync.WaitGroup
}

// start runs f in a goroutine. It reports whether it did.
func (g *goroutines) start(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stopped {
		g.wg.Go(f)
	}
	return !g.stopped
}

// stop waits until all have returned, and reports whether they did within the limit.
func (g *goroutines) stop(limit time.Duration) bool {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(ended)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// resetBackoffs allows every key and collection to be read at once, whatever pause it was in.
func (c *cache) resetBackoffs() {
	c.mu.Lock()
	defer c.unlock()
	for _, coll := range c.collections {
		coll.reset()
		for _, e := range coll.entries.AllRelaxed() {
			e.reset()
		}
	}
	c.outage.Retried()
}

// available asks the table for as long as a read may take. An answer that comes later is dropped. A table that has
// lost a marker which this process has seen counts as unreachable: it is being emptied or filled.
func (c *cache) available() bool {
	ctx, cancel := context.WithTimeout(c.life, c.options.readLimit)
	defer cancel()
	answer := make(chan bool, 1)
	c.running.start(func() {
		seen := c.inner.markerSeen.Load()
		reached, marker := c.inner.check(ctx)
		answer <- reached && (marker || !seen)
	})
	select {
	case yes := <-answer:
		return yes
	case <-ctx.Done():
		return false
	}
}
