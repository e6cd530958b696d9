package v4store_test

import (
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/v4test/ld"
	"github.com/warmflags/warmflags/v4store"
)

// The keys in counts and holds of a read of all flags, and of the marker.
const whole, marker = "*", "$inited"

var (
	errTable  = errors.New("table is down")
	errBroken = v4store.BrokenRow(errors.New("the row is broken"))
)

// memory is the inner store of the tests, with one kind. It holds flags, and its hooks decide when a read ends.
type memory struct {
	t testing.TB

	mu      sync.Mutex // guards the fields below
	flags   map[string]int
	reads   map[string]int // by key
	reading map[string]int
	holds   map[string]chan struct{} // a read of the key has seen the rows and ends when the channel is closed
	err     error                    // the error of all calls
	errs    map[string]error         // the errors of reads of a key
	broken  map[string]bool          // keys whose rows cannot be decoded
	panics  bool
	inited  bool
	asked   int // calls of Initialized
	marker  bool
}

func newMemory(t testing.TB) *memory {
	return &memory{t: t, flags: map[string]int{}, reads: map[string]int{}, reading: map[string]int{},
		holds: map[string]chan struct{}{}, errs: map[string]error{}, broken: map[string]bool{}}
}

// put writes a flag with this version; 0 removes it.
func (m *memory) put(key string, version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flags[key] = version; version == 0 {
		delete(m.flags, key)
	}
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) failOnly(key string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs[key] = err
}

// hold makes the next reads of key wait until release is called. They return the row as it was when they started.
func (m *memory) hold(key string) (release func()) {
	gate := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds[key] = gate
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.holds[key] == gate {
			delete(m.holds, key)
		}
		close(gate)
	}
}

// read sees the rows, and waits until it may end.
func (m *memory) read(key string) (flags map[string]int, err error) {
	m.mu.Lock()
	m.reads[key]++
	m.reading[key]++
	flags, err = maps.Clone(m.flags), errors.Join(m.err, m.errs[key])
	if m.broken[key] {
		err = errBroken
	}
	gate, panics := m.holds[key], m.panics
	m.mu.Unlock()
	if gate != nil {
		<-gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading[key]--
	if panics {
		panic("planted")
	}
	return flags, err
}

func (m *memory) readsOf(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads[key]
}

// Get implements [ld.FeatureStore], like the methods below.
func (m *memory) Get(_ ld.VersionedDataKind, key string) (ld.VersionedData, error) {
	flags, err := m.read(key)
	if version := flags[key]; version > 0 && err == nil {
		return &ld.Flag{Key: key, Version: version}, nil
	}
	return nil, err
}

func (m *memory) All(kind ld.VersionedDataKind) (map[string]ld.VersionedData, error) {
	all, _, err := m.AllAndBroken(kind)
	return all, err
}

// AllAndBroken is like [v4store.Table]'s.
func (m *memory) AllAndBroken(
	ld.VersionedDataKind,
) (all map[string]ld.VersionedData, broken map[string]error, err error) {
	flags, err := m.read(whole)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all, broken = map[string]ld.VersionedData{}, map[string]error{}
	for key, version := range flags {
		if m.broken[key] {
			broken[key] = errBroken
			continue
		}
		all[key] = &ld.Flag{Key: key, Version: version}
	}
	return all, broken, nil
}

func (m *memory) Init(all map[ld.VersionedDataKind]map[string]ld.VersionedData) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.flags)
	for key, item := range all[ld.Features] {
		m.flags[key] = item.GetVersion()
	}
	m.inited = true
	return m.err // an error after everything was written
}

func (m *memory) Upsert(_ ld.VersionedDataKind, item ld.VersionedData) error {
	m.put(item.GetKey(), item.GetVersion())
	return m.err
}

func (m *memory) Delete(_ ld.VersionedDataKind, key string, _ int) error {
	m.put(key, 0)
	return m.err
}

// HasMarker is like [v4store.Table]'s.
func (m *memory) HasMarker() (bool, error) {
	m.mu.Lock()
	present := m.marker
	m.mu.Unlock()
	_, err := m.read(marker)
	return present, err
}

func (m *memory) Initialized() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	if m.panics {
		panic("planted")
	}
	return m.inited
}

// system is a cache under test with its table and its clock.
type system struct {
	*memory
	*v4store.Cache[ld.VersionedDataKind, ld.VersionedData]
	start time.Time

	clocks     sync.Mutex // guards the fields below
	mono, wall time.Duration
}

func newSystem(t testing.TB, options ...v4store.CacheOption) *system {
	s := &system{memory: newMemory(t), start: time.Now(), mono: time.Hour, wall: 500_000 * time.Hour}
	options = append([]v4store.CacheOption{v4store.TTL(time.Hour), v4store.CacheClock(s.now)}, options...)
	s.Cache = v4store.Cached(ld.FeatureStore(s.memory), options...)
	return s
}

// now returns both clocks. They follow the bubble's time, and a test can move them independently.
func (s *system) now() (mono, wall time.Duration) {
	s.clocks.Lock()
	defer s.clocks.Unlock()
	passed := time.Since(s.start)
	return s.mono + passed, s.wall + passed
}

func (s *system) move(mono, wall time.Duration) {
	s.clocks.Lock()
	defer s.clocks.Unlock()
	s.mono += mono
	s.wall += wall
}

func (s *system) pass(d time.Duration) { s.move(d, d) }

// version returns the version from a Get, or 0 if the flag is unknown.
func (s *system) version(key string) int {
	item, err := s.Cache.Get(ld.Features, key)
	require.NoError(s.t, err)
	if item == nil {
		return 0
	}
	assert.Equal(s.t, key, item.GetKey())
	return item.GetVersion()
}

// versions returns the versions from an All.
func (s *system) versions() map[string]int {
	items, err := s.Cache.All(ld.Features)
	require.NoError(s.t, err)
	found := map[string]int{}
	for key, item := range items {
		found[key] = item.GetVersion()
	}
	return found
}

func (s *system) invalidate(key string, version int) {
	s.Invalidate(change.Change{Kind: change.KindFeatures, Key: key, Version: version})
}

// async runs f in a goroutine, and returns a channel with its result.
func async[T any](f func() T) chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}
