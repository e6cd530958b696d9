package cachedstore_test

import (
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldlogtest"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
)

var features = ldstoreimpl.Features()

const all = "*" // in read counts and holds: the whole collection

// table is a shared table under test: what it holds, and hooks that decide when a read's answer arrives.
type table struct {
	t testing.TB

	mu      sync.Mutex // guards the fields below
	rows    map[string]map[string]ldstoretypes.SerializedItemDescriptor
	reads   map[string]int // by key
	reading map[string]bool
	writes  int
	closed  int
	looks   int                      // times that IsStoreAvailable was called
	markers int                      // times that IsInitialized was called
	err     error                    // what reads, writes and availability checks fail with
	lost    error                    // what writes alone fail with
	errs    map[string]error         // what reads of a key fail with
	holds   map[string]chan struct{} // a read of the key has seen the rows, and answers when the channel is closed
	written map[string]int           // by key: the version that the latest Init wrote
	began   map[string]chan struct{} // closed when a read of the key has seen the rows
	inited  bool
	panics  bool
}

func newTable(t testing.TB) *table {
	return &table{
		t: t, inited: true,
		rows:  map[string]map[string]ldstoretypes.SerializedItemDescriptor{"features": {}, "segments": {}},
		reads: map[string]int{}, reading: map[string]bool{}, holds: map[string]chan struct{}{},
		errs: map[string]error{}, written: map[string]int{}, began: map[string]chan struct{}{},
	}
}

func (x *table) Build(subsystems.ClientContext) (subsystems.PersistentDataStore, error) {
	return x, nil
}

// put makes the row of a flag hold this version, whatever it held.
func (x *table) put(key string, version int) {
	flag := ldbuilders.NewFlagBuilder(key).Version(version).On(true).
		Variations(ldvalue.Int(version)).FallthroughVariation(0).Build()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows["features"][key] = ldstoretypes.SerializedItemDescriptor{
		Version: version, SerializedItem: features.Serialize(ldstoretypes.ItemDescriptor{Version: version, Item: &flag}),
	}
}

func (x *table) raw(key string, version int, json string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows["features"][key] = ldstoretypes.SerializedItemDescriptor{Version: version, SerializedItem: []byte(json)}
}

func (x *table) remove(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.rows["features"], key)
}

// hold makes the next reads of key answer, with what they saw when they began, only when release is called.
func (x *table) hold(key string) (release func()) {
	gate := make(chan struct{})
	x.mu.Lock()
	defer x.mu.Unlock()
	x.holds[key] = gate
	return func() {
		x.mu.Lock()
		if x.holds[key] == gate {
			delete(x.holds, key)
		}
		x.mu.Unlock()
		close(gate)
	}
}

// notify returns a channel that is closed when a read of key has begun.
func (x *table) notify(key string) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.began[key] = make(chan struct{})
	return x.began[key]
}

func (x *table) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = err
}

func (x *table) failWrites(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost = err
}

func (x *table) failOnly(key string, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.errs[key] = err
}

// asked is how often the table was asked whether it is there, since the last call.
func (x *table) asked() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() { x.looks = 0 }()
	return x.looks
}

func (x *table) readsOf(key string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.reads[key]
}

// allReads returns how often each key was read.
func (x *table) allReads() map[string]int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.reads)
}

// begin notes a read, and fails the test if one of the same key is under way.
func (x *table) begin(key string) (gate chan struct{}, err error) {
	x.reads[key]++
	if x.reading[key] {
		x.t.Errorf("two reads of %q overlap", key)
	}
	x.reading[key] = true
	if x.panics {
		panic("planted")
	}
	if began := x.began[key]; began != nil {
		close(began)
		delete(x.began, key)
	}
	return x.holds[key], errors.Join(x.err, x.errs[key])
}

func (x *table) finish(key string, gate chan struct{}) {
	if gate != nil {
		<-gate
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reading[key] = false
}

func (x *table) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.SerializedItemDescriptor, error) {
	var gate chan struct{}
	defer func() { x.finish(key, gate) }()
	x.mu.Lock()
	defer func() { x.mu.Unlock() }()
	var err error
	gate, err = x.begin(key)
	if err != nil {
		return ldstoretypes.SerializedItemDescriptor{}.NotFound(), err
	}
	if item, ok := x.rows[kind.GetName()][key]; ok {
		return item, nil
	}
	return ldstoretypes.SerializedItemDescriptor{}.NotFound(), nil
}

