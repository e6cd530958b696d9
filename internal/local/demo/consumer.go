package demo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
)

// pause is the time between two evaluations of one consumer: 1,000 a second.
const pause = time.Millisecond

// consumer is one LaunchDarkly client in daemon mode that evaluates flags all the time. It is the sink of its
// source, and notes when a delivery has taken effect.
type consumer struct {
	id     int
	flags  int
	board  *board
	sink   change.Sink // its cachedstore, or a sabotaged one
	client *ld.LDClient

	notified []atomic.Int64 // by flag: the newest version that Invalidate returned for
	// closed when its source has called InvalidateAll for the first time: nothing is missed from then on
	ready   chan struct{}
	started sync.Once // closes ready

	evaluations, failures atomic.Int64
}

// bareConsumer is a consumer without a client and a source.
func bareConsumer(id int, c Config, b *board) *consumer {
	return &consumer{id: id, flags: c.Flags, board: b, notified: make([]atomic.Int64, c.Flags)}
}

func newConsumer(id int, c Config, b *board,
	inner subsystems.ComponentConfigurer[subsystems.PersistentDataStore]) (*consumer, error) {
	x := bareConsumer(id, c, b)
	x.ready = make(chan struct{})
	cached := cachedstore.New(inner, cacheOptions()...)
	var store subsystems.ComponentConfigurer[subsystems.DataStore] = cached
	x.sink = cached
	switch c.Sabotage {
	case SkipInvalidate:
		x.sink = &skippingSink{Sink: cached}
	case LateFill:
		late := &lateFill{Store: cached, values: map[string]ldstoretypes.ItemDescriptor{}}
		store, x.sink = late, late
	}
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		DiagnosticOptOut: true, Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	if err != nil {
		return nil, fmt.Errorf("start consumer %d: %w", id, err)
	}
	x.client = client
	return x, nil
}

// cacheOptions are the options of all caches. A table in this process is never down: if a read is slow, the machine
// is busy, and the client waits for it.
func cacheOptions() []cachedstore.Option {
	return []cachedstore.Option{cachedstore.TTL(time.Hour), cachedstore.Preload(), cachedstore.ReadLimit(time.Minute)}
}

// Invalidate implements [change.Sink].
func (x *consumer) Invalidate(changes ...change.Change) {
	x.sink.Invalidate(changes...)
	x.note(changes...)
}

// note records the versions of which the client was notified: later evaluations must not return older ones.
func (x *consumer) note(changes ...change.Change) {
	for _, c := range changes {
		flag, ok := launchdarkly.FlagIndex(c.Key)
		if !ok || flag < 0 || flag >= x.flags || c.Kind != change.KindFeatures {
			continue // a segment, or a flag of an earlier demo
		}
		for seen := x.notified[flag].Load(); seen < int64(c.Version); seen = x.notified[flag].Load() {
			if x.notified[flag].CompareAndSwap(seen, int64(c.Version)) {
				break
			}
		}
		x.board.invalidated(x.id, flag, c.Version)
	}
}

// InvalidateAll implements [change.Sink]. It is ignored after the source has started: a client must see a flip
// because of its message, not by chance.
func (x *consumer) InvalidateAll() {
	x.started.Do(func() {
		x.sink.InvalidateAll()
		close(x.ready)
	})
}

// run evaluates flags until ctx ends: in turns one that it waits for, and the next of all.
func (x *consumer) run(ctx context.Context) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	user := ldcontext.New(fmt.Sprintf("user-%d", x.id))
	var waiting []int
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		flag := (n / 2) % x.flags
		if n%2 == 0 {
			if waiting = x.board.waiting(x.id, waiting); len(waiting) > 0 {
				flag = waiting[(n/2)%len(waiting)]
			}
		}
		x.evaluate(flag, user)
	}
}

func (x *consumer) evaluate(flag int, user ldcontext.Context) {
	want := int(x.notified[flag].Load()) // before the evaluation begins
	got, err := x.client.IntVariation(launchdarkly.FlagKey(flag), user, -1)
	x.evaluations.Add(1)
	if err != nil {
		x.failures.Add(1)
		return
	}
	if got < want {
		x.board.staleRead(x.id, flag, got, want)
	}
	x.board.evaluated(x.id, flag, got)
}
