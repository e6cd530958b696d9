package journal_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/streamhandler"
)

// The simulation: a global table in two regions, flags that change in the first and are replicated to the second,
// streamhandlers that publish and append, and containers of which each looks at its region's journal, evaluates flags,
// is frozen, and dies. Everything fails at times. This file is the world, container_test.go the containers.
//
// The judge knows when each version came into each region's table, and when its append returned. An evaluation of an
// invocation that began at s must know every version
//
//   - that was in the table a TTL before s, whatever fails;
//   - that was in the journal an interval and a replica's lag before s, unless one of this container's looks that
//     began since an interval before s failed, took longer than the budget, or was answered by an older replica.
//
// And a container reads one copy for life, and is told exactly what the journal said since it last looked.

var full = flag.Bool("sim.full", false, "simulate 1,000 containers and 10,000 changes")

const (
	simInterval = time.Second
	simTTL      = 20 * time.Second
	simBudget   = 20 * time.Millisecond
	maxLag      = 200 * time.Millisecond // of a replica that answers an eventually consistent read; a few lag more
	simFlags    = 20                     // in each prefix
	simCopies   = 3
	shards      = 2 // of each region's stream
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
	var actors sync.WaitGroup
	for r := range w.regions {
		for shard := range shards {
			actors.Go(func() { w.stream(r, shard) })
		}
		actors.Go(func() { w.weather(r) })
	}
	for n := range containers {
		actors.Go(func() { w.container(n) })
	}
	w.change(changes)
	time.Sleep(2 * simTTL)
	close(w.stop)
	actors.Wait()
	w.conclude(containers, changes)
}

// world is what all actors share.
type world struct {
	t    *testing.T
	seed uint64
	stop chan struct{} // closed at the end

	regions [2]*simRegion

	mu         sync.Mutex // guards the fields below, those of regions, and each container's
	violations []string
	count      struct{ evaluations, strict, excused, stale, looks, frozenLooks, all, told, partial int }
}

// simRegion is one region of the table.
type simRegion struct {
	name   string
	cloud  *localaws.Cloud // holds the journal
	writer *journal.Writer
	down   bool // calls of the journal fail
	slow   bool // reads of the journal are slow

	flags   [2][simFlags]history                 // by prefix
	stream  [shards][]events.DynamoDBEventRecord // not handled yet
	records int
	written map[string][]written // by the journal's name
}

// history is when each version of a flag came, the first at index 0 being version 1.
type history struct{ committed, appended []time.Time }

// written is what a copy of the journal was from a moment on.
type written struct {
	at   time.Time
	item item
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, stop: make(chan struct{})}
	for r := range w.regions {
		cloud := localaws.New()
		cloud.CreateFlagTable(table)
		region := &simRegion{name: simRegions[r], cloud: cloud, written: map[string][]written{}}
		region.writer = &journal.Writer{Client: simWriter{cloud.DynamoDB, w, region}, Table: table, Region: region.name, Copies: simCopies}
		w.regions[r] = region
	}
	return w
}

func (w *world) random(actor uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, actor)) }

