package sim_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/proof/sim"
)

// noSink makes a System of a data store that does not receive messages.
type noSink struct {
	subsystems.ComponentConfigurer[subsystems.DataStore]
}

func (noSink) Invalidate(...change.Change) {}
func (noSink) InvalidateAll()              {}

// wrapper is LaunchDarkly's own cache. A finalizer stops its parts, and must not run outside of their bubble. Therefore
// the stores are kept reachable and are not closed: Close would drop their parts.
var wrapper = sim.Subject{New: func(s sim.Setup) sim.System {
	return noSink{configurer(func(context subsystems.ClientContext) (subsystems.DataStore, error) {
		store, err := ldcomponents.PersistentDataStore(s.Table).CacheTime(s.TTL).Build(context)
		kept = append(kept, store)
		return unclosed{store}, err
	})}
}}

var kept []subsystems.DataStore

// unclosed is a data store that is never closed.
type unclosed struct{ subsystems.DataStore }

func (unclosed) Close() error { return nil }

// uncachedStore reads the table at each Get.
type uncachedStore struct {
	subsystems.PersistentDataStore
	flaw string

	mu   sync.Mutex // guards seen
	seen map[string]ldstoretypes.ItemDescriptor
}

func (s *uncachedStore) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	s.mu.Lock()
	old, ok := s.seen[kind.GetName()+key]
	s.mu.Unlock()
	if ok && s.flaw == "never reads again" {
		return old, nil
	}
	raw, err := s.PersistentDataStore.Get(kind, key)
	if err != nil || raw.SerializedItem == nil {
		return ldstoretypes.ItemDescriptor{}.NotFound(), err
	}
	item, err := kind.Deserialize(raw.SerializedItem)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[kind.GetName()+key] = item; s.flaw == "invents versions" {
		item.Version++
	}
	return item, err
}

func (s *uncachedStore) GetAll(kind ldstoretypes.DataKind) (all []ldstoretypes.KeyedItemDescriptor, err error) {
	raw, err := s.PersistentDataStore.GetAll(kind)
	for _, each := range raw {
		item, err := kind.Deserialize(each.Item.SerializedItem)
		if err != nil {
			return nil, err
		}
		all = append(all, ldstoretypes.KeyedItemDescriptor{Key: each.Key, Item: item})
	}
	if s.flaw == "writes" {
		return all, s.Init(nil)
	}
	return all, err
}

func (s *uncachedStore) Init([]ldstoretypes.Collection) error { return s.PersistentDataStore.Init(nil) }
func (s *uncachedStore) Upsert(ldstoretypes.DataKind, string, ldstoretypes.ItemDescriptor) (bool, error) {
	return false, nil
}
func (s *uncachedStore) IsStatusMonitoringEnabled() bool { return true }

func uncached(flaw string) sim.Subject {
	return sim.Subject{New: func(s sim.Setup) sim.System {
		return noSink{configurer(func(context subsystems.ClientContext) (subsystems.DataStore, error) {
			table, err := s.Table.Build(context)
			return &uncachedStore{PersistentDataStore: table, flaw: flaw,
				seen: map[string]ldstoretypes.ItemDescriptor{}}, err
		})}
	}}
}

// noStatus is an uncached store without a status.
var noStatus = sim.Subject{New: uncached("").New, NoStatus: true}

type configurer func(subsystems.ClientContext) (subsystems.DataStore, error)

func (f configurer) Build(context subsystems.ClientContext) (subsystems.DataStore, error) {
	return f(context)
}

