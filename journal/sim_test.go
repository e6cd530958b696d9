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

// The simulation: a global table in two regions, flags that change in the first and are replicated to the second,
// streamhandlers that publish and append, and containers that poll their region's journal, evaluate flags, are frozen
// and end. Everything fails at times: reads and writes fail or take up to seconds, connections are lost in long
// pauses, the journal is switched off and on, and the table is restored from a backup. This file is the world,
// sim_stream_test.go the streamhandlers, sim_weather_test.go what goes wrong, and container_test.go the containers
// and the judge.
//
// The judge knows when each version came into each region's table, and when its append returned. An evaluation of an
// invocation that began at s must know every version
//
//   - that was in the table a TTL before s, whatever fails;
//   - that was in the journal an interval and a replica's lag before s, unless one of this container's polls that
//     began since an interval before s failed, took longer than its budget, or was answered by an older replica.
//
// And a container reads one copy for life, and is told exactly what the journal holds beyond what it was told before.

var full = flag.Bool("sim.full", false, "simulate 1,000 containers and 10,000 changes")

const (
	simInterval  = time.Second
	simTTL       = 20 * time.Second
	simBudget    = 20 * time.Millisecond
	simReconnect = 100 * time.Millisecond
	maxLag       = 200 * time.Millisecond // of a replica that answers an eventually consistent read; a few lag more
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
	for prefix := range simPrefixes { // so that each journal is written once more
		w.commit(0, prefix, 0)
		w.commit(1, prefix, 0)
	}
	time.Sleep(2 * simTTL)
	close(w.stop)
	actors.Wait()
	w.conclude(containers, changes)
}

// world is what all actors share.
type world struct {
	t    *testing.T
	seed uint64
	calm chan struct{} // closed when nothing goes wrong any more
	stop chan struct{} // closed at the end

	regions [2]*simRegion

	mu         sync.Mutex // guards the fields below, those of regions, and each container's
	violations []string
	count      struct {
		evaluations, strict, excused, stale, polls, frozenPolls, slowPolls, reconnects int
		all, told, partial, restores, removed                                          int
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
	unheard [2]map[int]int       // versions that the next append tells of by a new epoch, by flag
}

// history is when each version of a flag came, the first at index 0 being version 1.
type history struct{ committed, appended []time.Time }

// written is what a copy of the journal was from a moment on; nil means that it was removed.
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
			name: simRegions[r], cloud: cloud, written: map[string][]written{}, unheard: [2]map[int]int{{}, {}},
		}
	}
	return w
}

// newWriter returns the writer of another process.
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

// between is a random time.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}

// change changes flags in the first region; the second has each change a while later.
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

// conclude says what was seen, and fails the test for what was not.
func (w *world) conclude(containers, changes int) {
	for _, v := range w.violations {
		w.t.Error(v)
	}
	w.t.Logf("%d containers, %d changes, %v: %+v", containers, changes, simInterval, w.count)
	c := w.count
	for name, n := range map[string]int{
		"evaluations": c.evaluations, "of these judged by the interval": c.strict, "and by the TTL": c.excused,
		"stale ones, as allowed": c.stale, "polls across a freeze": c.frozenPolls,
		"polls longer than the interval": c.slowPolls,
		"polls with a new connection":    c.reconnects, "times that all was invalidated": c.all, "entries told": c.told,
		"partial publishes": c.partial, "restores": c.restores, "removed journals": c.removed,
	} {
		assert.Positive(w.t, n, "the simulation is too tame: there were no %s", name)
	}
	for _, region := range w.regions {
		for _, flags := range region.flags {
			for _, h := range flags {
				assert.Len(w.t, h.appended, len(h.committed), "every change is in the journal in the end")
			}
		}
	}
}