func (w *world) stopped() bool {
	select {
	case <-w.stop:
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

// commit raises a flag's version in a region, whose stream has a record of it.
func (w *world) commit(r, prefix, key int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	region := w.regions[r]
	h := &region.flags[prefix][key]
	h.committed = append(h.committed, time.Now())
	version := len(h.committed)
	region.records++
	shard := (prefix + key) % shards
	region.stream[shard] = append(region.stream[shard], record(simPrefixes[prefix], key, version, region.records))
}

// keyFormat makes keys so long that a journal holds some sixty changes.
const keyFormat = "a-flag-with-a-rather-long-name-%02d"

func number(key string) int {
	n, _ := strconv.Atoi(key[len(key)-2:])
	return n
}

func record(prefix string, key, version, sequence int) events.DynamoDBEventRecord {
	namespace := "features"
	if prefix != "" {
		namespace = prefix + ":features"
	}
	image := func(version int) map[string]events.DynamoDBAttributeValue {
		return map[string]events.DynamoDBAttributeValue{
			"version": events.NewNumberAttribute(strconv.Itoa(version)), "item": events.NewStringAttribute("{}"),
		}
	}
	r := events.DynamoDBEventRecord{EventName: "INSERT", Change: events.DynamoDBStreamRecord{
		SequenceNumber: strconv.Itoa(sequence), NewImage: image(version),
		Keys: map[string]events.DynamoDBAttributeValue{
			"namespace": events.NewStringAttribute(namespace), "key": events.NewStringAttribute(fmt.Sprintf(keyFormat, key)),
		},
	}}
	if version > 1 {
		r.EventName, r.Change.OldImage = "MODIFY", image(version-1)
	}
	return r
}

// stream runs streamhandler on one shard, as Lambda does: batch after batch, again from where it failed.
func (w *world) stream(r, shard int) {
	region, random := w.regions[r], w.random(uint64(100+10*r+shard))
	handler := streamhandler.New(topic{w, random}, streamhandler.TopicARN("arn:aws:sns:eu-west-1:123456789012:changes"),
		streamhandler.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))),
		streamhandler.OnPublished(func(ctx context.Context, published []change.Message) error {
			if err := region.writer.Append(ctx, published); err != nil {
				return err
			}
			w.appended(region, published)
			return nil
		}))
	for {
		w.mu.Lock()
		batch := slices.Clone(region.stream[shard][:min(20, len(region.stream[shard]))])
		w.mu.Unlock()
		if len(batch) == 0 {
			if w.stopped() {
				return
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		response, err := handler.Handle(ctx, events.DynamoDBEvent{Records: batch})
		cancel()
		done := len(batch)
		if len(response.BatchItemFailures) > 0 {
			done = slices.IndexFunc(batch, func(r events.DynamoDBEventRecord) bool {
				return r.Change.SequenceNumber == response.BatchItemFailures[0].ItemIdentifier
			})
		}
		if err != nil {
			done = 0
		}
		w.mu.Lock()
		region.stream[shard] = region.stream[shard][done:]
		w.mu.Unlock()
		time.Sleep(between(random, 10*time.Millisecond, 100*time.Millisecond))
	}
}

// appended notes what is in the journal now: a message tells of all versions up to its own.
func (w *world) appended(region *simRegion, published []change.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range published {
		for _, c := range m.Changes {
			h := &region.flags[slices.Index(simPrefixes[:], m.Prefix)][number(c.Key)]
			for len(h.appended) < c.Version {
				h.appended = append(h.appended, time.Now())
			}
		}
	}
}

// topic publishes, and at times fails for a message, so that a batch of two prefixes is published in part.
type topic struct {
	w      *world
	random *rand.Rand
}

func (p topic) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	time.Sleep(5 * time.Millisecond)
	if p.random.IntN(10) == 0 {
		p.w.mu.Lock()
		p.w.count.partial++
		p.w.mu.Unlock()
		return nil, errDown
	}
	return &sns.PublishOutput{}, nil
}

// weather makes the journal fail, or slow, at times.
func (w *world) weather(r int) {
	random := w.random(uint64(10 + r))
	set := func(down, slow bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.regions[r].down, w.regions[r].slow = down, slow
	}
	for !w.stopped() {
		set(false, false)
		time.Sleep(between(random, 5*time.Second, 20*time.Second))
		down := random.IntN(2) == 0
		set(down, !down)
		time.Sleep(between(random, time.Second, 8*time.Second))
	}
	set(false, false)
}

// simWriter is streamhandler's client: it fails in bad weather, and remembers what the journal was when.
type simWriter struct {
	*localaws.DynamoDB
	w      *world
	region *simRegion
}

func (c simWriter) call() error {
	time.Sleep(3 * time.Millisecond)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.region.down {
		return errDown
	}
	return nil
}

func (c simWriter) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	return c.DynamoDB.GetItem(ctx, in, o...)
}

func (c simWriter) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if err := c.call(); err != nil {
		return nil, err
	}
	out, err := c.DynamoDB.TransactWriteItems(ctx, in, o...)
	if err == nil {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		for _, one := range in.TransactItems {
			name := text(one.Put.Item["key"])
			c.region.written[name] = append(c.region.written[name], written{time.Now(), one.Put.Item})
		}
	}
	return out, err
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
		"stale ones, as allowed": c.stale, "looks across a freeze": c.frozenLooks, "times that all was invalidated": c.all,
		"entries told": c.told, "partial publishes": c.partial,
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
