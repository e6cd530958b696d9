package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/clock"
)

// inner calls the wrapped store. It uses the optional methods below if the store has them, and converts a panic into an
// error, so that the waiting calls are released.
type inner struct {
	core       subsystems.PersistentDataStore
	markerSeen atomic.Bool // this process has seen the marker; never reset
}

// contextReader is an optional interface of a store: Get and GetAll with a context. dynamostore implements it.
type contextReader interface {
	GetContext(context.Context, ldstoretypes.DataKind, string) (ldstoretypes.SerializedItemDescriptor, error)
	GetAllContext(context.Context, ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, error)
}

// brokenRowReporter is an optional interface of a store: GetAll that also returns the error of each row it skipped, by
// key. dynamostore implements it.
type brokenRowReporter interface {
	GetAllAndBroken(
		context.Context, ldstoretypes.DataKind,
	) ([]ldstoretypes.KeyedSerializedItemDescriptor, map[string]error, error)
}

// brokenRow is an optional interface of an error of a store's Get: the row was read but cannot be decoded. dynamostore
// implements it.
type brokenRow interface{ BrokenRow() }

// markerReader is an optional interface of a store. IsInitialized may return a cached true; HasMarker reads the marker
// each time, strongly consistent. An error means that the table cannot be read. dynamostore implements it.
type markerReader interface {
	HasMarker(context.Context) (bool, error)
}

// errMarkerGone is the failure of a read that did not find a known live item, in a table that no longer has its marker.
var errMarkerGone = errors.New("known flags and the marker ($inited) are missing: the table was emptied")

// recovered converts a panic of the inner store into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("store panicked: %v", p)
	}
}

// get reads one row.
func (in *inner) get(
	ctx context.Context, kind ldstoretypes.DataKind, key string,
) (raw ldstoretypes.SerializedItemDescriptor, err error) {
	defer recovered(&err)
	if core, ok := in.core.(contextReader); ok {
		raw, err = core.GetContext(ctx, kind, key)
	} else {
		raw, err = in.core.Get(kind, key)
	}
	if err != nil {
		err = fmt.Errorf("read %s %q: %w", kind.GetName(), key, err)
		var broken brokenRow
		if errors.As(err, &broken) {
			err = &decodeError{cause: err}
		}
	}
	return raw, err
}

// getAll reads all rows of a kind. It returns the errors of skipped rows by key in broken.
func (in *inner) getAll(
	ctx context.Context, kind ldstoretypes.DataKind,
) (raw []ldstoretypes.KeyedSerializedItemDescriptor, broken map[string]error, err error) {
	defer recovered(&err)
	switch core := in.core.(type) {
	case brokenRowReporter:
		raw, broken, err = core.GetAllAndBroken(ctx, kind)
	case contextReader:
		raw, err = core.GetAllContext(ctx, kind)
	default:
		raw, err = core.GetAll(kind)
	}
	if err != nil {
		err = fmt.Errorf("read all %s: %w", kind.GetName(), err)
	}
	return raw, broken, err
}

// initialized reports whether the table was ever filled. It returns false if the store panics.
func (in *inner) initialized() (yes bool) {
	var err error
	defer recovered(&err)
	return in.core.IsInitialized()
}

// marker reads the marker.
func (in *inner) marker(ctx context.Context) (present bool, err error) {
	defer recovered(&err)
	if core, ok := in.core.(markerReader); ok {
		present, err = core.HasMarker(ctx)
	} else {
		present = in.core.IsInitialized()
	}
	if present {
		in.markerSeen.Store(true)
	}
	return present, err
}

// check reports whether the table can be reached, and whether it has a marker.
func (in *inner) check(ctx context.Context) (reached, marker bool) {
	var err error
	defer recovered(&err)
	if _, ok := in.core.(markerReader); !ok && !in.core.IsStoreAvailable() {
		return false, false
	}
	marker, err = in.marker(ctx)
	return err == nil, marker
}

// confirmMarker returns nil if the absence of a live item can be accepted: the table has its marker, or this process
// has never seen one. The marker is read as the only entry of its own collection, so concurrent calls share a read,
// which starts after all of them.
func (c *cache) confirmMarker() error {
	if !c.inner.markerSeen.Load() {
		return nil
	}
	c.mu.Lock()
	f := c.joinLocked(c.markers, c.marker, c.seq, c.nowLocked())
	c.unlock()
	<-f.done
	if f.err == nil && !f.value.found() {
		return errMarkerGone
	}
	return f.err
}

// lookForMarkerLocked reads the marker after a live item was read, until the marker was seen, at most once a minute. To
// detect later that the marker is missing, this process must have seen it.
func (c *cache) lookForMarkerLocked(now clock.Instant) {
	if c.inner.markerSeen.Load() {
		return
	}
	e := c.marker
	if (e.last == nil || e.last.taken.Age(now) >= time.Minute) && e.flight == nil && !e.pausing(now) {
		c.joinLocked(c.markers, e, 0, now)
	}
}

// readMarker reads the marker for a flight.
func (c *cache) readMarker(ctx context.Context) (*decoded, error) {
	present, err := c.inner.marker(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the marker: %w", err)
	}
	d := &decoded{item: notFound}
	if present {
		d.item.Version = 0
	}
	return d, nil
}
