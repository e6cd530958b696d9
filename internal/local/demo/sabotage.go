package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

// Sabotage is a fault that the demo plants, to show that it would notice.
type Sabotage string

// The faults.
const (
	DropMessage    Sabotage = "drop-message"    // every fifth message is acknowledged and not published
	SkipInvalidate Sabotage = "skip-invalidate" // a consumer ignores every fifth delivery
	LateFill       Sabotage = "late-fill"       // a read that began before an invalidation fills the cache after it
)

// Sabotages lists the faults.
func Sabotages() []Sabotage { return []Sabotage{DropMessage, SkipInvalidate, LateFill} }

func (s Sabotage) validate() error {
	if s == "" || slices.Contains(Sabotages(), s) {
		return nil
	}
	names := make([]string, 0, 3)
	for _, known := range Sabotages() {
		names = append(names, string(known))
	}
	return fmt.Errorf("--sabotage %q: must be one of %s", s, strings.Join(names, ", "))
}

// every is which deliveries a fault hits.
const every = 5

// droppingPublisher loses messages as if they had been published.
type droppingPublisher struct {
	streamhandler.Publisher
	n atomic.Int64
}

func (d *droppingPublisher) Publish(ctx context.Context, in *sns.PublishInput,
	opts ...func(*sns.Options)) (*sns.PublishOutput, error) {
	if d.n.Add(1)%every == 0 {
		return &sns.PublishOutput{}, nil
	}
	return d.Publisher.Publish(ctx, in, opts...)
}

// skippingSink ignores deliveries.
type skippingSink struct {
	change.Sink
	n atomic.Int64
}

func (s *skippingSink) Invalidate(changes ...change.Change) {
	if s.n.Add(1)%every != 0 {
		s.Sink.Invalidate(changes...)
	}
}

// lateFill caches once more over a store, carelessly: a read that began before an invalidation and ends after it
// puts the old value back, as LaunchDarkly's own wrapper does. It is a data store and a sink.
type lateFill struct {
	*cachedstore.Store

	mu     sync.Mutex // guards the fields below
	values map[string]ldstoretypes.ItemDescriptor
	n      int
}

func (l *lateFill) Build(c subsystems.ClientContext) (subsystems.DataStore, error) {
	store, err := l.Store.Build(c)
	return &lateFillStore{store, l}, err
}

func (l *lateFill) Invalidate(changes ...change.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Store.Invalidate(changes...)
	for _, c := range changes {
		if l.n++; l.n%every != 0 { // otherwise no read was running
			delete(l.values, c.Key)
		}
	}
}

type lateFillStore struct {
	subsystems.DataStore
	fill *lateFill
}

func (s *lateFillStore) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	s.fill.mu.Lock()
	defer s.fill.mu.Unlock()
	if item, ok := s.fill.values[key]; ok {
		return item, nil
	}
	item, err := s.DataStore.Get(kind, key)
	if err == nil {
		s.fill.values[key] = item
	}
	return item, err
}
