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

// table is the inner store of the tests. It holds rows, and its hooks decide when a read ends.
type table struct {
	t testing.TB

	mu           sync.Mutex // guards the fields below
	rows         map[string]map[string]ldstoretypes.SerializedItemDescriptor
	reads        map[string]int // by key
	reading      map[string]bool
	writes       int
	closed       int
	availability int                      // number of calls of IsStoreAvailable
	markers      int                      // number of calls of IsInitialized
	err          error                    // the error of reads, writes and availability checks
	lost         error                    // the error of writes only
	errs         map[string]error         // the error of reads of a key
	holds        map[string]chan struct{} // a read of the key has seen the rows and ends when the channel is closed
	written      map[string]int           // by key: the version that the latest Init wrote
	began        map[string]chan struct{} // closed when a read of the key has seen the rows
	inited       bool
	panics       bool
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

// put writes a flag with this version.
func (x *table) put(key string, version int) {
	flag := ldbuilders.NewFlagBuilder(key).Version(version).On(true).
		Variations(ldvalue.Int(version)).FallthroughVariation(0).Build()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows["features"][key] = ldstoretypes.SerializedItemDescriptor{
		Version: version, SerializedItem: features.Serialize(ldstoretypes.ItemDescriptor{Version: version,
			Item: &flag}),
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

// hold makes the next reads of key wait until release is called. They return the row as it was when they started.
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

// notify returns a channel that is closed when a read of key has started.
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

// checks returns the number of availability checks since its last call.
func (x *table) checks() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() { x.availability = 0 }()
	return x.availability
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

// begin records a read, and fails the test if a read of the same key is in progress.
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

func (x *table) Upsert(
	kind ldstoretypes.DataKind, key string, item ldstoretypes.SerializedItemDescriptor,
) (bool, error) {
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
	x.availability++
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

// clocks is a monotonic and a wall clock. Both follow the bubble's clock, and a test can move them independently.
type clocks struct {
	start time.Time

	mu         sync.Mutex // guards the fields below
	mono, wall time.Duration
}

func newClocks() *clocks {
	return &clocks{start: time.Now(), mono: time.Hour, wall: 500_000 * time.Hour}
}

func (c *clocks) now() (mono, wall time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := time.Since(c.start)
	return c.mono + passed, c.wall + passed
}

func (c *clocks) move(mono, wall time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono += mono
	c.wall += wall
}

// pass advances both clocks.
func (c *clocks) pass(d time.Duration) { c.move(d, d) }

// freeze simulates a frozen process: only the wall clock advances.
func (c *clocks) freeze(d time.Duration) { c.move(0, d) }

// statuses receives the statuses that the store sends to the SDK.
type statuses chan interfaces.DataStoreStatus

func (s statuses) UpdateStatus(status interfaces.DataStoreStatus) { s <- status }

// system is a store under test with its table and clock.
type system struct {
	t testing.TB
	*table
	*clocks
	store  *cachedstore.Store
	client subsystems.DataStore
	status statuses
	log    *ldlogtest.MockLog
}

func newSystem(t testing.TB, x *table, opts ...cachedstore.Option) *system {
	s := &system{t: t, table: x, clocks: newClocks(), status: make(statuses, 100), log: ldlogtest.NewMockLog()}
	s.log.Loggers.SetMinLevel(ldlog.Debug)
	// In Lambda mode, so that there are no background reads unless a test enables them.
	opts = append([]cachedstore.Option{
		cachedstore.TTL(time.Hour), cachedstore.Clock(s.clocks.now), cachedstore.StrictClock(),
		cachedstore.InLambda(true),
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

// version returns the version from a Get, or -1 if the flag is unknown.
func (s *system) version(key string) int {
	item, err := s.client.Get(features, key)
	require.NoError(s.t, err)
	return item.Version
}

// versions returns the versions from a GetAll.
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

// async runs f in a goroutine and returns a channel with its result.
func async[T any](f func() T) chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

var errTable = errors.New("table is down")
