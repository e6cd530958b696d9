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

// simulated is the subject that the simulator tests.
var simulated = sim.Subject{
	SweepInterval: cachedstore.SweepInterval, Early: 200 * time.Millisecond,
	NotifyWithin: outage.LastCheck + time.Second,
	ShortWait:    cachedstore.DefaultShortWait, ManyStale: 1, Forgets: true, Marker: true,
	New: newSimulated,
}

func newSimulated(s sim.Setup) sim.System {
	options := []cachedstore.Option{
		cachedstore.Sizes(1, 2),
		cachedstore.TTL(s.TTL), cachedstore.MaxStale(s.MaxStale), cachedstore.ReadLimit(s.ReadLimit),
		cachedstore.Clock(s.Clock),
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

// TestSimByRapid lets rapid generate and shrink the scripts.
func TestSimByRapid(t *testing.T) {
	scripts := sim.Scripts(60)
	rapid.Check(t, func(rt *rapid.T) {
		script := scripts.Draw(rt, "script")
		if err := sim.Run(t, script, simulated, nil); err != nil {
			rt.Fatalf("%v in\n%v", err, script)
		}
	})
}

// regressions are shrunk histories in which cachedstore once broke a promise.
var regressions = [][2]string{
	{"a second client was not notified of an outage", "ttl=1m; outage 0 0; getall 0 0; clients 0 0"},
	{"a removed flag was read again and again",
		"ttl=1m; get 0 21; write 5 8; deliver 0 0; get 0 21; pass 4 0; get 0 20"},
	{"a Wake detected recovery, and the next Get was stale",
		"ttl=1m held; get 0 13; answer 0 0; write 4 0; deliver 0 0; get 0 13; answer 0 20; wake 0 0; get 0 13"},
	{"GetAll joined a read that started before an Invalidate",
		"ttl=1m held; getall 0 0; write 0 0; deliver 0 0; getall 0 0"},
	{"a Get read a key again that a collection had read meanwhile",
		"ttl=1m held; get 0 20; wake 0 0; table 0 0; get 0 12; getall 0 0"},
	{"GetAll omitted a flag whose own read was abandoned",
		"ttl=1m; table 3 0; getall 0 0; freeze 0 0; get 0 0; answer 0 0; pass 7 0"},
	{"a collection's value was not kept as last known",
		"ttl=1m held; get 0 0; getall 0 14; freeze 0 0; answer 0 0; get 0 7; answer 0 0; get 0 7; pass 6 0"},
	{"a hit with TTL 0", "ttl=0; get 0 0; get 0 0"},
	{"GetAll served what MaxStale forbids",
		"ttl=1m maxstale=-1ns lambda; table 2 0; write 0 0; getall 0 0; answer 0 0; deliver 0 0; get 0 0; " +
			"answer 0 22; getall 0 0"},
	{"GetAll served an item that is older than its collection",
		"ttl=1m30s maxstale=1m30s held lambda; outage 0 0; get 0 5; invalidateall 0 0; table 0 0; get 0 13; " +
			"answer 0 0; write 0 8; table 1 0; pass 0 0; pass 6 0; getall 0 0; answer 0 22; getall 0 0"},
	{"a discarded read of the collection was used for an item",
		"ttl=1m lambda; table 2 0; write 0 0; getall 0 0; deliver 0 0; write 0 0; get 0 0; repeat 0 0"},
	{"a third read with TTL 0", "ttl=0 held lambda; getall 0 0; get 0 0; get 0 0; answer 0 0; answer 0 0"},
	{"a GetAll started while the only value was pending",
		"ttl=1m held lambda; getall 0 0; get 0 0; get 0 15; outage 0 0; outage 0 0; outage 0 0; get 0 20; " +
			"pass 7 0; answer 0 0; getall 0 0; write 4 0; deliver 0 0; get 0 5; answer 3 0; getall 0 0"},
	{"GetAll did not wait for a read that its flag needs",
		"ttl=1m lambda; outage 0 0; table 7 0; get 0 7; getall 0 9; freeze 0 0; answer 0 0; get 0 15"},
	{"a failed read hid the value that a collection had read",
		"ttl=0 held lambda; getall 0 0; get 0 0; get 0 0; answer 1 23; answer 0 0; get 0 0"},
	{"a new flag with broken JSON was an error instead of unknown",
		"ttl=0 lambda; table 6 0; write 4 7; getall 0 0; get 0 0; answer 0 0; write 0 19; write 6 0; getall 0 0; " +
			"answer 0 0; answer 0 22; get 0 6"},
	{"GetAll served a pending value that MaxStale forbids",
		"ttl=1m maxstale=-1ns lambda; table 1 0; get 0 0; get 0 5; get 0 14; getall 0 0; rumor 4 0; answer 6 0; " +
			"get 0 20; answer 4 22; getall 0 0; answer 7 0; pass 4 0"},
	{"with TTL 0, the last known value was older than a returned value",
		"ttl=0s held lambda; getall 0 14; get 0 0; get 0 14; get 0 20; answer 0 0; getall 0 0; getall 0 0; " +
			"get 0 12; outage 0 0; answer 2 21; answer 0 0; answer 4 0; write 5 0; answer 0 0; answer 0 0; " +
			"answer 0 0; " +
			"answer 0 0; answer 0 0; getall 0 0"},
	{"GetAll served an item's read from before a freeze",
		"ttl=1m held lambda; write 4 0; getall 0 0; deliver 0 0; back 0 0; get 0 4; freeze 0 0; answer 3 0; " +
			"getall 0 0"},
	{"an expired value became fresh again when the wall clock was set back",
		"ttl=1m lambda; getall 0 0; write 0 0; write 0 0; table 5 0; freeze 2 0; write 5 0; pass 5 0; get 0 0; " +
			"back 0 0; wake 0 0; deliver 2 0; getall 0 0"},
	{"GetAll served a pending value that MaxStale forbids, while its key was in backoff",
		"ttl=1m maxstale=-1ns lambda; table 5 0; get 0 20; write 5 0; write 0 0; getall 0 0; deliver 0 0; " +
			"getall 0 0; get 0 20; get 0 0; deliver 0 0; answer 0 20; answer 0 0; answer 7 22"},
	{"a pending value replaced a newer read of the collection",
		"ttl=-1ns held lambda strict; outage 0 0; answer 0 0; getall 0 0; freeze 0 0; getall 0 0; get 0 0; " +
			"answer 0 0; freeze 0 0; getall 0 0; pass 4 0"},
	{"a collection that was read during an outage was not used",
		"ttl=1m maxstale=1m30s held lambda; get 0 0; getall 0 4; outage 0 0; get 0 14; freeze 5 0; answer 0 0; " +
			"answer 0 0; pass 6 0; answer 0 0; getall 0 0; invalidateall 0 0; get 0 0; answer 0 0; getall 0 0"},
	{"a backoff started again when the wall clock was set back",
		"ttl=1m held lambda; getall 0 0; answer 0 0; write 0 0; pass 0 0; deliver 0 0; pass 6 0; get 0 12; " +
			"get 0 0; answer 0 0; answer 0 22; get 0 22; getall 0 0; freeze 0 0; get 0 0; answer 1 0; back 0 0; " +
			"get 0 0"},
	{"a detected freeze was ignored when the wall clock was set back",
		"ttl=1m lambda; table 3 0; get 0 0; getall 0 0; freeze 0 0; answer 3 0; back 0 0; get 0 0; write 0 0"},
	{"GetAll omitted a pending flag while it waited for another",
		"ttl=1m held lambda; get 0 0; get 0 22; write 0 0; freeze 0 0; get 0 0; answer 0 0; deliver 0 0; get 0 0; " +
			"answer 7 0; outage 0 0; get 0 15; getall 0 0; write 0 8; invalidateall 0 0; getall 0 0; write 4 0; " +
			"get 0 0; pass 4 0; wake 0 0; deliver 0 0; answer 0 0; write 0 0; pass 1 0; get 0 22; getall 0 0; " +
			"answer 0 0; answer 3 22; answer 0 0; deliver 0 0; get 0 12; getall 0 0; getall 0 9; answer 0 0; " +
			"answer 7 0"},
}

func TestSimRegressions(t *testing.T) { sim.Replay(t, simulated, regressions) }
