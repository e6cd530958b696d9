package streamhandler_test

import (
	"context"
	"errors"
	commandline "flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

// A history is what happens to a table, its stream and its topic. Whatever it is, each consumer's view must equal
// the table in the end, and no message may claim what its batch does not show.
type history struct {
	writes []write
	rounds []round
	start  int64 // the first sequence number
	// batches says that the topic takes several messages in a call.
	batches bool
	// poison is the number of a key, of any prefix, that SNS refuses in messages; -1: none.
	poison int
}

type write struct {
	prefix, kind, key int
	to                string // "rise", "same", "reset", "tombstone" or "remove"
}

// round is some writes, then one delivery from the stream.
type round struct {
	writes, batch int
	fail          []int  // messages that the topic fails to take, from 1
	failFrom      int    // it fails to take these too; 0: none
	passOnFails   []bool // for each prefix
}

func genHistory(t *rapid.T) history {
	one := rapid.Custom(func(t *rapid.T) write {
		return write{
			prefix: rapid.IntRange(0, 2).Draw(t, "prefix"), kind: rapid.IntRange(0, 1).Draw(t, "kind"),
			key: rapid.IntRange(0, 19).Draw(t, "key"),
			to:  rapid.SampledFrom([]string{"rise", "rise", "rise", "same", "reset", "tombstone", "remove"}).Draw(t, "to"),
		}
	})
	step := rapid.Custom(func(t *rapid.T) round {
		return round{
			writes:   rapid.SampledFrom([]int{0, 3, 20, 120}).Draw(t, "writes"), // rapid.IntRange prefers small numbers
			batch:    rapid.SampledFrom([]int{1, 10, 60, 200}).Draw(t, "batch"),
			fail:     rapid.SliceOfN(rapid.IntRange(1, 9), 0, 4).Draw(t, "fail"),
			failFrom: max(rapid.IntRange(-6, 6).Draw(t, "fail from"), 0),
			passOnFails: rapid.SliceOfN(rapid.SampledFrom([]bool{false, false, false, false, false, true}), 3, 3).Draw(t,
				"pass on"),
		}
	})
	return history{
		writes: rapid.SliceOfN(one, 1, 200).Draw(t, "writes"), rounds: rapid.SliceOfN(step, 1, 8).Draw(t, "rounds"),
		start:   rapid.SampledFrom([]int64{1, 95, 999_999_999_999_999_990}).Draw(t, "start"),
		batches: rapid.Bool().Draw(t, "batches"), poison: rapid.IntRange(-1, 3).Draw(t, "poison"),
	}
}

// Histories are slow with the race detector: make test plays 20 of them, make sim and the planted faults 400.
func init() {
	if err := commandline.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
}

func TestConsumersEndWithTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { require.NoError(t, newWorld(genHistory(t)).run()) })
}

// world runs a history.
type world struct {
	history
	table      map[itemID]image
	view       map[itemID]image // what the consumers hold, all prefixes together
	journal    map[itemID]image // the same, of those that learn of changes from OnPublished
	stream     []events.DynamoDBEventRecord
	position   int
	batch      []events.DynamoDBEventRecord // the one being handled
	calls      int
	fails      []int
	failFrom   int
	passOnFail []bool
	mu         sync.Mutex // guards journal, as prefixes are passed on at the same time
	claim      error      // the first wrong claim
	handler    *streamhandler.Handler
}

type itemID struct{ namespace, key string }

const worldLimit = 32 << 10

// worldPrefixes has a long one, which makes attributes count.
var worldPrefixes = []string{"", "p", strings.Repeat("p:q", 170)}

func newWorld(h history) *world {
	w := &world{history: h, table: map[itemID]image{}, view: map[itemID]image{}, journal: map[itemID]image{}}
	var publisher streamhandler.Publisher = w
	if h.batches {
		publisher = worldWithBatches{w}
	}
	w.handler = newHandler(publisher, streamhandler.MaxMessageSize(worldLimit), streamhandler.OnPublished(w.passOn))
	return w
}

func (w *world) run() error {
	next := 0
	for _, r := range w.rounds {
		for range r.writes {
			x := w.writes[next%len(w.writes)]
			// rapid prefers small numbers: spread them, so that prefixes have enough items for several messages.
			x.prefix, x.key = (x.prefix+next/7)%3, (x.key+next)%20
			w.write(x)
			next++
		}
		w.fails, w.failFrom, w.passOnFail = r.fail, r.failFrom, r.passOnFails
		if err := w.deliver(r.batch); err != nil {
			return err
		}
	}
	w.fails, w.failFrom, w.passOnFail = nil, 0, []bool{false, false, false}
	for range len(w.stream)/100 + 2 {
		if w.position == len(w.stream) {
			return w.judge()
		}
		if err := w.deliver(100); err != nil {
			return err
		}
	}
	return errors.New("the shard is blocked")
}

func (w *world) write(x write) {
	id := itemID{strings.TrimPrefix(worldPrefixes[x.prefix]+":", ":") + []string{"features", "segments"}[x.kind],
		strings.Repeat("<", 700+7*x.key) + "-" + strconv.Itoa(x.key)}
	before := w.table[id]
	version, item := rowVersion(before), fmt.Sprintf(`{"write":%d}`, len(w.stream))
	switch x.to {
	case "rise":
		version++
	case "reset":
		version -= 2
	case "tombstone":
		version++
		item = `{"deleted":true,` + item[1:]
	}
	var after image
	if x.to != "remove" {
		after = with(flag(id.namespace, id.key, strconv.Itoa(max(version, 1))), "item", events.NewStringAttribute(item))
	}
	if before == nil && after == nil {
		return
	}
	w.table[id] = after
	sequence := strconv.FormatInt(w.start+int64(len(w.stream)), 10)
	w.stream = append(w.stream, record(sequence, id.namespace, id.key, before, after))
}

