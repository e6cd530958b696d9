package dynamostore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/internal/localaws"
	"github.com/warmflags/warmflags/internal/mutant"
)

var seeds = flag.Int("sim.seeds", 400, "histories to run")

// Histories from a seed: two Inits and some upserts at once, call by call in a random order, with throttling,
// conflicts, lost answers and crashes. Each write is judged from outside, when it is made.
func TestHistories(t *testing.T) {
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) { newHistory(t, uint64(seed)).run() })
	}
	t.Logf("%d histories", *seeds)
}

func TestHistoriesNoticePlantedFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the tests once for each fault")
	}
	plant := func(name, file, from, to string) mutant.Mutant {
		return mutant.Mutant{Name: name, Edits: []mutant.Edit{{File: file, Old: from, New: to}}}
	}
	mutant.Check(t, mutant.Suite{Package: ".", Run: "^TestHistories$", Mutants: []mutant.Mutant{
		plant("no condition", "write.go", `parts := []string{"attribute_exists(#n)"}`,
			`return "attribute_exists(#n) OR attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil
	parts := []string{}`),
		plant("an absent row is not checked", "write.go", `return "attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil`,
			`return "attribute_exists(#n) OR attribute_not_exists(#n)", map[string]string{"#n": attrNamespace}, nil`),
		plant("condition on the marker's row", "write.go", "w.old = now\n", "w.old = row{attrVersion: number(int64(w.Version))}\n"),
		plant("a changed row is written whatever its version", "write.go", "version >= ours {", "version > ours+100 {"),
		plant("a changed row is forgotten", "write.go", "if again {", "if again && false {"),
		plant("what was throttled is forgotten", "write.go", "left = append(left, batch[i])\n\t\tcase conditionFailed:",
			"if code == \"None\" {\n\t\t\t\tleft = append(left, batch[i])\n\t\t\t}\n\t\tcase conditionFailed:"),
		plant("the marker first", "compare.go", "d.place(&write{Item: Item{Kind: markerInited, Key: marker}, namespace: marker, action: mark})",
			"d.writes = append([]*write{{Item: Item{Kind: markerInited, Key: marker}, namespace: marker, action: mark}}, d.writes...)"),
		plant("removals are forgotten", "compare.go", "d.place(w)\n\t}\n\treturn d", "_ = w\n\t}\n\treturn d"),
	}})
}

type sight struct {
	version int
	item    string
}

// written is a row after a write.
type written struct {
	step int
	sight
}

// history is one run. Only one goroutine runs at a time: the scheduler's, or the actor's whose turn it is.
type history struct {
	t      *testing.T
	rng    *rand.Rand
	cloud  *localaws.Cloud
	step   int
	writes map[string][]written
	actors []*actor
	mu     sync.Mutex // guards the actors' waiting and done
}

// actor is an Init, or a row of upserts.
type actor struct {
	h       *history
	name    string
	turn    chan struct{} // the scheduler sends
	waiting bool
	done    bool
	crashes int // after this many calls; 0: never
	calls   int

	data   []st.SerializedCollection // nil: upserts
	read   map[string]sight          // the table as Compare read it
	readAt int                       // the step of that
	tx     *dynamodb.TransactWriteItemsInput
	wrong  []string // what tx must not write: it has to be canceled
	put    string   // the row that an upsert is about to write
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 0)), cloud: localaws.New(), writes: map[string][]written{}}
	h.cloud.CreateFlagTable(table)
	if h.rng.IntN(2) == 0 {
		require.NoError(t, open(t, h.cloud.DynamoDB, "").Init(h.environment(false)))
	}
	many := h.rng.IntN(4) == 0 // more than a transaction holds
	for i := range 3 {
		a := &actor{h: h, name: fmt.Sprintf("seed %d actor %d", seed, i), turn: make(chan struct{})}
		if i > 0 {
			a.data = h.environment(many)
		}
		if h.rng.IntN(3) == 0 {
			a.crashes = 1 + h.rng.IntN(8)
		}
		h.actors = append(h.actors, a)
	}
	return h
}

