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

// ErrNoData is the cause of [Store.Ready]'s error if the table can be read and was never filled.
var ErrNoData = errors.New("the table holds no flags for this prefix")

// New returns a cache over inner, such as dynamostore.DataStore("table"). It reads nothing and does not check the
// options before a client is built with it.
func New(inner subsystems.ComponentConfigurer[subsystems.PersistentDataStore], opts ...Option) *Store {
	s := &Store{inner: inner, options: defaults()}
	for _, o := range opts {
		o(&s.options)
	}
	return s
}

// Build is called by LaunchDarkly's client. The first client's Build opens the table; clients that are built while it
// is open share the cache. The last client's Close closes it. Build returns all wrong options at once.
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
			c.preload() // changes that arrive meanwhile are not lost
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients++
	return newClient(s.cache, clientContext.GetDataStoreUpdateSink(), s.release), nil
}

// release is called once for each client that is closed. The last call closes the cache, after the store has dropped
// it: a Build that waits meanwhile makes another.
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

// current returns the open cache, or nil. It may be closed right after: its methods then do no harm.
func (s *Store) current() *cache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache
}

// Invalidate implements [change.Sink]: every Get and GetAll that starts after it returned sees what the table held
// then or later, while the table can be reached. It reads nothing itself. While no client uses the store it does
// nothing.
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

// Wake reports that the process may have been frozen until now. What expired meanwhile is removed, reads that began
// earlier are discarded, and a table that could not be read is checked again.
//
// In Lambda, call Wake at the start of every invocation, or never: after the first call, hits no longer read the
// clock. journal's Follower calls it. Where invocations overlap, call it only when an invocation starts and no other
// is running: each call discards the reads of all invocations.
func (s *Store) Wake() {
	if c := s.current(); c != nil {
		c.wake()
	}
}

// Ready asks the table whether it can be read and holds flags for this prefix: in daemon mode a client's
// Initialized() is true even when the table is empty. Its errors wrap [ErrNotBuilt], [ErrNoData] or ctx's error, or
// report that the table cannot be read. It waits for the table's answer, not for flags to arrive.
func (s *Store) Ready(ctx context.Context) error {
	c := s.current()
	if c == nil {
		return fmt.Errorf("cachedstore: %w: call Ready after ld.MakeCustomClient", ErrNotBuilt)
	}
	return c.ready(ctx)
}

// Err returns what is wrong with the options, as [Store.Build] does, without building anything; nil if nothing is.
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

// DescribeConfiguration implements [subsystems.DiagnosticDescription] with the inner store's description.
func (s *Store) DescribeConfiguration(context subsystems.ClientContext) ldvalue.Value {
	if d, ok := s.inner.(subsystems.DiagnosticDescription); ok {
		return d.DescribeConfiguration(context)
	}
	return ldvalue.String("custom")
}