// deliver is Lambda's event source: it goes on from the record that the answer names.
func (w *world) deliver(n int) error {
	w.batch = w.stream[w.position:min(w.position+n, len(w.stream))]
	w.calls = 0
	response, err := w.handler.Handle(context.Background(), events.DynamoDBEvent{Records: slices.Clone(w.batch)})
	if err != nil {
		return err
	}
	if w.claim != nil {
		return w.claim
	}
	if len(response.BatchItemFailures) == 0 {
		w.position += len(w.batch)
		return nil
	}
	at := indexOf(w.batch, response.BatchItemFailures[0].ItemIdentifier)
	if at < 0 {
		return fmt.Errorf("the answer names record %q, which is not in the batch",
			response.BatchItemFailures[0].ItemIdentifier)
	}
	w.position += at
	return nil
}

// Publish is the topic, and all consumers behind it: each looks at the table for what the message names, or at all of
// its prefix where it names nothing.
func (w *world) Publish(ctx context.Context, in *sns.PublishInput, o ...func(*sns.Options)) (*sns.PublishOutput,
	error) {
	w.calls++
	if slices.Contains(w.fails, w.calls) || w.failFrom > 0 && w.calls >= w.failFrom {
		return nil, errDown
	}
	if w.poison >= 0 && strings.Contains(*in.Message, fmt.Sprintf(`-%d"`, w.poison)) {
		return nil, errRefused
	}
	if out, err := (&topic{limit: worldLimit}).Publish(ctx, in, o...); err != nil {
		w.complain(err)
		return out, err
	}
	m, err := change.Parse([]byte(*in.Message))
	w.complain(err)
	for _, c := range m.Changes {
		w.complain(w.check(rowID(m, c), c))
	}
	w.look(w.view, m)
	return &sns.PublishOutput{}, nil
}

// worldWithBatches takes several messages in a call, and forgets to answer some.
type worldWithBatches struct{ *world }

func (w worldWithBatches) PublishBatch(ctx context.Context, in *sns.PublishBatchInput,
	_ ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	out, total := &sns.PublishBatchOutput{}, 0
	for _, e := range in.PublishBatchRequestEntries {
		total += sizeOf(e.Message, e.MessageAttributes)
		_, err := w.Publish(ctx, &sns.PublishInput{Message: e.Message, MessageAttributes: e.MessageAttributes})
		if err == nil {
			out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
		}
	}
	if total > worldLimit {
		w.complain(fmt.Errorf("a batch of %d bytes", total))
	}
	return out, nil
}

// complain keeps the first thing that was done wrong.
func (w *world) complain(err error) {
	if w.claim == nil {
		w.claim = err
	}
}

// look reads the table for what a message says.
func (w *world) look(view map[itemID]image, m change.Message) {
	for _, c := range m.Changes {
		view[rowID(m, c)] = w.table[rowID(m, c)]
	}
	for id := range w.table {
		if len(m.Changes) == 0 && strings.TrimSuffix(id.namespace[:strings.LastIndexByte(id.namespace, ':')+1],
			":") == m.Prefix {
			view[id] = w.table[id]
		}
	}
}

func (w *world) passOn(_ context.Context, published []change.Message) error {
	if w.passOnFail[slices.Index(worldPrefixes, published[0].Prefix)] {
		return errDown
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range published {
		w.look(w.journal, m)
	}
	return nil
}

// check holds a change against the batch that it was made of.
func (w *world) check(id itemID, c change.Change) error {
	highest, last := 0, (*events.DynamoDBEventRecord)(nil)
	rising := true
	for i, r := range w.batch {
		if r.Change.Keys["namespace"].String() != id.namespace || r.Change.Keys["key"].String() != id.key {
			continue
		}
		last = &w.batch[i]
		highest = max(highest, rowVersion(r.Change.OldImage))
		rising = rowVersion(r.Change.NewImage) > highest
		highest = max(highest, rowVersion(r.Change.NewImage))
	}
	if last == nil {
		return fmt.Errorf("%v was announced and did not change", id)
	}
	want := 0
	if rising {
		want = rowVersion(last.Change.NewImage)
	}
	after := last.Change.NewImage
	deleted := after == nil || strings.Contains(after["item"].String(), "deleted")
	if c.Version != want || c.Deleted != deleted {
		return fmt.Errorf("announced %d, %v, want %d, %v", c.Version, c.Deleted, want, deleted)
	}
	return nil
}

func (w *world) judge() error {
	for id, row := range w.table {
		for name, view := range map[string]map[itemID]image{"topic": w.view, "journal": w.journal} {
			if got, want := text(view[id]), text(row); got != want {
				return fmt.Errorf("%s: %.8q in %q: a consumer holds %s, the table %s", name, id.key, id.namespace, got, want)
			}
		}
	}
	return nil
}

func rowID(m change.Message, c change.Change) itemID {
	return itemID{strings.TrimPrefix(m.Prefix+":"+c.Kind, ":"), c.Key}
}

func text(row image) string {
	if row == nil {
		return "nothing"
	}
	return row["item"].String()
}

func rowVersion(row image) int {
	if row == nil {
		return 0
	}
	n, _ := strconv.Atoi(row["version"].Number())
	return n
}

func indexOf(batch []events.DynamoDBEventRecord, sequence string) int {
	return slices.IndexFunc(batch, func(r events.DynamoDBEventRecord) bool { return r.Change.SequenceNumber == sequence })
}
