package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// Op is the action of a step. Its two numbers select among the existing objects, modulo their number. So every step is
// valid in every script, and a script can be shrunk by removing steps.
type Op string

// The steps.
const (
	Get           Op = "get"     // client A starts a Get of item B
	GetAll        Op = "getall"  // client A starts a GetAll of kind B
	Write         Op = "write"   // a writer changes item A in way B
	Deliver       Op = "deliver" // message A of the queue is delivered, altered in way B
	Repeat        Op = "repeat"  // message A of the queue is delivered, and stays in the queue
	Drop          Op = "drop"    // message A of the queue is lost
	Rumor         Op = "rumor"   // a message about item A arrives without a write, with a version altered in way B
	InvalidateAll Op = "invalidateall"
	Answer        Op = "answer"  // the held read A ends in way B
	See           Op = "see"     // the held read A sees the next row that it has not seen yet
	Table         Op = "table"   // from now on reads end at once, or are held in way A
	Outage        Op = "outage"  // the table becomes unreachable, or reachable again
	Lag           Op = "lag"     // reads see rows as they were up to A writes ago, if the script allows it
	Pass          Op = "pass"    // time A passes on both clocks
	Freeze        Op = "freeze"  // the process is frozen for time A: only the wall clock advances; odd B: then Wake
	Wake          Op = "wake"    // an invocation starts
	Back          Op = "back"    // the wall clock is set back by time A
	Clients       Op = "clients" // one more client is built, or one of several is closed
	Wipe          Op = "wipe"    // the table loses its rows and its marker, or gets its marker back
)

// Step is one step of a script.
type Step struct {
	Op   Op
	A, B int
}

// Script is a history to execute: the settings of the cache, and the steps.
type Script struct {
	TTL      time.Duration // like cachedstore's: 0 is no cache, negative never expires
	MaxStale time.Duration // like cachedstore's: 0 is no limit, negative never serves a last known value
	Preload  bool          // the cache reads whole collections when its first client is built
	Lag      bool          // the table's reads may be older than the table
	Held     bool          // the table holds its reads from the start
	Lambda   bool          // the process is a Lambda function: there are no background reads
	Strict   bool          // the cache reads the clock at each Get
	Steps    []Step
}

// weights determine how often an operation is drawn, relative to the others.
var weights = []struct {
	op Op
	n  int
}{
	{Get, 22}, {GetAll, 8}, {Write, 13}, {Deliver, 8}, {Repeat, 2}, {Drop, 3}, {Rumor, 4}, {InvalidateAll, 2},
	{Answer, 18}, {See, 5}, {Table, 3}, {Outage, 2}, {Lag, 2}, {Pass, 6}, {Freeze, 2}, {Wake, 1}, {Back, 1},
	{Clients, 1}, {Wipe, 1},
}

// deck contains each operation as often as its weight.
var deck = func() (ops []Op) {
	for _, w := range weights {
		for range w.n {
			ops = append(ops, w.op)
		}
	}
	return ops
}()

// Draw returns a script with this number of steps. The same seed returns the same script.
func Draw(seed uint64, steps int) Script {
	random := rand.New(rand.NewPCG(seed, 0))
	s := drawHead(random.IntN)
	s.Steps = make([]Step, steps)
	for i := range s.Steps {
		s.Steps[i] = drawStep(random.IntN)
	}
	return s
}

// Scripts generates scripts with rapid, which can shrink them. It cannot be used inside a bubble.
func Scripts(steps int) *rapid.Generator[Script] {
	step := rapid.Custom(func(t *rapid.T) Step { return drawStep(pick(t)) })
	return rapid.Custom(func(t *rapid.T) Script {
		s := drawHead(pick(t))
		s.Steps = rapid.SliceOfN(step, 0, steps).Draw(t, "steps")
		return s
	})
}

func pick(t *rapid.T) func(n int) int {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
}

// drawHead draws the settings of the cache. Pick returns a number below n, from a seed or from rapid.
func drawHead(pick func(n int) int) Script {
	const long, short = time.Minute, 10 * time.Second
	s := Script{TTL: []time.Duration{long, long, long, short, short, -1, -1, 0}[pick(8)]}
	switch pick(8) {
	case 6:
		s.MaxStale = max(s.TTL, 0) + 30*time.Second
	case 7:
		s.MaxStale = -1
	}
	s.Preload, s.Lag, s.Held = pick(6) == 5, pick(8) == 7, pick(2) == 1
	s.Lambda, s.Strict = pick(2) == 1, pick(3) == 2
	return s
}

func drawStep(pick func(n int) int) Step {
	return Step{Op: deck[pick(len(deck))], A: pick(8), B: pick(24)}
}

// String returns the script as text, one step per line. Parse reads it.
func (s Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ttl=%v maxstale=%v", s.TTL, s.MaxStale)
	for _, f := range s.flags() {
		if *f.on {
			b.WriteString(" " + f.name)
		}
	}
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "\n%s %d %d", step.Op, step.A, step.B)
	}
	return b.String()
}

func (s *Script) flags() []struct {
	name string
	on   *bool
} {
	return []struct {
		name string
		on   *bool
	}{{"preload", &s.Preload}, {"lag", &s.Lag}, {"held", &s.Held}, {"lambda", &s.Lambda}, {"strict", &s.Strict}}
}

// Parse reads a script in the format of String. Lines may also be separated by semicolons.
func Parse(text string) (Script, error) {
	var s Script
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' })
	for i, line := range lines {
		words := strings.Fields(line)
		if i == 0 {
			if err := s.parseHead(words); err != nil {
				return s, err
			}
			continue
		}
		if len(words) == 0 {
			continue
		}
		step := Step{Op: Op(words[0])}
		known := false
		for _, w := range weights {
			known = known || w.op == step.Op
		}
		if !known || len(words) > 3 {
			return s, fmt.Errorf("read script: step %q is unknown", line)
		}
		for n, word := range words[1:] {
			number, err := strconv.Atoi(word)
			if err != nil || number < 0 {
				return s, fmt.Errorf("read script: step %q: %q is not a number", line, word)
			}
			*[]*int{&step.A, &step.B}[n] = number
		}
		s.Steps = append(s.Steps, step)
	}
	return s, nil
}

// parseHead parses a script's first line.
func (s *Script) parseHead(words []string) error {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "ttl":
			s.TTL, err = time.ParseDuration(value)
		case "maxstale":
			s.MaxStale, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("option %q is unknown", word)
			for _, f := range s.flags() {
				if f.name == word {
					*f.on, err = true, nil
				}
			}
		}
		if err != nil {
			return fmt.Errorf("read script: %w", err)
		}
	}
	return nil
}
