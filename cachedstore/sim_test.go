package cachedstore_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/internal/outage"
	"github.com/warmflags/warmflags/internal/proof/sim"
)

var campaign = sim.Flags()

// simulated is what the simulator judges.
var simulated = sim.Subject{
	Tick: cachedstore.SweepInterval, Early: 200 * time.Millisecond, Notice: outage.LastCheck + time.Second,
	ShortWait: cachedstore.DefaultShortWait, ManyStale: 1, Forgets: true, Marker: true,
	New: newSimulated,
}

func newSimulated(s sim.Setup) sim.System {
	options := []cachedstore.Option{
		cachedstore.Sizes(1, 2),
		cachedstore.TTL(s.TTL), cachedstore.MaxStale(s.MaxStale), cachedstore.ReadLimit(s.ReadLimit), cachedstore.Clock(s.Hands),
		cachedstore.InLambda(s.Lambda),
	}
	if s.Preload {
		options = append(options, cachedstore.Preload())
	}
	if s.Strict {
		options = append(options, cachedstore.StrictClock())
	}
	return cachedstore.New(s.Table, options...)
}

// TestSim is the short run; `make sim` is the long one.
func TestSim(t *testing.T) {
	campaign.Run(t, simulated)
}

// TestSimByRapid lets rapid draw the scripts: it explores and shrinks in its own way.
func TestSimByRapid(t *testing.T) {
	scripts := sim.Scripts(60)
	rapid.Check(t, func(rt *rapid.T) {
		script := scripts.Draw(rt, "script")
		if err := sim.Run(t, script, simulated, nil); err != nil {
			rt.Fatalf("%v in\n%v", err, script)
		}
	})
}