func (x *table) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedSerializedItemDescriptor, error) {
	name := all
	if kind != features {
		name = all + kind.GetName()
	}
	var gate chan struct{}
	defer func() { x.finish(name, gate) }()
	x.mu.Lock()
	defer func() { x.mu.Unlock() }()
	var err error
	gate, err = x.begin(name)
	if err != nil {
		return nil, err
	}
	var items []ldstoretypes.KeyedSerializedItemDescriptor
	for key, item := range x.rows[kind.GetName()] {
		items = append(items, ldstoretypes.KeyedSerializedItemDescriptor{Key: key, Item: item})
	}
	return items, nil
}

func (x *table) Init(all []ldstoretypes.SerializedCollection) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writes++
	for _, c := range all {
		for _, item := range c.Items {
			x.written[item.Key] = item.Item.Version
		}
	}
	return errors.Join(x.err, x.lost)
}

func (x *table) Upsert(kind ldstoretypes.DataKind, key string, item ldstoretypes.SerializedItemDescriptor) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writes++
	if err := errors.Join(x.err, x.lost); err != nil {
		return false, err
	}
	x.rows[kind.GetName()][key] = item
	return true, nil
}

func (x *table) IsInitialized() bool {
	x.mu.Lock()
	x.markers++
	gate := x.holds["marker"]
	x.mu.Unlock()
	if gate != nil {
		<-gate
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.inited
}

// markerReads returns how often the marker was read.
func (x *table) markerReads() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.markers
}

func (x *table) IsStoreAvailable() bool {
	x.mu.Lock()
	x.looks++
	gate := x.holds["available"]
	x.mu.Unlock()
	if gate != nil {
		<-gate
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err == nil
}

func (x *table) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed++
	return nil
}

// hands is a clock whose two hands a test moves apart. Both also follow the bubble's time.
type hands struct {
	start time.Time

	mu         sync.Mutex // guards the fields below
	mono, wall time.Duration
}

func newHands() *hands { return &hands{start: time.Now(), mono: time.Hour, wall: 500_000 * time.Hour} }

func (h *hands) now() (mono, wall time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	passed := time.Since(h.start)
	return h.mono + passed, h.wall + passed
}

func (h *hands) move(mono, wall time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mono += mono
	h.wall += wall
}

// pass lets time pass that every clock sees.
func (h *hands) pass(d time.Duration) { h.move(d, d) }

// freeze stops the process: only the wall clock goes on.
func (h *hands) freeze(d time.Duration) { h.move(0, d) }

// statuses collects what the store tells the SDK.
type statuses chan interfaces.DataStoreStatus

func (s statuses) UpdateStatus(status interfaces.DataStoreStatus) { s <- status }

// system is a store under test with its table and clock.
type system struct {
	t testing.TB
	*table
	*hands
	store  *cachedstore.Store
	client subsystems.DataStore
	status statuses
	log    *ldlogtest.MockLog
}

func newSystem(t testing.TB, x *table, opts ...cachedstore.Option) *system {
	s := &system{t: t, table: x, hands: newHands(), status: make(statuses, 100), log: ldlogtest.NewMockLog()}
	s.log.Loggers.SetMinLevel(ldlog.Debug)
	// By default without goroutines of its own, so that a test sees each read that it asks for.
	opts = append([]cachedstore.Option{
		cachedstore.TTL(time.Hour), cachedstore.Clock(s.hands.now), cachedstore.StrictClock(), cachedstore.InLambda(true),
	}, opts...)
	s.store = cachedstore.New(x, opts...)
	s.client = s.build()
	t.Cleanup(func() { require.NoError(t, s.client.Close()) })
	return s
}

func (s *system) build() subsystems.DataStore {
	logging := subsystems.LoggingConfiguration{Loggers: ldlog.NewDisabledLoggers()}
	if s.log != nil {
		logging.Loggers = s.log.Loggers
	}
	client, err := s.store.Build(subsystems.BasicClientContext{DataStoreUpdateSink: s.status, Logging: logging})
	require.NoError(s.t, err)
	return client
}

// version is what a Get returns now: -1 where the flag is unknown.
func (s *system) version(key string) int {
	item, err := s.client.Get(features, key)
	require.NoError(s.t, err)
	return item.Version
}

// versions is what a GetAll returns now.
func (s *system) versions() map[string]int {
	items, err := s.client.GetAll(features)
	require.NoError(s.t, err)
	found := map[string]int{}
	for _, item := range items {
		found[item.Key] = item.Item.Version
	}
	return found
}

func (s *system) invalidate(key string, version int) {
	s.store.Invalidate(change.Change{Kind: change.KindFeatures, Key: key, Version: version})
}

// async runs f beside the test, and hands over its result.
func async[T any](f func() T) chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

var errTable = errors.New("table is down")
