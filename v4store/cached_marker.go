package v4store

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
)

// errEmptied is the failure of a read that did not find a known item, in a table that no longer has its marker.
var errEmptied = errors.New("the marker $inited is missing: the table was emptied, and counts as unreachable")

// markerReader is implemented by a store that can read the marker of a complete data set. [Table] implements it.
type markerReader interface {
	HasMarker() (bool, error)
}

// marker tracks whether this process has seen the marker. Only a marker that was seen can be missed later, because some
// writers never write one.
type marker struct {
	mu    sync.Mutex    // guards the fields below; never held while the store is called
	asked clock.Instant // when look last read the marker
	seen  bool          // the marker was present in some read
	check *markerFlight // the read in progress, or nil
	next  *markerFlight // the read that starts after it, or nil
}

// markerFlight is a read of the marker that several calls can wait for.
type markerFlight struct {
	done    chan struct{} // closed when the fields below are set
	present bool
	err     error
}

// look reads the marker after a read has found an item, until the marker is seen, at most once a minute.
func (m *marker) look(inner any, now clock.Instant) {
	m.mu.Lock()
	skip := m.seen || m.asked != (clock.Instant{}) && m.asked.Age(now) < quiet
	if !skip {
		m.asked = now
	}
	m.mu.Unlock()
	if skip {
		return
	}
	if _, err := m.load(inner); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.asked = clock.Instant{}
	}
}

// vanished returns errEmptied if the marker was seen and is missing, or the error of reading it.
func (m *marker) vanished(inner any) error {
	m.mu.Lock()
	seen := m.seen
	m.mu.Unlock()
	if !seen {
		return nil
	}
	return m.read(inner)
}

// read reads the marker. It returns errEmptied if the marker was seen and is missing.
func (m *marker) read(inner any) error {
	present, err := m.load(inner)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && !present && m.seen {
		return errEmptied
	}
	return err
}

// load reads the marker if the inner store can. Concurrent calls share a read that starts after all of them.
func (m *marker) load(inner any) (present bool, err error) {
	reader, ok := inner.(markerReader)
	if !ok {
		return false, nil
	}
	m.mu.Lock()
	f, before := m.next, m.check
	mine := f == nil
	if mine {
		f = &markerFlight{done: make(chan struct{})}
		m.next = f
	}
	m.mu.Unlock()
	if mine {
		if before != nil {
			<-before.done
		}
		m.mu.Lock()
		m.check, m.next = f, nil
		m.mu.Unlock()
		f.present, f.err = hasMarker(reader)
		m.mu.Lock()
		m.check, m.seen = nil, m.seen || f.present
		m.mu.Unlock()
		close(f.done)
	}
	<-f.done
	return f.present, f.err
}

// hasMarker reads the marker. A panic of the store becomes an error.
func hasMarker(reader markerReader) (present bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("store panicked while the marker was read")
		}
	}()
	return reader.HasMarker()
}

// confirmAbsent returns an error if an item with a known live value must not be treated as deleted.
func (c *Cache[K, I]) confirmAbsent(e *entry[K, I]) error {
	c.mu.Lock()
	known := e.last != nil && e.last.found
	c.mu.Unlock()
	if !known {
		return nil
	}
	return c.marker.vanished(c.inner)
}

// confirmAbsentAll is confirmAbsent for all items that a read of a whole kind did not find. It returns an error by key.
// It reads the marker at most once.
func (c *Cache[K, I]) confirmAbsentAll(col *collection[K, I], got found[I]) (lost map[string]error) {
	c.mu.Lock()
	col.each(func(e *entry[K, I]) {
		_, ok := got.items[e.key]
		if e.last != nil && e.last.found && !ok && got.broken[e.key] == nil {
			if lost == nil {
				lost = map[string]error{}
			}
			lost[e.key] = nil
		}
	})
	c.mu.Unlock()
	if lost == nil {
		return nil
	}
	err := c.marker.vanished(c.inner)
	if err == nil {
		return nil
	}
	for key := range lost {
		lost[key] = err
	}
	return lost
}

// initialized tracks whether the table holds data.
type initialized struct {
	mu    sync.Mutex    // guards the fields below; never held while the store is called
	yes   bool          // never reset
	asked clock.Instant // when the inner store was last called
}

// Initialized reports whether the table holds flags. Once true, it stays true and makes no more calls. Until then it
// calls the inner store at most once a second, and returns false in between.
func (c *Cache[K, I]) Initialized() bool {
	i, now := &c.inited, c.options.clock()
	i.mu.Lock()
	if i.yes || c.inner == nil || i.asked != (clock.Instant{}) && i.asked.Age(now) < time.Second {
		defer i.mu.Unlock()
		return i.yes
	}
	i.asked = now
	i.mu.Unlock()
	yes := c.holdsData()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.yes = i.yes || yes
	return i.yes
}

// holdsData calls the inner store. It returns false if the store panics.
func (c *Cache[K, I]) holdsData() (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			c.options.logger.Error("v4store: store panicked; it counts as not initialized", slog.Any("panic", p))
		}
	}()
	return c.inner.Initialized()
}
