package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"

	"github.com/warmflags/warmflags/change"
)

// Store is a cache over a table of flags, shared by the clients that are built with it. It goes into
// ld.Config.DataStore, and a source of changes delivers to it. All its methods are safe for concurrent use.
type Store struct {
	inner   subsystems.ComponentConfigurer[subsystems.PersistentDataStore]
	options options

	build   sync.Mutex // makes Build and the last Close follow each other; taken before mu
	mu      sync.Mutex // guards the fields below; taken before cache.mu
	cache   *cache     // nil before the first client is built and after the last was closed
	clients int        // that use cache
}

var (
	_ subsystems.ComponentConfigurer[subsystems.DataStore] = (*Store)(nil)
	_ subsystems.DiagnosticDescription                     = (*Store)(nil)
	_ change.Sink                                          = (*Store)(nil)
	_ change.Waker                                         = (*Store)(nil)
)

// ErrNotBuilt is the cause of [Store.Ready]'s error while no client uses the store.
var ErrNotBuilt = errors.New("no client has been built with this store")

// ErrNoData is the cause of [Store.Ready]'s error when the table can be read and was never filled.
var ErrNoData = errors.New("the table holds no flags for this prefix")

// New makes a cache over inner, such as dynamostore.DataStore("table"). Nothing is read, and wrong options are
// not reported, before a client is built with it.
func New(inner subsystems.ComponentConfigurer[subsystems.PersistentDataStore], opts ...Option) *Store {
	s := &Store{inner: inner, options: defaults()}
	for _, o := range opts {
		o(&s.options)
	}
	return s
}

// Build is called by LaunchDarkly's client. The first one opens the table; others, built while one is open, share
// the cache. The last one's Close closes it.
func (s *Store) Build(clientContext subsystems.ClientContext) (subsystems.DataStore, error) {
	s.build.Lock()
	defer s.build.Unlock()
	if s.current() == nil {
		if err := s.options.validate(); err != nil {
			return nil, fmt.Errorf("build cachedstore: %w", err)
		}
		if s.inner == nil {
			return nil, errors.New("build cachedstore: no inner store: pass one to New, such as dynamostore.DataStore(table)")
		}
		core, err := s.inner.Build(clientContext)
		if err != nil {
			return nil, fmt.Errorf("build cachedstore: %w", err)
		}
		c := newCache(core, s.options, clientContext.GetLogging().Loggers)
		s.mu.Lock()
		s.cache = c
		s.mu.Unlock()
		if s.options.preload {
			c.preload() // and is invalidated meanwhile
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients++
	return s.cache.client(clientContext.GetDataStoreUpdateSink(), s.release), nil
}

// release is called once for each client that is closed. The last one's closes the cache, which the store forgets first: a
// Build that waits for it meanwhile makes another.
func (s *Store) release() error {
	s.build.Lock()
	defer s.build.Unlock()
	s.mu.Lock()
	s.clients--
	c, last := s.cache, s.clients == 0
	if last {
		s.cache = nil
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return c.close()
}

// current is the cache that is open, or nil. It may be closed right after: its methods then do no harm.
func (s *Store) current() *cache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache
}

// Invalidate makes every read of these items that starts after it returned see what the table held then or later,
// while the table can be reached. It reads nothing itself. Before a client is built it does nothing.
func (s *Store) Invalidate(changes ...change.Change) {
	if c := s.current(); c != nil {
		c.invalidate(changes)
	}
}

// InvalidateAll does for all items what [Store.Invalidate] does for some.
func (s *Store) InvalidateAll() {
	if c := s.current(); c != nil {
		c.invalidateEverything()
	}
}

// Wake says that an invocation begins: the process may have been frozen until now. A read that began earlier
// does not count as fresh, and a table that could not be read is looked at again. Let each invocation call it, as
// journal's Follower does, or none: from the first call on, a hit trusts that it does, and looks at no clock.
func (s *Store) Wake() {
	if c := s.current(); c != nil {
		c.wake()
	}
}

// Ready asks the table whether it can be read and holds flags for this prefix: in daemon mode a client's
// Initialized() is true even when the table is empty. Its errors wrap [ErrNotBuilt] or [ErrNoData], ctx's error,
// or say that the table cannot be read. It waits for the table's answer, not for flags to arrive.
func (s *Store) Ready(ctx context.Context) error {
	c := s.current()
	if c == nil {
		return fmt.Errorf("cachedstore: %w: call Ready after ld.MakeCustomClient", ErrNotBuilt)
	}
	return c.ready(ctx)
}

// Stats are counts since the first client was built, except where they say otherwise.
type Stats struct {
	Hits          int // Gets that were a hit; with a timekeeper an estimate from a sample, so that counting costs nothing
	Misses        int // Gets and GetAlls that were no hit
	Reads         int // reads of the table that began: items and whole collections
	Errors        int // reads that failed, those that took too long included
	Broken        int // rows that reads of a whole collection found and could not understand
	Discarded     int // reads that were kept as last known only: an invalidation or a freeze came meanwhile
	StaleServes   int // times that a last known value was the answer because the table could not be read; those who waited for one read count once
	Invalidations int // changes that were delivered
	InvalidateAll int // times that all was invalidated
	Forgotten     int // unknown keys that were forgotten to bound memory

	Items  int           // keys at hand now, those that the table does not have included
	Oldest time.Duration // age of the oldest item that is served as fresh now; 0 when there is none
}

// Stats returns the counts so far; zero while no client uses the store.
func (s *Store) Stats() Stats {
	c := s.current()
	if c == nil {
		return Stats{}
	}
	return c.statistics()
}
