package cachedstore_test

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/internal/sim"
)

var (
	simFirst = flag.Uint64("sim.first", 1, "the simulator's first seed")
	simSeeds = flag.Int("sim.seeds", 2500, "how many seeds the simulator runs")
	simSteps = flag.Int("sim.steps", 100, "how many steps each has")
)

// simulated is what the simulator judges.
var simulated = sim.Subject{Tick: cachedstore.Tick, New: func(s sim.Setup) sim.System {
	options := []cachedstore.Option{
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
}}

// TestSim is the short run; `make sim` is the long one.
func TestSim(t *testing.T) {
	sim.Campaign{First: *simFirst, Seeds: *simSeeds, Steps: *simSteps}.Run(t, simulated)
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
