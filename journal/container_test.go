package journal_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/journal"
)

// container is one Lambda container, from its cold start to its end. It is the sink and the DynamoDB client of its
// follower. world.mu guards all of its fields that can change.
//
// As a sink it does the least that a cache must do: entries expire, by the monotonic or the wall clock, only at Wake.
type container struct {
	w      *world
	region *simRegion
	prefix int
	random *rand.Rand // of the polls
	born   time.Time

	frozen time.Duration // in total, up to the latest thaw
	thawed chan struct{} // closed at the next thaw; nil while it runs
	cache  map[int]cached
	copy   string            // the journal's copy that it read first
	bad    []time.Time       // when polls began that excuse a stale flag; see conditions
	polled time.Time         // when its latest poll began
	found  map[position]bool // positions that its polls found
	known  map[position]bool // the positions among them up to which it may have received all changes
}

// position is an epoch and a sequence number of a journal.
type position struct {
	epoch string
	seq   int
}

// cached is a flag's version, and when it was read.
type cached struct {
	version int
	read    clock.Instant
}

// now is the container's clock: its monotonic clock stops while it is frozen.
func (c *container) now() clock.Instant {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.nowLocked()
}

func (c *container) nowLocked() clock.Instant {
	wall := time.Since(c.born)
	return clock.Instant{Mono: wall - c.frozen, Wall: wall}
}

// container runs one container after the other.
func (w *world) container(n int) {
	random := w.random(uint64(1000 + n))
	for !isClosed(w.stop) {
		c := &container{
			w: w, region: w.regions[n%2], prefix: n / 2 % 2, born: time.Now(), cache: map[int]cached{},
			found: map[position]bool{}, known: map[position]bool{},
			random: w.random(random.Uint64()),
		}
		f := journal.Follow(table, c, journal.Client(c), journal.Prefix(simPrefixes[c.prefix]),
			journal.Region(c.region.name), journal.Copies(simCopies), journal.Interval(simInterval),
			journal.Budget(simBudget), journal.ReconnectBudget(simReconnect), journal.Clock(c.now),
			journal.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		go func() { _ = f.Refresh(context.Background()) }() // while the container starts
		if random.IntN(4) == 0 {
			time.Sleep(2 * time.Millisecond)
			c.freeze(between(random, 0, 3*simTTL)) // as with provisioned concurrency
		}
		for range 1 + random.IntN(200) {
			if isClosed(w.stop) {
				break
			}
			start := time.Now()
			handler := f.Handler(lambda.NewHandler(func() error { c.serve(random, start); return nil }))
			_, _ = handler.Invoke(context.Background(), nil)
			c.freeze(c.pause(random))
		}
		polls := f.Stats().Polls
		w.mu.Lock()
		w.count.polls += polls
		w.mu.Unlock()
	}
}

// pause returns the time until the container's next invocation.
func (c *container) pause(random *rand.Rand) time.Duration {
	switch random.IntN(20) {
	case 0:
		return between(random, 0, 2*simTTL)
	case 1, 2, 3:
		return between(random, 0, 3*simInterval)
	default:
		return between(random, 0, 300*time.Millisecond)
	}
}

// freeze stops the container's monotonic clock and delays answers to the container for d.
func (c *container) freeze(d time.Duration) {
	c.w.mu.Lock()
	c.thawed = make(chan struct{})
	c.w.mu.Unlock()
	time.Sleep(d)
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.frozen += d
	close(c.thawed)
	c.thawed = nil
}

// serve runs an invocation that began at start: it evaluates some flags.
func (c *container) serve(random *rand.Rand, start time.Time) {
	for range 1 + random.IntN(4) {
		for range 3 {
			c.evaluate(random.IntN(simFlags), start)
		}
		time.Sleep(between(random, 0, 20*time.Millisecond))
	}
}

func (c *container) evaluate(key int, start time.Time) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	h := &c.region.flags[c.prefix][key]
	entry, ok := c.cache[key]
	if !ok { // read the table, strongly consistent
		entry.version = len(h.committed)
		entry.read = c.nowLocked()
		c.cache[key] = entry
	}
	c.judge(h, entry.version, key, start)
}

