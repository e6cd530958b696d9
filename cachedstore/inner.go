package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// inner calls the wrapped store. It uses what that store offers beside LaunchDarkly's interface, and turns a panic into an
// error, so that the calls that wait are freed.
type inner struct {
	core       subsystems.PersistentDataStore
	markerSeen atomic.Bool // this process has seen the marker; never becomes false again

	turn sync.Mutex // held while the marker is read for confirmMarker; taken before mu
	mu   sync.Mutex // guards next
	next *markerRead
}

// contextReader is what a store may offer beside Get and GetAll (dynamostore does).
type contextReader interface {
	GetContext(context.Context, ldstoretypes.DataKind, string) (ldstoretypes.SerializedItemDescriptor, error)
	GetAllContext(context.Context, ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, error)
}

// brokenRowReporter is what a store may offer beside GetAll: it also returns why it skipped a row (dynamostore does).
type brokenRowReporter interface {
	GetAllAndBroken(
		context.Context, ldstoretypes.DataKind,
	) ([]ldstoretypes.KeyedSerializedItemDescriptor, map[string]error, error)
}

// markerReader is what a store may offer beside IsInitialized, whose answer it may keep once it was true: HasMarker reads
// the marker again, strongly consistent. An error means that the table cannot be read (dynamostore does).
type markerReader interface {
	HasMarker(context.Context) (bool, error)
}

// errMarkerGone is the failure of a read that found nothing where a live item was known, in a table that has lost its marker.
var errMarkerGone = errors.New("the table has lost its flags and its marker ($inited)")

// recovered turns a panic of the inner store into an error.
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
	}
	return raw, err
}

// getAll reads all rows of a kind. Broken are the rows that the store skipped, by key.
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

// initialized asks the store whether the table was ever filled.
func (in *inner) initialized() (yes bool, err error) {
	defer recovered(&err)
	return in.core.IsInitialized(), nil
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

// check asks the store whether the table can be reached, and whether it has a marker.
func (in *inner) check(ctx context.Context) (reached, marker bool) {
	var err error
	defer recovered(&err)
	if _, ok := in.core.(markerReader); !ok && !in.core.IsStoreAvailable() {
		return false, false
	}
	marker, err = in.marker(ctx)
	return err == nil, marker
}

// markerRead is one read of the marker for all the reads that found nothing before it began.
type markerRead struct {
	done    chan struct{}
	present bool
	err     error
}

// confirmMarker returns an error unless a live item's absence can be believed: the marker stands, or this process never saw
// one. Calls share a read that begins after all of them.
func (in *inner) confirmMarker(ctx context.Context) error {
	if !in.markerSeen.Load() {
		return nil
	}
	in.mu.Lock()
	r := in.next
	first := r == nil
	if first {
		r = &markerRead{done: make(chan struct{})}
		in.next = r
	}
	in.mu.Unlock()
	if first {
		in.turn.Lock()
		in.mu.Lock()
		in.next = nil
		in.mu.Unlock()
		r.present, r.err = in.marker(ctx)
		close(r.done)
		in.turn.Unlock()
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.err == nil && !r.present {
		return errMarkerGone
	}
	return r.err
}

// lookForMarkerLocked reads the marker once after the first live item was read: only a marker that was seen can vanish.
func (c *cache) lookForMarkerLocked() {
	if c.markerChecked || c.inner.markerSeen.Load() {
		return
	}
	c.markerChecked = c.running.start(func() {
		ctx, cancel := context.WithTimeout(c.life, c.options.readLimit)
		defer cancel()
		if _, err := c.inner.marker(ctx); err != nil {
			c.mu.Lock()
			c.markerChecked = false // after the next live item
			c.unlock()
		}
	})
}
