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

// A history is a sequence of writes to a table and of deliveries from its stream, some of which fail. At the end of
// every history, each consumer's view must equal the table. No message may have a version that its batch does not
// prove.
type history struct {
	writes []write
	rounds []round
	start  int64 // the first sequence number
	// batches: the topic has PublishBatch.
	batches bool
	// poison is the number of a key, of any prefix, that SNS refuses in messages; -1: none.
	poison int
}

type write struct {
	prefix, kind, key int
	to                string // "rise", "same", "reset", "tombstone" or "remove"
}

// round is a number of writes followed by one delivery from the stream.
type round struct {
	writes, batch int
	fail          []int  // the calls of the topic that fail, counted from 1
	failFrom      int    // all calls from this one on fail too; 0: none
	passOnFails   []bool // for each prefix
}

func genHistory(t *rapid.T) history {
	oneInSix := rapid.SampledFrom([]bool{false, false, false, false, false, true})
	kinds := rapid.SampledFrom([]string{"rise", "rise", "rise", "same", "reset", "tombstone", "remove"})
	one := rapid.Custom(func(t *rapid.T) write {
		return write{
			prefix: rapid.IntRange(0, 2).Draw(t, "prefix"), kind: rapid.IntRange(0, 1).Draw(t, "kind"),
			key: rapid.IntRange(0, 19).Draw(t, "key"),
			to:  kinds.Draw(t, "to"),
		}
	})
	writes := rapid.SampledFrom([]int{0, 3, 20, 120}) // IntRange prefers small numbers
	step := rapid.Custom(func(t *rapid.T) round {
		return round{
			writes:      writes.Draw(t, "writes"),
			batch:       rapid.SampledFrom([]int{1, 10, 60, 200}).Draw(t, "batch"),
			fail:        rapid.SliceOfN(rapid.IntRange(1, 9), 0, 4).Draw(t, "fail"),
			failFrom:    max(rapid.IntRange(-6, 6).Draw(t, "fail from"), 0),
			passOnFails: rapid.SliceOfN(oneInSix, 3, 3).Draw(t, "pass on"),
		}
	})
	return history{
		writes: rapid.SliceOfN(one, 1, 200).Draw(t, "writes"), rounds: rapid.SliceOfN(step, 1, 8).Draw(t, "rounds"),
		start:   rapid.SampledFrom([]int64{1, 95, 999_999_999_999_999_990}).Draw(t, "start"),
		batches: rapid.Bool().Draw(t, "batches"), poison: rapid.IntRange(-1, 3).Draw(t, "poison"),
	}
}

// Histories are slow with the race detector: make test runs 20 of them, make sim and the planted faults run more.
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
	view       map[itemID]image // what the topic's consumers have, for all prefixes
	journal    map[itemID]image // what the journal's readers have, who get changes only from OnPublished
	stream     []events.DynamoDBEventRecord
	position   int
	batch      []events.DynamoDBEventRecord // the batch being handled
	calls      int
	fails      []int
	failFrom   int
	passOnFail []bool
	mu         sync.Mutex // guards journal, because prefixes are passed on concurrently
	firstErr   error      // the first error that fail received
	handler    *streamhandler.Handler
}

type itemID struct{ namespace, key string }

const worldLimit = 32 << 10

// worldPrefixes has one long prefix, so that the size of attributes matters.
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
			// rapid prefers small numbers. Spread them, so that each prefix has enough items for several messages.
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
			return w.compare()
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

// deliver invokes the handler as Lambda does: after a failure it continues from the record that the response names.
func (w *world) deliver(n int) error {
	w.batch = w.stream[w.position:min(w.position+n, len(w.stream))]
	w.calls = 0
	response, err := w.handler.Handle(context.Background(), events.DynamoDBEvent{Records: slices.Clone(w.batch)})
	if err != nil {
		return err
	}
	if w.firstErr != nil {
		return w.firstErr
	}
	if len(response.BatchItemFailures) == 0 {
		w.position += len(w.batch)
		return nil
	}
	at := indexOf(w.batch, response.BatchItemFailures[0].ItemIdentifier)
	if at < 0 {
		return fmt.Errorf("the response names record %q, which is not in the batch",
			response.BatchItemFailures[0].ItemIdentifier)
	}
	w.position += at
	return nil
}

// Publish is the topic with all of its consumers. A consumer reads the items that the message names, or, if it names
// none, all items of the prefix.
func (w *world) Publish(
	ctx context.Context, in *sns.PublishInput, o ...func(*sns.Options),
) (*sns.PublishOutput, error) {
	w.calls++
	if slices.Contains(w.fails, w.calls) || w.failFrom > 0 && w.calls >= w.failFrom {
		return nil, errDown
	}
	if w.poison >= 0 && strings.Contains(*in.Message, fmt.Sprintf(`-%d"`, w.poison)) {
		return nil, errRefused
	}
	if out, err := (&topic{limit: worldLimit}).Publish(ctx, in, o...); err != nil {
		w.fail(err)
		return out, err
	}
	m, err := change.Parse([]byte(*in.Message))
	w.fail(err)
	for _, c := range m.Changes {
		w.fail(w.check(rowID(m, c), c))
	}
	w.readTable(w.view, m)
	return &sns.PublishOutput{}, nil
}

// worldWithBatches is a world with PublishBatch. It omits failed entries from its answer.
type worldWithBatches struct{ *world }

func (w worldWithBatches) PublishBatch(
	ctx context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options),
) (*sns.PublishBatchOutput, error) {
	out, total := &sns.PublishBatchOutput{}, 0
	for _, e := range in.PublishBatchRequestEntries {
		total += sizeOf(e.Message, e.MessageAttributes)
		_, err := w.Publish(ctx, &sns.PublishInput{Message: e.Message, MessageAttributes: e.MessageAttributes})
		if err == nil {
			out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
		}
	}
	if total > worldLimit {
		w.fail(fmt.Errorf("a batch of %d bytes", total))
	}
	return out, nil
}

// fail keeps the first error.
func (w *world) fail(err error) {
	if w.firstErr == nil {
		w.firstErr = err
	}
}

// readTable reads into view what a message invalidates.
func (w *world) readTable(view map[itemID]image, m change.Message) {
	for _, c := range m.Changes {
		view[rowID(m, c)] = w.table[rowID(m, c)]
	}
	for id := range w.table {
		prefix := strings.TrimSuffix(id.namespace[:strings.LastIndexByte(id.namespace, ':')+1], ":")
		if len(m.Changes) == 0 && prefix == m.Prefix {
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
		w.readTable(w.journal, m)
	}
	return nil
}

// check compares a change with the batch from which it was made.
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
		return fmt.Errorf("published a change of %v, which did not change", id)
	}
	want := 0
	if rising {
		want = rowVersion(last.Change.NewImage)
	}
	after := last.Change.NewImage
	deleted := after == nil || strings.Contains(after["item"].String(), "deleted")
	if c.Version != want || c.Deleted != deleted {
		return fmt.Errorf("published version %d, deleted %v; want %d, %v", c.Version, c.Deleted, want, deleted)
	}
	return nil
}

func (w *world) compare() error {
	for id, row := range w.table {
		for name, view := range map[string]map[itemID]image{"topic": w.view, "journal": w.journal} {
			if got, want := text(view[id]), text(row); got != want {
				return fmt.Errorf("%s: %.8q in %q: a consumer has %s, the table has %s",
					name, id.key, id.namespace, got, want)
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
	return slices.IndexFunc(batch, func(r events.DynamoDBEventRecord) bool {
		return r.Change.SequenceNumber == sequence
	})
}
