package journal_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/assert"

	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

// The simulation has a global table in two regions, flags that change in the first region and are replicated to the
// second, streamhandlers that publish and append, and containers that poll their region's journal, evaluate flags, are
// frozen and end. Everything fails at times: reads and writes fail or take seconds, connections break in long pauses,
// the journal is switched off and on, and the table is restored from a backup. This file has the world,
// sim_stream_test.go the streamhandlers, sim_weather_test.go the faults, and container_test.go the containers and the
// checks.
//
// The checks use the time at which each version was written to each region's table, and the time at which its append
// returned. In an invocation that began at s, an evaluation must return a version that is at least as new as
//
//   - every version that was in the table one TTL before s, whatever fails;
//   - every version that was in the journal one interval plus a replica's lag before s. This is not required if one of
//     the container's polls that began later than one interval before s failed, took longer than its budget, or was
//     answered by an outdated replica.
//
// A container always reads the same copy, and its sink receives exactly the changes that it does not have yet.

var full = flag.Bool("sim.full", false, "simulate 1,000 containers and 10,000 changes")

const (
	simInterval  = time.Second
	simTTL       = 20 * time.Second
	simBudget    = 20 * time.Millisecond
	simReconnect = 100 * time.Millisecond
	maxLag       = 200 * time.Millisecond // of most replicas that answer eventually consistent reads; a few lag more
	simFlags     = 20                     // in each prefix
	simCopies    = 3
	shards       = 2 // of each region's stream
)

var (
	simRegions  = [2]string{"eu-west-1", "us-east-1"}
	simPrefixes = [2]string{"", "staging"}
)

func TestContainersAreFreshWithinTheInterval(t *testing.T) {
	containers, changes := 40, 400
	if *full {
		containers, changes = 1000, 10_000
	}
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed, containers, changes) })
		})
		if *full {
			return
		}
	}
}

func simulate(t *testing.T, seed uint64, containers, changes int) {
	w := newWorld(t, seed)
	var actors, weather sync.WaitGroup
	for r := range w.regions {
		for shard := range shards {
			actors.Go(func() { w.stream(r, shard) })
		}
		weather.Go(func() { w.weather(r) })
		weather.Go(func() { w.operator(r) })
	}
	for n := range containers {
		actors.Go(func() { w.container(n) })
	}
	w.change(changes)
	close(w.calm)
	weather.Wait()
	for prefix := range simPrefixes { // write each journal once more
		w.commit(0, prefix, 0)
		w.commit(1, prefix, 0)
	}
	time.Sleep(2 * simTTL)
	close(w.stop)
	actors.Wait()
	w.conclude(containers, changes)
}

// world is the state that all goroutines of the simulation share.
type world struct {
	t    *testing.T
	seed uint64
	calm chan struct{} // closed when faults end
	stop chan struct{} // closed at the end

	regions [2]*simRegion

	mu         sync.Mutex // guards the fields below, those of regions, and each container's
	violations []string
	count      struct {
		evaluations, strict, excused, stale, polls, frozenPolls, slowPolls, reconnects int
		all, notified, partial, restores, removed                                      int
	}
}

// simRegion is one region of the table.
type simRegion struct {
	name  string
	cloud *localaws.Cloud // holds the journal
	down  bool            // calls of the journal fail
	slow  bool            // reads of the journal are slow
	off   bool            // the journal is switched off

	flags   [2][simFlags]history                 // by prefix
	stream  [shards][]events.DynamoDBEventRecord // not handled yet
	records int
	written map[string][]written // by the journal's name
	pending [2]map[int]int       // by prefix and flag: the version that the next append covers by a new epoch
}

// history has the times at which each version of a flag was committed and appended. Version 1 is at index 0.
type history struct{ committed, appended []time.Time }

// written is the content of a copy of the journal from at on; nil means that it was removed.
type written struct {
	at   time.Time
	item item
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, calm: make(chan struct{}), stop: make(chan struct{})}
	for r := range w.regions {
		cloud := localaws.New()
		cloud.CreateFlagTable(table)
		w.regions[r] = &simRegion{
			name: simRegions[r], cloud: cloud, written: map[string][]written{}, pending: [2]map[int]int{{}, {}},
		}
	}
	return w
}

// newWriter returns the writer of a new process.
func (w *world) newWriter(r *simRegion) *journal.Writer {
	return &journal.Writer{Client: simWriter{r.cloud.DynamoDB, w, r}, Table: table, Region: r.name, Copies: simCopies}
}

func (w *world) random(actor uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, actor)) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// between returns a random duration.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}

// change changes flags in the first region; each change is replicated to the second region a while later.
func (w *world) change(changes int) {
	random := w.random(1)
	var replicated sync.WaitGroup
	for range changes {
		time.Sleep(between(random, 0, 500*time.Millisecond))
		burst := 1
		if random.IntN(50) == 0 {
			burst = 30 // a sync after a long time
		}
		for range burst {
			prefix, key := random.IntN(2), random.IntN(simFlags)
			lag := between(random, 10*time.Millisecond, time.Second)
			w.commit(0, prefix, key)
			replicated.Go(func() {
				time.Sleep(lag)
				w.commit(1, prefix, key)
			})
		}
	}
	replicated.Wait()
}

// conclude reports violations, logs the counts, and fails the test if something never happened.
func (w *world) conclude(containers, changes int) {
	for _, v := range w.violations {
		w.t.Error(v)
	}
	w.t.Logf("%d containers, %d changes, %v: %+v", containers, changes, simInterval, w.count)
	c := w.count
	for name, n := range map[string]int{
		"evaluations": c.evaluations, "evaluations limited by the interval": c.strict,
		"evaluations limited by the TTL": c.excused, "stale evaluations within the limits": c.stale,
		"polls across a freeze": c.frozenPolls, "polls longer than the interval": c.slowPolls,
		"polls with a new connection": c.reconnects, "calls of InvalidateAll": c.all,
		"changes passed to sinks": c.notified, "partial publishes": c.partial, "restores": c.restores,
		"removed journals": c.removed,
	} {
		assert.Positive(w.t, n, "the simulation is too easy: there were no %s", name)
	}
	for _, region := range w.regions {
		for _, flags := range region.flags {
			for _, h := range flags {
				assert.Len(w.t, h.appended, len(h.committed), "every change is in the journal in the end")
			}
		}
	}
}
