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
)

// cache is the engine behind a [Store], from its first client's Build to its last client's Close.
//
// There are two ways through it. The hot one (client.Get and GetAll) takes no lock: it loads flags or segments, the
// key's slot, the slot's fresh pointer and mode, and is done when there is a value. All else holds mu: the begin
// and the end of a read, an invalidation and a Wake each raise tick by one, so that any two of them can be compared. The
// mutex is never held while the table is read or a client is called.
//
// What is reached without mu is an atomic pointer to something that never changes after it is stored. An invalidation
// clears these pointers before it returns, and that alone makes the next Get come to the slow way.
type cache struct {
	core    subsystems.PersistentDataStore
	options options
	loggers ldlog.Loggers
	life    context.Context // ends at close
	finish  context.CancelFunc
	running sync.WaitGroup // all goroutines of this cache; it grows under mu while not closed, or from one that it counts

	inited   atomic.Bool   // the table holds data; once true it stays
	mode     atomic.Uint32 // what a hit has to do: see timekeeper.go
	flags    *collection   // LaunchDarkly's features; never changes
	segments *collection   // never changes

	_    [64]byte // what every hit reads is not beside what is written
	hits atomic.Int64

	mu          sync.Mutex    // guards the fields below, and what slot, collection, lane, flight and outage say
	collections []*collection // one a kind
	tick        uint64        // the number of the latest event
	invalidAll  uint64        // tick of the latest InvalidateAll
	woken       uint64        // tick of the latest Wake
	gap         time.Duration // how far the clock's hands were apart at the latest look
	freezes     int           // seen so far
	asked       instant       // when the table was last asked whether it holds data
	outage      outage
	refresher   refresher
	keeping     bool // the timekeeper was started
	stats       Stats
	closed      bool
}

// newCache makes the engine, with a place for each kind that the SDK has today. In a service the timekeeper starts at
// once; in Lambda it waits for the first Wake.
func newCache(core subsystems.PersistentDataStore, o options, loggers ldlog.Loggers) *cache {
	s := &cache{core: core, options: o, loggers: loggers}
	s.life, s.finish = context.WithCancel(context.Background())
	s.outage.poke = make(chan struct{}, 1)
	s.flags = s.makeCollection(ldstoreimpl.Features())
	s.segments = s.makeCollection(ldstoreimpl.Segments())
	for _, kind := range ldstoreimpl.AllKinds() {
		s.makeCollection(kind)
	}
	if o.background {
		s.mu.Lock()
		s.keepTimeLocked()
		s.mu.Unlock()
	}
	return s
}

// clock is now by both hands. The hot path avoids it where it can: see timekeeper.go.
func (s *cache) clock() instant { return s.options.clock() }

// nowLocked is the clock, and notes whether the process stood still since the last call. A freeze that was seen once has
// happened, though the wall clock may step back. The very first call counts one too, when there is no read yet that it
// could concern.
func (s *cache) nowLocked() instant {
	now := s.clock()
	if now.gap()-s.gap > freezeGap {
		s.freezes++
	}
	s.gap = now.gap()
	return now
}

// collection finds or makes the place of a kind, without the lock for the two kinds that evaluations read. Comparing names
// is cheaper than comparing interfaces.
func (s *cache) collection(kind ldstoretypes.DataKind) *collection {
	switch kind.GetName() {
	case s.flags.name:
		return s.flags
	case s.segments.name:
		return s.segments
	}
	return s.makeCollection(kind)
}

// makeCollection finds the place of a kind by its name under the lock, or makes it. Its zero expiry makes the first sweep
// look at it, and its zero until says that it was never read.
func (s *cache) makeCollection(kind ldstoretypes.DataKind) *collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.collections {
		if c.name == kind.GetName() {
			return c
		}
	}
	c := &collection{kind: kind, name: kind.GetName()}
	s.collections = append(s.collections, c)
	return c
}

// invalidate gives all these changes one tick: reads that began before it are discarded for their keys. A kind without a
// place is skipped: nothing of it is cached or being read, so its first read begins after this.
func (s *cache) invalidate(changes []change.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.nowLocked()
	s.tick++
	s.stats.Invalidations += len(changes)
	for _, ch := range changes {
		for _, c := range s.collections {
			if c.name == ch.Kind {
				s.invalidateLocked(c, ch, now)
			}
		}
	}
}