func TestEachPromiseCanBeBroken(t *testing.T) {
	cases := []struct {
		name, script string
		subject      sim.Subject
		promise      int
		text         string
	}{
		{"nothing happens", "ttl=0", uncached(""), 0, ""},
		{"an uncached store meets the promises of TTL 0", "ttl=0; get 0 0; write 0 0; get 0 0; getall 0 0",
			uncached(""), 0, ""},
		{"a value that was never in the table", "ttl=0; get 0 0", uncached("invents versions"), 1,
			"which no read returned"},
		{"reads overlap", "ttl=0 held; get 0 0; get 0 0", uncached(""), 1, "while another is in progress"},
		{"invalidation has no effect", "ttl=-1ns; get 0 0; write 0 0; deliver 0 0; get 0 0",
			uncached("never reads again"), 2,
			"before it was invalidated"},
		{"the TTL has no effect", "ttl=10s lambda; get 0 0; pass 7 0; get 0 0", uncached("never reads again"), 3,
			"older than the TTL"},
		{"a freeze has no effect", "ttl=10s lambda; get 0 0; freeze 7 0; get 0 0", uncached("never reads again"), 3,
			"older than the TTL"},
		{"a read is never abandoned", "ttl=0 held; get 0 0; pass 4 0", uncached(""), 2, "still waits"},
		{"the last known value is not served", "ttl=0; get 0 0; outage 0 0; get 0 0", uncached(""), 4,
			"instead of the last known value"},
		{"clients are not notified of an outage", "ttl=0 maxstale=-1ns; outage 0 0; get 0 0", uncached(""), 4,
			"was not notified"},
		{"clients are not notified where there is no status", "ttl=0 maxstale=-1ns; outage 0 0; get 0 0", noStatus,
			0, ""},
		{"without a status, a failure does not affect other items",
			"ttl=1m; get 0 0; outage 0 0; get 0 4; outage 0 0; get 0 0", noStatus, 5, "no call needs it"},
		{"without a status, the last known value is not served", "ttl=0; get 0 0; outage 0 0; get 0 0", noStatus, 4,
			"instead of the last known value"},
		{"a hit reads", "ttl=1m; get 0 0; get 0 0", uncached(""), 5, "no call needs it"},
		{"a write", "ttl=0; getall 0 0", uncached("writes"), 7, "wrote to the table (Init)"},
		{"LaunchDarkly's wrapper: a read in flight over an invalidation",
			"ttl=1m held lambda; get 0 0; write 0 0; deliver 0 0; get 0 0; answer 0 0", wrapper, 2, ""},
		{"LaunchDarkly's wrapper: a frozen clock", "ttl=1m lambda; get 0 0; write 0 0; freeze 7 0; get 0 0", wrapper, 3,
			"older than the TTL"},
		{"LaunchDarkly's wrapper: an expired entry and an error",
			"ttl=10s lambda; get 0 0; pass 7 0; pass 1 0; outage 0 0; get 0 0", wrapper, 4,
			"instead of the last known value"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			script, err := sim.Parse(c.script)
			require.NoError(t, err)
			err = sim.Run(t, script, c.subject, nil)
			runtime.GC() // no finalizer may touch the bubble
			if c.promise == 0 {
				require.NoError(t, err)
				return
			}
			var broken *sim.Broken
			require.ErrorAs(t, err, &broken)
			assert.Equal(t, c.promise, broken.Promise, "%v", broken)
			assert.Contains(t, broken.Error(), c.text)
		})
	}
}

func TestATraceListsTheEvents(t *testing.T) {
	script, err := sim.Parse("ttl=0; get 0 0")
	require.NoError(t, err)
	var broken *sim.Broken
	require.ErrorAs(t, sim.Trace(t, script, uncached("invents versions")), &broken)
	assert.Contains(t, broken.Trace, "read 0 of features/a starts")
	assert.Contains(t, broken.Trace, "BROKEN: promise 1")
}

func TestParseReadsWhatStringWrites(t *testing.T) {
	for seed := range uint64(50) {
		script := sim.Draw(seed, 20)
		assert.Equal(t, script, sim.Draw(seed, 20), "the same seed, the same script")
		parsed, err := sim.Parse(script.String())
		require.NoError(t, err)
		assert.Equal(t, script, parsed)
		oneLine, err := sim.Parse(strings.ReplaceAll(script.String(), "\n", "; "))
		require.NoError(t, err)
		assert.Equal(t, script, oneLine)
	}
	for _, wrong := range []string{"ttl=x", "color", "ttl=0; jump", "ttl=0; get x", "ttl=0; get -1",
		"ttl=0; get 1 2 3"} {
		_, err := sim.Parse(wrong)
		assert.ErrorContains(t, err, "read script", wrong)
	}
}

func TestShrinkKeepsTheStepsThatFail(t *testing.T) {
	script := sim.Draw(7, 100)
	script.Steps = append(script.Steps, sim.Step{Op: sim.Wake, A: 3, B: 5}, sim.Step{Op: sim.Back, A: 4})
	script = sim.Shrink(script, func(s sim.Script) bool {
		wake := false
		for _, step := range s.Steps {
			wake = wake || step.Op == sim.Wake
			if wake && step.Op == sim.Back {
				return true
			}
		}
		return false
	})
	assert.Equal(t, []sim.Step{{Op: sim.Wake}, {Op: sim.Back}}, script.Steps)
	assert.Equal(t, sim.Script{TTL: time.Minute, Lambda: true, Steps: script.Steps}, script)
}

func TestASystemThatLeaksGoroutinesFails(t *testing.T) {
	subject := sim.Subject{New: func(s sim.Setup) sim.System {
		return noSink{configurer(func(context subsystems.ClientContext) (subsystems.DataStore, error) {
			go func() { select {} }()
			return uncached("").New(s).Build(context)
		})}
	}}
	err := sim.Run(t, sim.Script{}, subject, nil)
	var broken *sim.Broken
	require.ErrorAs(t, err, &broken)
	assert.Contains(t, broken.Text, "goroutines")
}

func ExampleParse() {
	script, err := sim.Parse("ttl=1m held; get 0 0; write 0 0; deliver 0 0; answer 0 0")
	fmt.Println(len(script.Steps), script.TTL, err)
	// Output: 4 1m0s <nil>
}
