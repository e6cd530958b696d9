package synchistory

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
)

const (
	changesMost = 12 // changes of LaunchDarkly's environment while syncs run
)

// Options configure a history.
type Options struct {
	// Seed determines the history.
	Seed uint64
	// Client is the DynamoDB client. It is required.
	Client table.API
	// Table must exist and have no rows with the prefix. Concurrent histories need different tables or prefixes.
	Table, Prefix string
	// Timeout and Linger are the options of the syncs. Zero: flagsync's defaults, 10s and 2s.
	Timeout, Linger time.Duration
}

// Report holds counts of a history.
type Report struct {
	Syncs, Acknowledged, TokensLost, Guarded, Unauthorized, Crashes int

	Upserts      int // of other SDKs
	Transactions int
	Patches      int // that came to a sync after its payload
}

// Add adds another history's counts.
func (r *Report) Add(o Report) {
	r.Syncs += o.Syncs
	r.Acknowledged += o.Acknowledged
	r.TokensLost += o.TokensLost
	r.Guarded += o.Guarded
	r.Unauthorized += o.Unauthorized
	r.Crashes += o.Crashes
	r.Upserts += o.Upserts
	r.Transactions += o.Transactions
	r.Patches += o.Patches
}

// history is one run. All its fields belong to the goroutine that is running: the scheduler's, or that of the actor
// that has the turn.
type history struct {
	Options
	ctx    context.Context // of the judge's own reads
	client table.API
	rng    *rand.Rand
	world  *world
	paused chan *actor // an actor that waits for its turn; nil: one has ended
	calm   bool        // nothing is disturbed any more

	queue      int // requests that wait: all are alike, so that their order means nothing
	left       int // changes that LaunchDarkly is still to get
	known      map[name]known
	report     Report
	violations []error
}

// Run runs one history. Its error has all violations.
func Run(ctx context.Context, o Options) (Report, error) {
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	h := &history{
		Options: o, ctx: ctx, client: o.Client, rng: rng, world: newWorld(rng, o.Seed%3 == 0),
		paused: make(chan *actor), left: changesMost, known: map[name]known{},
	}
	if h.chance(2) { // else the table is empty
		h.calm = true
		h.sync(&actor{history: h, name: "the first sync"})
		h.calm = false
	}
	h.play()
	h.finish()
	return h.report, errors.Join(h.violations...)
}

func (h *history) chance(oneIn int) bool { return h.rng.IntN(oneIn) == 0 }

// play runs the actors, one at a time, and LaunchDarkly.
func (h *history) play() {
	ready := []*actor{
		h.start("consumer", func(a *actor) { h.consume(a, 3) }),
		h.start("second consumer", func(a *actor) { h.consume(a, 2) }), // of a batch whose visibility ended
		h.start("person", func(a *actor) { h.sync(a) }),
	}
	for range h.rng.IntN(3) {
		ready = append(ready, h.start("SDK", h.upsert))
	}
	for running := len(ready); running > 0; {
		h.launchDarkly()
		i := h.rng.IntN(len(ready))
		if h.chance(3) {
			i = len(ready) - 1 // the last actor continues, so that the others stay paused for long
		}
		a := ready[i]
		ready = slices.Delete(ready, i, i+1)
		a.turn <- struct{}{}
		if a = <-h.paused; a != nil {
			ready = append(ready, a)
		} else {
			running--
		}
	}
}

// start makes an actor, which waits for its first turn.
func (h *history) start(name string, run func(*actor)) *actor {
	a := &actor{history: h, name: name, turn: make(chan struct{})}
	if h.chance(3) {
		a.crashes = 1 + h.rng.IntN(12)
	}
	go func() {
		<-a.turn
		run(a)
		h.paused <- nil
	}()
	return a
}

// launchDarkly may change the environment, send webhooks, or send changes to the streams.
func (h *history) launchDarkly() {
	if h.left > 0 && h.chance(4) {
		h.left--
		h.world.change(h.rng)
		h.queue += h.rng.IntN(3) // the webhook is lost, sent, or sent twice
	}
	if h.chance(3) {
		h.world.publish()
	}
}

// consume takes requests from the queue, as Lambda does, or the schedule's request if the queue is empty.
func (h *history) consume(a *actor, requests int) {
	for range requests {
		n := min(h.queue, 1)
		h.queue -= n
		handler := flagsync.NewHandler(a, h.Table, h.keys(), h.options(a)...)
		a.begin()
		response, err := handler.Handle(h.ctx,
			events.SQSEvent{Records: []events.SQSMessage{{MessageId: "request", Body: `{"reason":"webhook"}`}}})
		if err != nil {
			h.wrong("%s returned an error, which slows down all environments: %v", a.name, err)
		}
		if a.synced {
			h.ended(a, a.err)
		}
		final := errors.Is(a.err, flagsync.ErrGuard) || errors.Is(a.err, flagsync.ErrUnauthorized)
		switch failed := len(response.BatchItemFailures) > 0; {
		case !failed && (!a.synced || a.err != nil && !final):
			h.wrong("%s acknowledged a request without a sync, or after one that failed: %v", a.name, a.err)
		case failed && final:
			h.wrong("%s retries an error that no retry can fix: %v", a.name, a.err)
		case failed:
			h.queue += n // it is redelivered
		}
		if errors.Is(a.err, errCrash) {
			return
		}
	}
}

// sync runs one sync, as the command line does.
func (h *history) sync(a *actor) {
	a.begin()
	_, err := flagsync.New(h.environment(a), h.keys(), h.options(a)...).Sync(h.ctx)
	h.ended(a, err)
}

// ended counts the end of a sync and checks it.
func (h *history) ended(a *actor, err error) {
	h.report.Syncs++
	switch {
	case err == nil:
		h.report.Acknowledged++
		h.acknowledged(a)
	case errors.Is(err, table.ErrTokenLost):
		h.report.TokensLost++
	case errors.Is(err, flagsync.ErrGuard):
		h.report.Guarded++
	case errors.Is(err, flagsync.ErrUnauthorized):
		h.report.Unauthorized++
	}
}

// upsert acts as another LaunchDarkly SDK on the same table, whose stream is ahead of the syncs' streams or behind.
func (h *history) upsert(a *actor) {
	a.sdk, a.seen = true, map[name]row{}
	store, err := h.open(h.ctx, a)
	if err != nil {
		h.wrong("%v", err)
		return
	}
	for range 12 {
		n := anyName(h.rng)
		s := h.world.at(n, h.world.changes-h.rng.IntN(3))
		if s.version == 0 {
			continue
		}
		d := descriptor(n, s)
		item := st.SerializedItemDescriptor{Version: d.Version, Deleted: s.deleted,
			SerializedItem: n.dataKind().Serialize(d)}
		if _, err := store.Upsert(n.dataKind(), n.key, item); err != nil {
			return // crashed, or throttled for too long
		}
	}
}

func (h *history) keys() flagsync.Keys {
	return flagsync.StaticKeys(map[string]string{h.Prefix: "sdk-key"})
}

func (h *history) options(a *actor) []flagsync.Option {
	return []flagsync.Option{
		flagsync.HTTPClient(a.client()), flagsync.Timeout(h.Timeout), flagsync.Linger(h.Linger),
		flagsync.Logger(slog.New(syncLog{a})),
	}
}