// judge checks one evaluation; the comment in sim_test.go has the rules.
func (c *container) judge(h *history, version, key int, start time.Time) {
	count := &c.w.count
	count.evaluations++
	excused := false
	for _, began := range c.bad {
		excused = excused || !began.Before(start.Add(-simInterval))
	}
	if excused {
		count.excused++
	} else {
		count.strict++
	}
	if version == len(h.committed) {
		return
	}
	count.stale++
	next := version // index of the first version that the container does not have
	if limit := start.Add(-simTTL); h.committed[next].Before(limit) {
		c.violation("flag %d at version %d: the next version was committed %v before the TTL began", key, version,
			limit.Sub(h.committed[next]))
	}
	if limit := start.Add(-simInterval - maxLag); !excused && next < len(h.appended) && h.appended[next].Before(limit) {
		c.violation("flag %d at version %d: the next version was in the journal %v before the interval began", key,
			version, limit.Sub(h.appended[next]))
	}
}

func (c *container) violation(format string, args ...any) {
	if len(c.w.violations) < 10 {
		now := time.Now().Format("15:04:05.000 ")
		c.w.violations = append(c.w.violations, now+c.region.name+": "+fmt.Sprintf(format, args...))
	}
}

// Invalidate implements [change.Sink].
func (c *container) Invalidate(changes ...change.Change) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for _, ch := range changes {
		delete(c.cache, number(ch.Key))
	}
	c.w.count.notified += len(changes)
	known := map[position]bool{}
	for p := range c.known {
		p.seq += len(changes)
		if c.found[p] {
			known[p] = true
		}
	}
	if len(known) == 0 {
		c.violation("received %d changes after %v, but its polls found %v", len(changes), c.known, c.found)
	}
	c.known = known
}

// InvalidateAll implements [change.Sink].
func (c *container) InvalidateAll() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.count.all++
	c.known = maps.Clone(c.found)
	clear(c.cache)
}

// Wake implements [change.Waker].
func (c *container) Wake() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	now := c.nowLocked()
	for key, entry := range c.cache {
		if entry.read.Age(now) >= simTTL {
			delete(c.cache, key)
		}
	}
}

// GetItem reads the journal from a replica, which can be slow, lag or fail. While the container is frozen, the answer
// is delayed.
func (c *container) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	name, consistent := text(in.Key["key"]), aws.ToBool(in.ConsistentRead)
	latency, lag, down := c.conditions(name, consistent)
	time.Sleep(latency)

	c.w.mu.Lock()
	found := c.region.at(name, time.Now().Add(-lag))
	thawed := c.thawed
	if thawed != nil {
		c.w.count.frozenPolls++
	}
	c.w.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if down {
		return nil, errDown
	}
	if err := ctx.Err(); err != nil { // as AWS's client: a read that timed out, also during a freeze, returns an error
		return nil, err
	}
	if found != nil {
		seq, _ := strconv.Atoi(found["seq"].(*types.AttributeValueMemberN).Value)
		c.found[position{text(found["epoch"]), seq}] = true
	}
	return &dynamodb.GetItemOutput{Item: found}, nil
}

// conditions returns the conditions of one read. The read excuses a stale flag if it fails, takes longer than the
// budget, or is answered by a replica that lags more than maxLag.
func (c *container) conditions(name string, consistent bool) (latency, lag time.Duration, down bool) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	now := time.Now()
	if c.copy == "" {
		c.copy = name
	}
	if name != c.copy {
		c.violation("read copy %q after copy %q", name, c.copy)
	}
	budget := simBudget
	latency, lag = between(c.random, time.Millisecond, 8*time.Millisecond), between(c.random, 0, maxLag)
	switch {
	case consistent: // the second read of a poll
		lag = 0
	case now.Sub(c.polled) >= 5*time.Second:
		c.w.count.reconnects++
		budget, latency = simReconnect, latency+between(c.random, 0, 60*time.Millisecond)
	}
	if !consistent {
		c.polled = now
	}
	if c.region.slow || c.random.IntN(50) == 0 {
		latency = between(c.random, 10*time.Millisecond, 500*time.Millisecond)
	}
	if c.random.IntN(50) == 0 {
		c.w.count.slowPolls++
		latency = between(c.random, simInterval, 4*time.Second)
	}
	if !consistent && c.random.IntN(20) == 0 {
		lag = between(c.random, 0, 5*time.Second)
	}
	down = c.region.down
	if down || latency >= budget || lag > maxLag {
		c.bad = append(c.bad[max(0, len(c.bad)-20):], now)
	}
	return latency, lag, down
}
