package v4store

import (
	"errors"
	"fmt"
	"reflect"
)

// found is the result of a read of the inner store.
type found[I Item] struct {
	items  map[string]I
	broken map[string]error // by key, why a row could not be decoded; its last known value is kept
	lost   map[string]error // by key, why the absence of a row is not accepted; its last known value is kept
}

// guarded converts a panic of the inner store into an error, so that the waiting calls are released.
func guarded[I Item](read func() (found[I], error)) (got found[I], err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store panicked: %v", p)
		}
	}()
	return read()
}

// fetch reads from the inner store, without the lock.
func (c *Cache[K, I]) fetch(f *flight[K, I]) (found[I], error) {
	if f.entry == &f.col.whole {
		return c.fetchAll(f.col)
	}
	return c.fetchOne(f.col, f.entry)
}

// fetchOne reads one item. A missing item is not in the map.
func (c *Cache[K, I]) fetchOne(col *collection[K, I], e *entry[K, I]) (got found[I], err error) {
	item, err := c.inner.Get(col.kind, e.key)
	switch {
	case errors.As(err, new(*brokenRowError)):
		got.broken = map[string]error{e.key: err}
		return got, nil
	case err != nil:
		return got, fmt.Errorf("read %s %q: %w", col.kind.GetNamespace(), e.key, err)
	case !isNone(item):
		got.items = map[string]I{e.key: item}
		return got, nil
	}
	return got, c.confirmAbsent(e)
}

// isNone reports whether there is no item: the zero I, or a nil pointer in an interface.
func isNone[I Item](item I) bool {
	v := reflect.ValueOf(&item).Elem()
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return !v.IsValid() || v.IsZero()
}

// brokenRowReporter is implemented by a store that can report the rows that its All skips because they cannot be
// decoded. [Table] implements it.
type brokenRowReporter[K Kind[I], I Item] interface {
	AllAndBroken(kind K) (items map[string]I, broken map[string]error, err error)
}

// fetchAll reads a whole kind.
func (c *Cache[K, I]) fetchAll(col *collection[K, I]) (got found[I], err error) {
	var all map[string]I
	if inner, ok := c.inner.(brokenRowReporter[K, I]); ok {
		all, got.broken, err = inner.AllAndBroken(col.kind)
	} else {
		all, err = c.inner.All(col.kind)
	}
	if err != nil {
		return got, fmt.Errorf("read all %s: %w", col.kind.GetNamespace(), err)
	}
	got.items = make(map[string]I, len(all)) // the inner store may keep its own map
	for key, item := range all {
		if !isNone(item) {
			got.items[key] = item
		}
	}
	got.lost = c.confirmAbsentAll(col, got)
	return got, nil
}
