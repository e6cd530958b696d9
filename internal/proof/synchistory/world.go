package synchistory

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/proof/ldstream"
)

// fillers are flags that make a change too large for one transaction. Some histories have them.
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

// inStream returns the kind's name in LaunchDarkly's stream.
func (n name) inStream() string {
	if n.dataKind() == ldstoreimpl.Segments() {
		return "segments"
	}
	return "flags"
}

func flagName(key string) name    { return name{ldstoreimpl.Features().GetName(), key} }
func segmentName(key string) name { return name{ldstoreimpl.Segments().GetName(), key} }

// state is an item after a change. Its version is the number of the change. As in LaunchDarkly, versions only
// increase.
type state struct {
	version int // 0: the item never existed
	deleted bool
}

// world is a LaunchDarkly environment with its history.
type world struct {
	past    map[name][]state // in the order of the changes
	changes int              // number of changes so far
	edge    int              // number of changes that LaunchDarkly's streams have; webhooks can be faster
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

// anyName returns a random item that may be created and removed.
func anyName(rng *rand.Rand) name {
	if rng.IntN(5) == 0 {
		return segmentName("segment")
	}
	return flagName(string(rune('a' + rng.IntN(4))))
}

// at returns an item's state after a number of changes.
func (w *world) at(n name, changes int) (s state) {
	for _, later := range w.past[n] {
		if later.version <= changes {
			s = later
		}
	}
	return s
}

// publish sends all changes to the open streams.
func (w *world) publish() {
	w.edge = w.changes
	for f := range w.feeds {
		f.patch()
	}
}

// names returns all items that ever existed, sorted.
func (w *world) names() []name {
	return slices.SortedFunc(maps.Keys(w.past), func(a, b name) int {
		return slices.Compare([]string{a.kind, a.key}, []string{b.kind, b.key})
	})
}

// descriptor converts an item to the SDK's type.
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
	down         // no response
	empty        // a payload without flags
	refuses      // the key
)

// source is LaunchDarkly's stream to one sync: its HTTP transport.
type source struct {
	*ldstream.Connection
	actor *actor
	asked int // number of changes in the payload
	sent  int // number of changes in the payload and in patches
}

// client is the HTTP client of a sync, whose requests LaunchDarkly answers in the actor's mood.
func (a *actor) client() *http.Client {
	return &http.Client{Transport: ldstream.Transport{Answer: a.answer}}
}

// answer answers a request. The sync can be paused before LaunchDarkly makes the payload, and before it arrives.
func (a *actor) answer(c *ldstream.Connection) {
	w := a.history.world
	switch {
	case a.mood == down:
		c.Fail(errors.New("connection refused"))
		return
	case a.pause() != nil:
		c.Fail(errCrash)
		return
	}
	s := &source{Connection: c, actor: a, asked: w.edge}
	s.sent = s.asked
	a.asks(s.asked)
	switch {
	case a.pause() != nil:
		c.Fail(errCrash)
	case a.mood == refuses:
		c.Refuse(http.StatusUnauthorized)
	default:
		a.delivered = a.mood == well
		c.Closed = func() { delete(w.feeds, s) }
		w.feeds[s] = struct{}{}
		c.Send("put", s.payload())
	}
}

// payload returns the environment as LaunchDarkly's streams have it, in the stream's JSON.
func (s *source) payload() string {
	data := map[string]map[string]json.RawMessage{"flags": {}, "segments": {}}
	w := s.actor.history.world
	for _, n := range w.names() {
		now := w.at(n, s.asked)
		if now.version != 0 && !now.deleted && s.actor.mood != empty {
			data[n.inStream()][n.key] = n.dataKind().Serialize(descriptor(n, now))
		}
	}
	put, _ := json.Marshal(map[string]any{"path": "/", "data": data}) // strings and valid JSON
	return string(put)
}

// patch sends the changes since the last event and waits until they have arrived. It does nothing if the stream
// stalls after its payload.
func (s *source) patch() {
	w := s.actor.history.world
	since := s.sent
	s.sent = w.edge
	if s.actor.mood != well || s.actor.stalled {
		return
	}
	for _, n := range w.names() {
		now := w.at(n, w.edge)
		if now.version <= since {
			continue
		}
		s.actor.history.report.Patches++
		path := fmt.Sprintf("/%s/%s", n.inStream(), n.key)
		if now.deleted {
			s.Send("delete", fmt.Sprintf(`{"path":%q,"version":%d}`, path, now.version))
		} else {
			s.Send("patch", fmt.Sprintf(`{"path":%q,"data":%s}`, path, n.dataKind().Serialize(descriptor(n, now))))
		}
	}
	s.Flush()
}
