package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"

	"github.com/warmflags/warmflags/change"
)

// Store is a cache over a table of flags, shared by the clients that are built with it. Set it as ld.Config.DataStore
// and connect a source of changes to it. All its methods are safe for concurrent use.
type Store struct {
	inner   subsystems.ComponentConfigurer[subsystems.PersistentDataStore]
	options options

	build   sync.Mutex // serializes Build and the last Close; taken before mu
	mu      sync.Mutex // guards the fields below
	cache   *cache     // nil before the first client is built and after the last was closed
	clients int        // number of clients that use cache
}

var (
	_ subsystems.ComponentConfigurer[subsystems.DataStore] = (*Store)(nil)
	_ subsystems.DiagnosticDescription                     = (*Store)(nil)
	_ change.Sink                                          = (*Store)(nil)
	_ change.Waker                                         = (*Store)(nil)
)

// ErrNotBuilt is the cause of [Store.Ready]'s error while no client uses the store.
var ErrNotBuilt = errors.New("no client has been built with this store")

// ErrNoData is the cause of [Store.Ready]'s error if the table can be read but was never filled.
var ErrNoData = errors.New("the table holds no flags for this prefix")

// New returns a cache over inner, such as dynamostore.DataStore("table"). It reads nothing. Invalid options are
// reported by [Store.Build].
func New(inner subsystems.ComponentConfigurer[subsystems.PersistentDataStore], opts ...Option) *Store {
	s := &Store{inner: inner, options: defaults()}
	for _, o := range opts {
		o(&s.options)
	}
	return s
}

// Build implements [subsystems.ComponentConfigurer]; LaunchDarkly's client calls it. The first client's Build opens the
// table. Further clients share the cache, until the last client's Close closes it. Build reports all invalid options
// together.
func (s *Store) Build(clientContext subsystems.ClientContext) (subsystems.DataStore, error) {
	s.build.Lock()
	defer s.build.Unlock()
	if s.current() == nil {
		if err := s.options.validate(); err != nil {
			return nil, fmt.Errorf("build cachedstore: %w", err)
		}
		if s.inner == nil {
			return nil, errors.New("build cachedstore: no inner store; pass dynamostore.DataStore(table) to New")
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
			c.preload() // s.cache is set, so that changes invalidate the reads in progress
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients++
	return newClient(s.cache, clientContext.GetDataStoreUpdateSink(), s.release), nil
}

// release is called once for each client that is closed. The last call closes the cache. It first removes the cache
// from the store, and a Build that waits for it creates a new one.
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

// current returns the open cache, or nil. The cache may be closed at any time; its methods are safe to call after that.
func (s *Store) current() *cache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache
}

// Invalidate implements [change.Sink]. Every Get and GetAll that starts after it returned sees what the table held then
// or later, while the table can be reached. Invalidate itself reads nothing. It does nothing while no client uses the
// store.
func (s *Store) Invalidate(changes ...change.Change) {
	if c := s.current(); c != nil {
		c.invalidate(changes)
	}
}

// InvalidateAll is [Store.Invalidate] for all items.
func (s *Store) InvalidateAll() {
	if c := s.current(); c != nil {
		c.invalidateEverything()
	}
}

// Wake tells the store that the process may have been frozen until now. It removes the values that expired meanwhile,
// discards reads that started earlier, and checks an unreachable table again.
//
// In Lambda, call Wake at the start of every invocation, or never: after the first call, hits no longer read the clock.
// journal's Follower calls it. Where invocations overlap, call it only when an invocation starts and no other is
// running, because each call discards the reads of all invocations.
func (s *Store) Wake() {
	if c := s.current(); c != nil {
		c.wake()
	}
}

// Ready returns nil if the table can be read and holds flags for this prefix. Use it in daemon mode, where a client's
// Initialized() is true even if the table is empty. Its errors wrap [ErrNotBuilt], [ErrNoData] or ctx's error, or
// report that the table cannot be read. It waits for the table's response, not for flags to arrive.
func (s *Store) Ready(ctx context.Context) error {
	c := s.current()
	if c == nil {
		return fmt.Errorf("cachedstore: %w: call Ready after ld.MakeCustomClient", ErrNotBuilt)
	}
	return c.ready(ctx)
}

// Err returns the error of invalid options that [Store.Build] would return, or nil. It builds nothing.
func (s *Store) Err() error { return s.options.validate() }

// Preloads reports whether the option [Preload] is set.
func (s *Store) Preloads() bool { return s.options.preload }

// Stats returns the counts so far. They are zero while no client uses the store.
func (s *Store) Stats() Stats {
	c := s.current()
	if c == nil {
		return Stats{}
	}
	return c.statistics()
}

// DescribeConfiguration implements [subsystems.DiagnosticDescription]. It returns the inner store's description.
func (s *Store) DescribeConfiguration(context subsystems.ClientContext) ldvalue.Value {
	if d, ok := s.inner.(subsystems.DiagnosticDescription); ok {
		return d.DescribeConfiguration(context)
	}
	return ldvalue.String("custom")
}