// invalidateLocked marks one key, of which perhaps nothing is known yet. A slot is made for it where its absence is known
// (the whole collection was read, and a Get would be told "not found" without a read), and where a read of the
// collection is under way, which may have seen the key before the change: its value must meet a slot that says so.
// A version is remembered only to notice a table that lags behind its messages (see slot.lag); it never decides
// whether the key is read.
func (s *cache) invalidateLocked(c *collection, ch change.Change, now instant) {
	sl := c.slots.get(ch.Key)
	if sl == nil {
		if c.start == 0 && c.flight == nil {
			return // nothing is known of the key, and nothing is being read
		}
		sl = c.newSlot(ch.Key)
		c.slots.add(sl)
	}
	sl.invalidate(s.tick)
	sl.expect, sl.expected, sl.lagging = ch.Version, now, 0
	c.view.Store(nil)
	c.failures = 0 // a GetAll must not rest over this key
	// Only what was cached is read in the background: the key, or the collection, for which a new key is news.
	if sl.last != nil || c.start > 0 {
		s.refreshLocked(job{c, sl}, refreshSpread)
	}
}

// invalidateEverything discards all reads that began before it, by invalidAll, and takes away every hit. The collections
// need no mark of their own: wholeLocked compares their start with invalidAll. Versions that messages announced are
// forgotten, because the table may have been reset to lower ones.
func (s *cache) invalidateEverything() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	s.stats.InvalidateAll++
	s.invalidAll = s.tick
	for _, c := range s.collections {
		c.view.Store(nil)
		c.failures = 0
		c.slots.each(func(sl *slot) {
			sl.invalidate(s.tick)
			sl.expect = 0
		})
		s.refreshWholeLocked(c, refreshAllSpread)
	}
}

// wake takes away what has expired during the freeze before the invocation's first Get, and has the reads that began
// before it discarded: the answer of a read that was frozen in flight may be hours old, though it has just arrived.
// What has not expired stays. The poller's timer stood still as well, so that one is told to look now.
func (s *cache) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	s.woken = s.tick
	s.keepTimeLocked()
	s.sweepLocked(s.nowLocked())
	s.pokeLocked()
}

// preload reads every collection, and waits for it. A read that fails is not reported: the client is built all the same,
// and asks again as any Get does.
func (s *cache) preload() {
	s.mu.Lock()
	var flights []*flight
	for _, c := range s.collections {
		flights = append(flights, s.joinLocked(&c.lane, &collectionReader{s, c}, s.invalidAll))
	}
	s.mu.Unlock()
	for _, f := range flights {
		<-f.done
	}
}

// ready asks the table in a goroutine of its own, because a store's IsStoreAvailable and IsInitialized take no context:
// when ctx ends first, the goroutine goes on alone, and its answer waits in the buffer for nobody. Only close waits for it.
func (s *cache) ready(ctx context.Context) error {
	answer := make(chan error, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("cachedstore: %w", errClosed)
	}
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		switch {
		case !s.available():
			answer <- errors.New("cachedstore: the table cannot be read: check its name, region and permissions")
		case !s.holdsData():
			answer <- fmt.Errorf("cachedstore: %w: run the sync, or check the prefix", ErrNoData)
		default:
			answer <- nil
		}
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cachedstore: ask the table: %w", ctx.Err())
	}
}

// initialized asks the table at most once a second until it holds data: a client that is not initialized asks at every
// evaluation. In between the answer is no. Not in daemon mode: there the SDK takes its own word and does not ask.
func (s *cache) initialized() bool {
	if s.inited.Load() {
		return true
	}
	s.mu.Lock()
	now := s.clock()
	if s.asked != (instant{}) && s.asked.age(now) < time.Second {
		s.mu.Unlock()
		return false
	}
	s.asked = now
	s.mu.Unlock()
	yes := s.holdsData()
	if yes {
		s.inited.Store(true)
	}
	return yes
}

// holdsData asks the table. A panic is a no, as in available.
func (s *cache) holdsData() (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			s.loggers.Errorf("cachedstore: store panicked: %v", p)
		}
	}()
	return s.core.IsInitialized()
}

// statistics counts what is at hand now, and adds the hits, which are counted apart because they hold no lock.
func (s *cache) statistics() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats, now := s.stats, s.clock()
	stats.Hits = int(s.hits.Load())
	for _, c := range s.collections {
		c.slots.each(func(sl *slot) {
			stats.Items++
			if v := sl.hit(now); v != nil {
				stats.Oldest = max(stats.Oldest, v.taken.age(now))
			}
		})
	}
	return stats
}

// close ends all reads, and waits for them as long as a read may take; a store that does not return then is closed under
// its read. After closed is set no goroutine begins any more, so that running can be waited for: a miss is answered
// with the last known value or errClosed (see beginLocked).
func (s *cache) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.finish()
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	timer := time.NewTimer(s.options.readLimit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		s.loggers.Warn("cachedstore: closed while a read of the table had not ended, or a client's status was not taken")
	}
	if err := s.core.Close(); err != nil {
		return fmt.Errorf("close cachedstore: %w", err)
	}
	return nil
}