// environment is random data: some of six flags, in any version, and perhaps more.
func (h *history) environment(many bool) []st.SerializedCollection {
	var words []string
	for _, key := range h.rng.Perm(6) {
		if h.rng.IntN(4) > 0 {
			words = append(words, fmt.Sprintf("%c:%d", 'a'+key, h.rng.IntN(5)))
		}
	}
	for i := range 120 {
		if many {
			words = append(words, fmt.Sprintf("more-%03d:1", i))
		}
	}
	return data(words...)
}

func (h *history) run() {
	for _, a := range h.actors {
		go a.run()
	}
	for {
		synctest.Wait() // everybody waits for a turn, rests, or is done
		var ready []*actor
		resting := false // in a backoff: its length is not the seed's, so nobody moves before it is over
		h.mu.Lock()
		for _, a := range h.actors {
			if a.waiting {
				ready = append(ready, a)
			} else if !a.done {
				resting = true
			}
		}
		h.mu.Unlock()
		if resting {
			time.Sleep(time.Millisecond) // of the bubble's time
			continue
		}
		if len(ready) == 0 {
			break
		}
		a := ready[h.rng.IntN(len(ready))]
		h.step++
		a.turn <- struct{}{}
	}
	last := h.environment(false)
	s := open(h.t, h.cloud.DynamoDB, "")
	require.NoError(h.t, s.Init(last))
	d, err := s.Compare(h.t.Context(), last)
	require.NoError(h.t, err)
	require.Empty(h.t, slices.Concat(d.Added, d.Updated, d.Removed, d.Lower), "the next Init did not complete it")
}

var errCrash = errors.New("crash")

func (a *actor) run() {
	api := &spy{API: a.h.cloud.DynamoDB, ops: map[string]int{}, before: a.before, after: a.after}
	api.meddle = func(in *dynamodb.TransactWriteItemsInput) { a.tx = in }
	s := open(a.h.t, api, "")
	defer a.set(&a.done, true)
	if a.data != nil {
		if err := s.Init(a.data); err == nil {
			a.complete("returned")
		} else if !errors.Is(err, errCrash) {
			a.h.t.Errorf("%s: %v", a.name, err)
		}
		return
	}
	for range 6 {
		key, version := string(rune('a'+a.h.rng.IntN(6))), 1+a.h.rng.IntN(6)
		a.put = "features/" + key
		if _, err := s.Upsert(features, key, item(key, version)); err != nil {
			return
		}
	}
}

func (a *actor) set(flag *bool, to bool) {
	a.h.mu.Lock()
	defer a.h.mu.Unlock()
	*flag = to
}

// before waits for the actor's turn, and then may fail instead of the call.
func (a *actor) before(op string, _ int) error {
	a.set(&a.waiting, true)
	<-a.turn
	a.set(&a.waiting, false)
	a.calls++
	if a.crashes > 0 && a.calls > a.crashes {
		return errCrash
	}
	if a.h.rng.IntN(10) < 3 {
		return &types.ProvisionedThroughputExceededException{}
	}
	if op != "TransactWriteItems" {
		return nil
	}
	if a.h.rng.IntN(6) == 0 {
		e := &types.TransactionCanceledException{}
		for range a.tx.TransactItems {
			code := []string{"None", "TransactionConflict"}[a.h.rng.IntN(2)]
			e.CancellationReasons = append(e.CancellationReasons, types.CancellationReason{Code: &code})
		}
		return e
	}
	a.judge()
	return nil
}