// regressions are histories in which cachedstore once broke a promise, shrunk.
var regressions = [][2]string{
	{"a second client was not told of an outage", "ttl=1m; outage 0 0; getall 0 0; clients 0 0"},
	{"a removed flag was read again and again", "ttl=1m; get 0 21; write 5 8; deliver 0 0; get 0 21; pass 4 0; get 0 20"},
	{"a Wake told of recovery, and the next Get was stale", "ttl=1m held; get 0 13; answer 0 0; write 4 0; deliver 0 0; get 0 13; answer 0 20; wake 0 0; get 0 13"},
	{"GetAll joined a read from before an Invalidate", "ttl=1m held; getall 0 0; write 0 0; deliver 0 0; getall 0 0"},
	{"a Get read again what a collection had brought meanwhile", "ttl=1m held; get 0 20; wake 0 0; table 0 0; get 0 12; getall 0 0"},
	{"GetAll left out a flag whose own read was abandoned", "ttl=1m; table 3 0; getall 0 0; freeze 0 0; get 0 0; answer 0 0; pass 7 0"},
	{"a collection's value was not kept as last known", "ttl=1m held; get 0 0; getall 0 14; freeze 0 0; answer 0 0; get 0 7; answer 0 0; get 0 7; pass 6 0"},
	{"a hit without a cache", "ttl=0; get 0 0; get 0 0"},
	{"GetAll served what MaxStale forbids", "ttl=1m maxstale=-1ns lambda; table 2 0; write 0 0; getall 0 0; answer 0 0; deliver 0 0; get 0 0; answer 0 22; getall 0 0"},
	{"GetAll served an item that is older than its collection", "ttl=1m30s maxstale=1m30s held lambda; outage 0 0; get 0 5; invalidateall 0 0; table 0 0; get 0 13; answer 0 0; write 0 8; table 1 0; pass 0 0; pass 6 0; getall 0 0; answer 0 22; getall 0 0"},
	{"a discarded collection answered for an item's read", "ttl=1m lambda; table 2 0; write 0 0; getall 0 0; deliver 0 0; write 0 0; get 0 0; repeat 0 0"},
	{"a third read without a cache", "ttl=0 held lambda; getall 0 0; get 0 0; get 0 0; answer 0 0; answer 0 0"},
	{"a GetAll began while the only value was put by", "ttl=1m held lambda; getall 0 0; get 0 0; get 0 15; outage 0 0; outage 0 0; outage 0 0; get 0 20; pass 7 0; answer 0 0; getall 0 0; write 4 0; deliver 0 0; get 0 5; answer 3 0; getall 0 0"},
	{"GetAll did not wait for a read that its flag needs", "ttl=1m lambda; outage 0 0; table 7 0; get 0 7; getall 0 9; freeze 0 0; answer 0 0; get 0 15"},
	{"a failed read hid what a collection had brought", "ttl=0 held lambda; getall 0 0; get 0 0; get 0 0; answer 1 23; answer 0 0; get 0 0"},
	{"a new flag with broken JSON was an error instead of unknown", "ttl=0 lambda; table 6 0; write 4 7; getall 0 0; get 0 0; answer 0 0; write 0 19; write 6 0; getall 0 0; answer 0 0; answer 0 22; get 0 6"},
	{"GetAll served a value put by that MaxStale forbids", "ttl=1m maxstale=-1ns lambda; table 1 0; get 0 0; get 0 5; get 0 14; getall 0 0; rumor 4 0; answer 6 0; get 0 20; answer 4 22; getall 0 0; answer 7 0; pass 4 0"},
	{"without a cache, the last known value was older than what was returned", "ttl=0s held lambda; getall 0 14; get 0 0; get 0 14; get 0 20; answer 0 0; getall 0 0; getall 0 0; get 0 12; outage 0 0; answer 2 21; answer 0 0; answer 4 0; write 5 0; answer 0 0; answer 0 0; answer 0 0; answer 0 0; answer 0 0; getall 0 0"},
	{"GetAll served an item's read from before a freeze", "ttl=1m held lambda; write 4 0; getall 0 0; deliver 0 0; back 0 0; get 0 4; freeze 0 0; answer 3 0; getall 0 0"},
	{"a wall clock that stepped back revived what had expired", "ttl=1m lambda; getall 0 0; write 0 0; write 0 0; table 5 0; freeze 2 0; write 5 0; pass 5 0; get 0 0; back 0 0; wake 0 0; deliver 2 0; getall 0 0"},
	{"GetAll served a value put by while its key was left alone, which MaxStale forbids", "ttl=1m maxstale=-1ns lambda; table 5 0; get 0 20; write 5 0; write 0 0; getall 0 0; deliver 0 0; getall 0 0; get 0 20; get 0 0; deliver 0 0; answer 0 20; answer 0 0; answer 7 22"},
	{"a value put by displaced a newer read of the collection", "ttl=-1ns held lambda strict; outage 0 0; answer 0 0; getall 0 0; freeze 0 0; getall 0 0; get 0 0; answer 0 0; freeze 0 0; getall 0 0; pass 4 0"},
	{"a collection that was read during an outage was not used", "ttl=1m maxstale=1m30s held lambda; get 0 0; getall 0 4; outage 0 0; get 0 14; freeze 5 0; answer 0 0; answer 0 0; pass 6 0; answer 0 0; getall 0 0; invalidateall 0 0; get 0 0; answer 0 0; getall 0 0"},
	{"a wall clock that stepped back renewed the pause after a failed read", "ttl=1m held lambda; getall 0 0; answer 0 0; write 0 0; pass 0 0; deliver 0 0; pass 6 0; get 0 12; get 0 0; answer 0 0; answer 0 22; get 0 22; getall 0 0; freeze 0 0; get 0 0; answer 1 0; back 0 0; get 0 0"},
	{"a wall clock that stepped back hid a freeze that was seen", "ttl=1m lambda; table 3 0; get 0 0; getall 0 0; freeze 0 0; answer 3 0; back 0 0; get 0 0; write 0 0"},
	{"GetAll left out a flag that was put by while it waited for another", "ttl=1m held lambda; get 0 0; get 0 22; write 0 0; freeze 0 0; get 0 0; answer 0 0; deliver 0 0; get 0 0; answer 7 0; outage 0 0; get 0 15; getall 0 0; write 0 8; invalidateall 0 0; getall 0 0; write 4 0; get 0 0; pass 4 0; wake 0 0; deliver 0 0; answer 0 0; write 0 0; pass 1 0; get 0 22; getall 0 0; answer 0 0; answer 3 22; answer 0 0; deliver 0 0; get 0 12; getall 0 0; getall 0 9; answer 0 0; answer 7 0"},
}

func TestSimRegressions(t *testing.T) { sim.Replay(t, simulated, regressions) }
