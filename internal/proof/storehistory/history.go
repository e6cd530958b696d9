package storehistory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/dynamostore"
)

const (
	inits    = 2   // at once
	upserts  = 6   // beside them
	flags    = 6   // that come and go, named by letters
	fillers  = 120 // flags that make an Init too large for one transaction, where a history has them
	versions = 5   // that an Init may bring; an upsert's are one higher
)

var features, segments = ldstoreimpl.Features(), ldstoreimpl.Segments()

// Options configure a history.
type Options struct {
	// Seed determines the history.
	Seed uint64
	// Client is the DynamoDB client. It is required, and must not retry: the store's own retries are tested.
	Client dynamostore.API
	// Table must exist and have no rows with the prefix. Concurrent histories need different tables or prefixes.
	Table, Prefix string
}

// Report holds counts of a history.
type Report struct {
	Inits   int // that returned without an error, the first and the last one left out
	Upserts int // that were written

	Transactions                       int // of Inits, that were made
	Calls, Throttled, Canceled, Silent int // Silent: made, but the answer was lost
	Crashes                            int // processes that did not end by themselves
}

// Add adds another history's counts.
func (r *Report) Add(o Report) {
	r.Inits += o.Inits
	r.Upserts += o.Upserts
	r.Transactions += o.Transactions
	r.Calls += o.Calls
	r.Throttled += o.Throttled
	r.Canceled += o.Canceled
	r.Silent += o.Silent
	r.Crashes += o.Crashes
}

// history is one run. All its fields belong to the goroutine that is running: the scheduler's, or that of the actor
// that has the turn.
type history struct {
	Options
	ctx    context.Context // of the judge's own reads
	rng    *rand.Rand
	paused chan *actor // an actor that waits for its turn; nil: one has ended
	step   int         // turns given so far

	writes     map[name][]written // what each row was after its writes
	report     Report
	violations []error
}

// Run runs one history. Its error has all violations.
func Run(ctx context.Context, o Options) (Report, error) {
	h := &history{
		Options: o, ctx: ctx, rng: rand.New(rand.NewPCG(o.Seed, 0)),
		paused: make(chan *actor), writes: map[name][]written{},
	}
	store, err := h.open(o.Client)
	if err != nil {
		return h.report, err
	}
	if h.chance(2) { // else the table is empty
		if err := store.Init(h.environment(false)); err != nil {
			return h.report, err
		}
	}
	h.play()
	h.finish(store)
	return h.report, errors.Join(h.violations...)
}

func (h *history) chance(oneIn int) bool { return h.rng.IntN(oneIn) == 0 }

// open returns a store with this client.
func (h *history) open(api dynamostore.API) (*dynamostore.Store, error) {
	return dynamostore.DataStore(h.Table).Prefix(h.Prefix).Client(api).Open(h.ctx)
}

// play runs the actors, one at a time. An actor that waits for its next attempt keeps its turn.
func (h *history) play() {
	ready := []*actor{h.start("the upserts", (*actor).upsert)}
	many := h.chance(4)
	for i := range inits {
		data := h.environment(many)
		ready = append(ready, h.start(fmt.Sprint("Init ", i+1), func(a *actor) { a.init(data) }))
	}
	for running := len(ready); running > 0; {
		i := h.rng.IntN(len(ready))
		a := ready[i]
		ready = slices.Delete(ready, i, i+1)
		h.step++
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
	a := &actor{API: h.Client, history: h, name: name, turn: make(chan struct{})}
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

// init acts as an SDK that starts, or whose stream was interrupted.
func (a *actor) init(data []st.SerializedCollection) {
	store, err := a.history.open(a)
	if err != nil {
		a.history.wrong("%v", err)
		return
	}
	a.data = data
	switch err := store.Init(data); {
	case err == nil:
		a.history.report.Inits++
		a.history.complete(a, "returned")
	case !errors.Is(err, errCrash):
		a.history.wrong("%s: %v", a.name, err)
	}
}

// upsert acts as an SDK whose stream sends one change after the other.
func (a *actor) upsert() {
	store, err := a.history.open(a)
	if err != nil {
		a.history.wrong("%v", err)
		return
	}
	for range upserts {
		key, version := flagKey(a.history.rng.IntN(flags)), 1+a.history.rng.IntN(versions+1)
		if _, err := store.Upsert(features, key, item(key, version)); err != nil {
			if !errors.Is(err, errCrash) {
				a.history.wrong("%s: %v", a.name, err)
			}
			return
		}
	}
}

// environment returns random data: some of the flags, in random versions, one segment that is always the same, and
// perhaps the fillers.
func (h *history) environment(many bool) []st.SerializedCollection {
	keyed := func(key string, version int) st.KeyedSerializedItemDescriptor {
		return st.KeyedSerializedItemDescriptor{Key: key, Item: item(key, version)}
	}
	all := []st.SerializedCollection{
		{Kind: segments, Items: []st.KeyedSerializedItemDescriptor{keyed("everyone", 1)}},
		{Kind: features},
	}
	for _, flag := range h.rng.Perm(flags) {
		if !h.chance(4) {
			all[1].Items = append(all[1].Items, keyed(flagKey(flag), h.rng.IntN(versions)))
		}
	}
	for i := range fillers {
		if many {
			all[1].Items = append(all[1].Items, keyed(fmt.Sprintf("filler-%03d", i), 1))
		}
	}
	return all
}

func flagKey(flag int) string { return string(rune('a' + flag)) }

// item makes a flag or segment; equal arguments make equal items.
func item(key string, version int) st.SerializedItemDescriptor {
	return st.SerializedItemDescriptor{Version: version,
		SerializedItem: fmt.Appendf(nil, `{"key":%q,"version":%d,"salt":"s"}`, key, version)}
}