// after notes what the call did, and may lose its answer.
func (a *actor) after(op string, _ int) error {
	switch op {
	case "Query": // segments, which never change here, then features, in one page
		a.read, a.readAt = a.h.table(), a.h.step
	case "PutItem":
		a.h.note(a.put)
	case "TransactWriteItems":
		if len(a.wrong) > 0 {
			a.h.t.Errorf("%s: step %d: overwrote newer rows: %v", a.name, a.h.step, a.wrong)
		}
		var rows []string
		for _, i := range a.tx.TransactItems {
			rows = append(rows, rowName(i))
		}
		a.h.note(rows...)
		if slices.ContainsFunc(a.tx.TransactItems, isMarker) {
			a.complete("marked the table")
		}
	}
	if a.h.rng.IntN(20) == 0 {
		return &smithy.GenericAPIError{Code: "RequestTimeout"}
	}
	return nil
}

func isMarker(i types.TransactWriteItem) bool { return rowName(i) == "$inited/$inited" }

// judge keeps, for each row that a transaction is about to write, the contract's own words: it is as it was
// read, or changed meanwhile and older than ours. A transaction that its conditions cancel breaks nothing.
func (a *actor) judge() {
	now := a.h.table()
	a.wrong = nil
	for _, i := range a.tx.TransactItems {
		name := rowName(i)
		was, is := a.read[name], now[name]
		if isMarker(i) || is == was || is == (sight{}) {
			continue
		}
		ours := was.version
		if i.Put != nil {
			ours = sightOf(i.Put.Item).version
		}
		if is.version >= ours && (i.Put == nil || is != sightOf(i.Put.Item)) {
			a.wrong = append(a.wrong, fmt.Sprintf("%s: read %v, now %v, ours %d", name, was, is, ours))
		}
	}
}

// complete demands that the table holds what the actor's Init was to make of it, but for what others did since.
func (a *actor) complete(when string) {
	now := a.h.table()
	want := map[string]sight{}
	for _, c := range a.data {
		for _, i := range c.Items {
			want[c.Kind.GetName()+"/"+i.Key] = sight{i.Item.Version, string(i.Item.SerializedItem)}
		}
	}
	for name := range maps.Keys(a.read) {
		if _, ok := want[name]; !ok && name != "$inited/$inited" {
			want[name] = sight{}
		}
	}
	for name, ours := range want {
		was := a.read[name]
		done := now[name] == ours || was == ours
		for _, w := range a.h.writes[name] { // or somebody wrote what is to be kept, and others went on from there
			least := ours.version
			if ours == (sight{}) {
				least = was.version
			}
			done = done || w.step > a.readAt && (w.sight == ours || w.sight != (sight{}) && w.version >= least)
		}
		if !done {
			a.h.t.Errorf("%s: step %d: %s, but %s is %v instead of %v", a.name, a.h.step, when, name, now[name], ours)
		}
	}
}

// note keeps what rows are after a write.
func (h *history) note(rows ...string) {
	now := h.table()
	for _, name := range rows {
		h.writes[name] = append(h.writes[name], written{h.step, now[name]})
	}
}

// table is the whole table.
func (h *history) table() map[string]sight {
	out, err := h.cloud.DynamoDB.Scan(context.Background(), &dynamodb.ScanInput{TableName: aws.String(table)})
	require.NoError(h.t, err)
	rows := map[string]sight{}
	for _, r := range out.Items {
		rows[nameOf(r)] = sightOf(r)
	}
	return rows
}

func sightOf(r map[string]types.AttributeValue) (s sight) {
	if v, ok := r["version"].(*types.AttributeValueMemberN); ok {
		_, _ = fmt.Sscan(v.Value, &s.version)
	}
	if i, ok := r["item"].(*types.AttributeValueMemberS); ok {
		s.item = i.Value
	}
	return s
}

func rowName(i types.TransactWriteItem) string {
	if i.Put != nil {
		return nameOf(i.Put.Item)
	}
	return nameOf(i.Delete.Key)
}

func nameOf(r map[string]types.AttributeValue) string {
	return r["namespace"].(*types.AttributeValueMemberS).Value + "/" + r["key"].(*types.AttributeValueMemberS).Value
}
