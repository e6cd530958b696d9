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
// A hit reads only atomic pointers to immutable values. Everything else runs under mu. The inner store, clients and the
// logger are never called while mu is held (see unlock).
type cache struct {
	inner   inner
	options options
	loggers ldlog.Loggers
	life    context.Context // canceled by close
	endLife context.CancelFunc
	running goroutines     // the goroutines that close waits for
	outage  *outage.Outage // its lock may be taken while mu is held, not the reverse

	inited   atomic.Bool // the table holds data; never reset
	swept    atomic.Bool // the sweeper removes expired values, so a hit reads no clock; never reset
	flags    *collection // LaunchDarkly's features; never changes
	segments *collection // never changes
	markers  *collection // contains only marker; never changes
	marker   *entry      // the table's marker; never changes

	// mu guards the fields below, and those of collection, entry and flight except where their comments differ.
	mu          sync.Mutex
	collections []*collection // one per kind
	seq         uint64        // number of the latest event
	invalidAll  uint64        // seq of the latest InvalidateAll
	woken       uint64        // seq of the latest Wake
	paused      uint64        // seq of the latest freeze or Wake
	settled     uint64        // seq at which the latest successful read started
	latest      clock.Instant // the latest reading of the clock
	freezes     int           // number of freezes detected
	askedInited clock.Instant // when IsInitialized of the inner store was last called
	refresher   refresher
	sweeping    bool // the sweeper was started
	stats       Stats
	lines       []string // warnings to log after mu is released
	closed      bool
}

// lastDownLambda is the longest pause between checks of an unreachable table in a Lambda function. It is shorter than
// in a service, because the function is frozen between invocations.
const lastDownLambda = time.Second

// newCache returns an engine with a collection for each of the SDK's current kinds. In a service the sweeper starts at
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

// nowLocked reads the clock and records whether the process was frozen since the last reading.
func (c *cache) nowLocked() clock.Instant {
	now := c.options.clock()
	if c.latest.Frozen(now) {
		c.freezes++
		c.paused = c.seq
	}
	c.latest = now
	return now
}

// warnLocked queues a line for the log.
func (c *cache) warnLocked(format string, args ...any) {
	c.lines = append(c.lines, fmt.Sprintf("cachedstore: "+format, args...))
}

// unlock releases mu, then logs the queued lines. The logger is called without the lock, because it may evaluate a
// flag.
func (c *cache) unlock() {
	lines := c.lines
	c.lines = nil
	c.mu.Unlock()
	for _, line := range lines {
		c.loggers.Warn(line)
	}
}

// collection returns the collection of a kind, without the lock for the two kinds that evaluations read. It compares
// names because that is faster than comparing interfaces.
func (c *cache) collection(kind ldstoretypes.DataKind) *collection {
	switch kind.GetName() {
	case c.flags.name:
		return c.flags
	case c.segments.name:
		return c.segments
	}
	return c.makeCollection(kind)
}

// makeCollection returns the collection of a kind, and creates it if there is none.
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

// invalidate assigns one seq to all the changes. For their keys, reads that started before it will be discarded. A kind
// without a collection is skipped, because nothing of it is cached or being read.
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

// invalidateLocked invalidates one key. It adds an entry for an unknown key if the collection was read, so that the key
// is known to be absent, or is being read, because that read may have passed the key before the change.
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
	coll.reset() // a backoff of the collection must not delay the next GetAll
	// Only cached data is read again in the background. A new key is part of a cached collection.
	if e.last != nil || coll.start > 0 {
		c.refreshLocked(job{coll, e}, refreshSpread)
	}
}

// invalidateEverything removes all fresh values. Reads that started before it will be discarded.
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

// wake removes the values that expired while the process was frozen. Reads that started before it will be discarded: a
// response that was in flight during a freeze may be hours old.
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

// preload reads every collection and waits for the reads. If a read fails, package outage logs it, and the items are
// read when a client needs them.
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

// forget removes all entries except those that a read in progress refers to. Later calls read the table again.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.unlock()
	c.seq++
	clear(c.refresher.due)
	c.invalidAll = c.seq // a read in progress may be older than an invalidation that the removed entries recorded
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

// ready calls the inner store in a goroutine, because some inner stores do not accept a context. If ctx ends first, the
// goroutine's result is discarded.
func (c *cache) ready(ctx context.Context) error {
	result := make(chan error, 1)
	started := c.running.start(func() {
		switch reached, marker := c.inner.check(ctx); {
		case !reached:
			result <- errors.New("cachedstore: the table cannot be read: check its name, region and permissions")
		case !marker:
			result <- fmt.Errorf("cachedstore: %w: run the sync, or check the prefix", ErrNoData)
		default:
			result <- nil
		}
	})
	if !started {
		return fmt.Errorf("cachedstore: %w", errClosed)
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cachedstore: check the table: %w", ctx.Err())
	}
}

// initialized calls the inner store at most once a second until the table holds data, because a client that is not
// initialized calls this method at every evaluation. In daemon mode the SDK does not call it.
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

// closeGrace is how long close waits for calls to an inner store that ignores its context.
const closeGrace = 100 * time.Millisecond

// close cancels all reads and releases the calls that wait for them. After that no goroutine starts.
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
	mu      sync.Mutex // guards stopped; nothing is added to wg after stopped is set
	stopped bool
	wg      sync.WaitGroup
}

// start runs f in a goroutine, unless g is stopped. It reports whether it did.
func (g *goroutines) start(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stopped {
		g.wg.Go(f)
	}
	return !g.stopped
}

// stop waits for the goroutines, for at most limit, and reports whether all have returned.
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

// resetBackoffs ends the backoff of every key and collection.
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

// available checks the table, for at most readLimit. A table without its marker counts as unreachable if this process
// has seen the marker: the table is being emptied or filled.
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
