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
	asked bool          // loadOnce has read the marker or is reading it
	seen  bool          // the marker was present in some read
	check *markerFlight // the read in progress, or nil
}

// markerFlight is a read of the marker that several calls can wait for.
type markerFlight struct {
	done    chan struct{} // closed when the fields below are set
	present bool
	err     error
}

// loadOnce reads the marker after a read has found an item, until it has succeeded once in the life of the process.
func (m *marker) loadOnce(inner any) {
	m.mu.Lock()
	known := m.asked
	m.asked = true
	m.mu.Unlock()
	if known {
		return
	}
	if _, err := m.load(inner); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.asked = false
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

// load reads the marker if the inner store can. Concurrent calls share a read.
func (m *marker) load(inner any) (present bool, err error) {
	reader, ok := inner.(markerReader)
	if !ok {
		return false, nil
	}
	m.mu.Lock()
	f, mine := m.check, m.check == nil
	if mine {
		f = &markerFlight{done: make(chan struct{})}
		m.check = f
	}
	m.mu.Unlock()
	if mine {
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
