package synchistory

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// fillers are flags that make a change too large for one transaction, where a history has them.
const fillers = 120

// name is an item's.
type name struct{ kind, key string }

func (n name) String() string { return n.kind + "/" + n.key }

func (n name) dataKind() st.DataKind {
	if n.kind == ldstoreimpl.Segments().GetName() {
		return ldstoreimpl.Segments()
	}
	return ldstoreimpl.Features()
}

func flagName(key string) name    { return name{ldstoreimpl.Features().GetName(), key} }
func segmentName(key string) name { return name{ldstoreimpl.Segments().GetName(), key} }

// state is what an item is after a change. Its version is the number of the change, so versions only rise, as
// LaunchDarkly's do, and say when they were made.
type state struct {
	version int // 0: it never was
	deleted bool
}

// world is a LaunchDarkly environment with its past.
type world struct {
	past    map[name][]state // in the order of the changes
	changes int              // made so far
	edge    int              // changes that LaunchDarkly's streams have: its webhooks can be faster
	feeds   map[*source]struct{}
}

func newWorld(rng *rand.Rand, many bool) *world {
	w := &world{past: map[name][]state{}, feeds: map[*source]struct{}{}}
	w.changes = 1
	w.set(flagName("always"), false) // an environment without flags is held by a guard
	for i := range fillers {
		if many {
			w.set(flagName(fmt.Sprintf("filler-%03d", i)), false)
		}
	}
	for range 4 {
		w.change(rng)
	}
	w.edge = w.changes
	return w
}

func (w *world) set(n name, deleted bool) {
	w.past[n] = append(w.past[n], state{w.changes, deleted})
}

// change makes, updates or removes an item, or updates all fillers.
func (w *world) change(rng *rand.Rand) {
	w.changes++
	if len(w.past) > fillers && rng.IntN(3) == 0 {
		for i := range fillers {
			w.set(flagName(fmt.Sprintf("filler-%03d", i)), false)
		}
		return
	}
	n := anyName(rng)
	exists := !w.at(n, w.changes).deleted && len(w.past[n]) > 0
	w.set(n, exists && rng.IntN(2) == 0)
}

// anyName is an item that comes and goes.
func anyName(rng *rand.Rand) name {
	if rng.IntN(5) == 0 {
		return segmentName("segment")
	}
	return flagName(string(rune('a' + rng.IntN(4))))
}

// at is what an item is after so many changes.
func (w *world) at(n name, changes int) (s state) {
	for _, later := range w.past[n] {
		if later.version <= changes {
			s = later
		}
	}
	return s
}

// publish brings all changes to the open streams.
func (w *world) publish() {
	from := w.edge
	w.edge = w.changes
	for f := range w.feeds {
		f.patch(from)
	}
}

// names are all items that ever were, in one order.
func (w *world) names() []name {
	return slices.SortedFunc(maps.Keys(w.past), func(a, b name) int {
		return slices.Compare([]string{a.kind, a.key}, []string{b.kind, b.key})
	})
}

// descriptor is an item as the SDK has it.
func descriptor(n name, s state) st.ItemDescriptor {
	switch {
	case s.deleted:
		return st.ItemDescriptor{Version: s.version}
	case n.kind == ldstoreimpl.Segments().GetName():
		segment := ldbuilders.NewSegmentBuilder(n.key).Version(s.version).Build()
		return st.ItemDescriptor{Version: s.version, Item: &segment}
	}
	flag := ldbuilders.NewFlagBuilder(n.key).Version(s.version).Build()
	return st.ItemDescriptor{Version: s.version, Item: &flag}
}

// mood is how LaunchDarkly answers a sync.
type mood int

const (
	well    mood = iota
	down         // no answer
	empty        // a payload without flags
	refuses      // the key
)

// source is LaunchDarkly's stream to one sync, in the place of the SDK's own.
type source struct {
	world *world
	actor *actor
	sink  subsystems.DataSourceUpdateSink
	ready chan<- struct{} // the SDK's; closed when the source is
	open  bool            // the payload was delivered
	asked int             // changes in the payload
}

// Build makes the source of one LaunchDarkly client; the actor is its [subsystems.ComponentConfigurer].
func (a *actor) Build(c subsystems.ClientContext) (subsystems.DataSource, error) {
	return &source{world: a.history.world, actor: a, sink: c.GetDataSourceUpdateSink()}, nil
}

// Start is called in the sync's own goroutine. The sync can be paused before LaunchDarkly makes the payload, and before
// it arrives.
func (s *source) Start(ready chan<- struct{}) {
	s.ready = ready
	if s.actor.pause() != nil {
		return
	}
	s.asked = s.world.edge
	s.actor.asks(s.asked)
	if s.actor.pause() != nil {
		return
	}
	switch s.actor.mood {
	case down:
		s.sink.UpdateStatus(interfaces.DataSourceStateInterrupted, interfaces.DataSourceErrorInfo{Kind: interfaces.DataSourceErrorKindNetworkError})
	case refuses:
		s.sink.UpdateStatus(interfaces.DataSourceStateOff, interfaces.DataSourceErrorInfo{
			Kind: interfaces.DataSourceErrorKindErrorResponse, StatusCode: http.StatusUnauthorized,
		})
	case well, empty:
		s.actor.delivered = s.actor.mood == well
		s.sink.Init(s.payload())
		s.sink.UpdateStatus(interfaces.DataSourceStateValid, interfaces.DataSourceErrorInfo{})
		s.open = true
		s.world.feeds[s] = struct{}{}
		s.patch(s.asked)
	}
}

func (s *source) payload() []st.Collection {
	segments, flags := st.Collection{Kind: ldstoreimpl.Segments()}, st.Collection{Kind: ldstoreimpl.Features()}
	for _, n := range s.world.names() {
		now := s.world.at(n, s.asked)
		if now.version == 0 || now.deleted || s.actor.mood == empty {
			continue
		}
		item := st.KeyedItemDescriptor{Key: n.key, Item: descriptor(n, now)}
		if n.dataKind() == ldstoreimpl.Segments() {
			segments.Items = append(segments.Items, item)
		} else {
			flags.Items = append(flags.Items, item)
		}
	}
	return []st.Collection{flags, segments}
}

// patch sends what changed since then, unless the stream stalls after its payload.
func (s *source) patch(since int) {
	for _, n := range s.world.names() {
		now := s.world.at(n, s.world.edge)
		if now.version > since && s.actor.mood == well && !s.actor.stalled {
			s.actor.history.report.Patches++
			s.sink.Upsert(n.dataKind(), n.key, descriptor(n, now))
		}
	}
}

// IsInitialized says whether the payload was delivered.
func (s *source) IsInitialized() bool { return s.open }

// Close ends the stream.
func (s *source) Close() error {
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
	delete(s.world.feeds, s)
	return nil
}
