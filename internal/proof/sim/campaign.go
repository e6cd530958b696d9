package sim

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Campaign runs many seeds.
type Campaign struct {
	First uint64 // the first seed; the following seeds are consecutive
	Seeds int    // number of seeds
	Steps int    // number of steps in each script; 0 means 100
}

// Flags returns a short campaign, which the test flags -sim.first, -sim.seeds and -sim.steps can change. A test package
// calls it once, before flags are parsed.
func Flags() *Campaign {
	c := new(Campaign)
	flag.Uint64Var(&c.First, "sim.first", 1, "the simulator's first seed")
	flag.IntVar(&c.Seeds, "sim.seeds", 500, "number of seeds that the simulator runs")
	flag.IntVar(&c.Steps, "sim.steps", 100, "number of steps in each script")
	return c
}

// Replay runs histories in which a cache once broke a promise, as subtests. Each is a name and a shrunk script.
func Replay(t *testing.T, subject Subject, histories [][2]string) {
	t.Helper()
	for _, h := range histories {
		t.Run(h[0], func(t *testing.T) {
			script, err := Parse(h[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := Run(t, script, subject, nil); err != nil {
				Report(t, h[0], script, subject, err)
			}
		})
	}
}

// Run runs the seeds on all cores. It fails t at the first broken promise, with the seed and a shrunk script, or if a
// race did not occur with any seed. It logs the number of seeds and the races that occurred.
func (c Campaign) Run(t *testing.T, subject Subject) {
	t.Helper()
	if c.Steps == 0 {
		c.Steps = 100
	}
	var (
		next   atomic.Int64 // number of seeds assigned to shards
		failed atomic.Bool  // a shard found a broken promise; all shards stop
		mu     sync.Mutex   // guards races
		races  = NewRaces()
		begun  = time.Now()
	)
	t.Run("seeds", func(t *testing.T) {
		for shard := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
				t.Parallel()
				own := NewRaces()
				for !failed.Load() {
					n := next.Add(1) - 1
					if n >= int64(c.Seeds) {
						break
					}
					seed := c.First + uint64(n)
					script := Draw(seed, c.Steps)
					if err := Run(t, script, subject, own); err != nil {
						failed.Store(true)
						Report(t, fmt.Sprint("seed ", seed), script, subject, err)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				races.Add(own)
			})
		}
	})
	if failed.Load() {
		return
	}
	seconds := time.Since(begun).Seconds()
	t.Logf("%d seeds from %d, %d steps, in %.1f seconds: no promise was broken.\n%v",
		c.Seeds, c.First, c.Seeds*c.Steps, seconds, races)
	for _, name := range names {
		if races[name] == 0 {
			t.Errorf("the race %q never occurred", name)
		}
	}
}

// String lists the races with their counts.
func (r Races) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(&b, "%9d  %s\n", r[name], name)
	}
	return b.String()
}

// Report fails t with the smallest script it finds that breaks the same promise as err, and with a trace of that
// script. A cache may behave randomly within a step, so each script is run several times.
func Report(t *testing.T, name string, script Script, subject Subject, err error) {
	t.Helper()
	var first *Broken
	if !errors.As(err, &first) {
		t.Fatalf("%s: %v", name, err)
	}
	attempts := 30
	check := func(s Script) *Broken {
		for n := range attempts {
			var broken *Broken
			if errors.As(Trace(t, s, subject), &broken) && broken.Promise == first.Promise {
				attempts = max(1, min(attempts, 3*n))
				return broken
			}
		}
		return nil
	}
	broken := check(script)
	if broken == nil {
		t.Fatalf("%s: %v, once, and not again in %d runs of the script:\n%v", name, first, attempts, script)
	}
	script = Shrink(script, func(s Script) bool {
		less := check(s)
		if less != nil {
			broken = less
		}
		return less != nil
	})
	t.Fatalf("%s: %v\nThe shrunk script, for Parse:\n%v\n\nIts events (step, time):\n%s",
		name, broken, script, broken.Trace)
}

// Shrink returns the smallest script it finds that still fails. It removes halves of the steps first, then smaller
// parts, then settings and numbers, and repeats this until nothing changes.
func Shrink(script Script, fails func(Script) bool) Script {
	smaller := true
	try := func(change func(*Script)) bool {
		less := script
		less.Steps = slices.Clone(script.Steps)
		change(&less)
		if less.String() == script.String() || !fails(less) {
			return false
		}
		script, smaller = less, true
		return true
	}
	for smaller {
		smaller = false
		for size := len(script.Steps); size > 0; size /= 2 {
			for at := 0; at < len(script.Steps); {
				if !try(func(s *Script) { s.Steps = slices.Delete(s.Steps, at, min(at+size, len(s.Steps))) }) {
					at += size
				}
			}
		}
		try(func(s *Script) { s.Preload = false })
		try(func(s *Script) { s.Lag = false })
		try(func(s *Script) { s.Held = false })
		try(func(s *Script) { s.Strict = false })
		try(func(s *Script) { s.Lambda = true })
		try(func(s *Script) { s.MaxStale = 0 })
		if script.MaxStale <= 0 || script.MaxStale >= time.Minute {
			try(func(s *Script) { s.TTL = time.Minute })
		}
		for n := range script.Steps {
			try(func(s *Script) { s.Steps[n].A = 0 })
			try(func(s *Script) { s.Steps[n].B = 0 })
		}
	}
	return script
}
