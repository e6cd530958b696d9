package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/change"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/schema"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/test/emulator"
)

const (
	fanoutWrites  = 500
	fanoutMessage = 32 << 10 // the smallest size that streamhandler accepts, so that a batch needs several messages
	lastKey       = "the-last"
)

// Every change is announced in the end, although the topic refuses calls, accepts parts of batches, and accepts
// messages without confirming them. The consumer reads only what messages name, and ends with what the table holds.
func TestEveryChangeIsAnnounced(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := startFanout(t, seed, nil)
			f.playWrites(fanoutWrites / 2)
			f.playLast()
			f.settle()
			assert.Empty(t, f.missed())
			stats := f.handler.Stats()
			assert.Positive(t, stats.Failures)
			assert.Greater(t, stats.Records, f.items, "some records were redelivered")
			t.Logf("%+v, after %d disturbed calls", stats, f.publisher.calls.Load())
		})
	}
	t.Run("can fail", func(t *testing.T) {
		t.Parallel()
		f := startFanout(t, 0, func(r *events.DynamoDBEventResponse) { r.BatchItemFailures = nil })
		f.playWrites(fanoutWrites / 2)
		f.playLast()
		f.settle()
		assert.NotEmpty(t, f.missed())
	})
}

// For records that expired unpublished, each environment in the table gets the message that anything may have changed.
func TestExpiredRecordsAreAnnouncedAsEverything(t *testing.T) {
	f := newFanout(t, 0)
	f.publisher.first = []int{1, 0, 0} // accepts half of a batch, then refuses the rest
	failures := newQueue(t, map[string]string{"VisibilityTimeout": "1"})
	f.put(rowName{"stage:$inited", "stage:$inited"}, 0, "") // an environment without flags
	f.put(rowName{"eu:prod:$inited", "eu:prod:$inited"}, 0, "")
	for i := range 40 {
		f.put(rowName{[]string{"features", "prod:features", "eu:prod:segments"}[i%3], fmt.Sprint("item-", i)}, 1, "{}")
	}
	f.delete(rowName{"prod:features", "item-1"})

	var log bytes.Buffer // written by one goroutine, which sends to answered after it
	failure := streamhandler.NewFailureHandler(
		f.publisher,
		f.table,
		emulator.DynamoDB(),
		streamhandler.TopicARN(f.topic),
		streamhandler.Logger(slog.New(slog.NewJSONHandler(&log, nil))),
	)
	answered := make(chan int, 100)
	f.run("run a function on the failures", (&localaws.QueueMapping{
		SQS: emulator.SQS(), QueueURL: failures, Logger: quiet,
		Handler: func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			response, err := failure.Handle(ctx, e)
			answered <- len(e.Records) - len(response.BatchItemFailures)
			return response, err
		},
	}).Run)
	lost := make(chan int, 100)
	f.runStream(&localaws.StreamMapping{
		MaximumRetries: 1,
		Handler: streamhandler.New(
			closedTopic{},
			streamhandler.TopicARN(f.topic),
			streamhandler.Logger(quiet),
		).Handle,
		OnFailure: func(ctx context.Context, failure localaws.StreamFailure) {
			body, err := json.Marshal(failure)
			assert.NoError(t, err)
			_, err = emulator.SQS().SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &failures,
				MessageBody: aws.String(string(body))})
			assert.NoError(t, err)
			lost <- failure.Batch.BatchSize
		},
	})
	reports := 0
	for left := 41; left > 0; reports++ {
		left -= receive(t, lost, "report on all records")
	}
	assert.Zero(t, receive(t, answered, "answer to a report"), "the topic refused the messages")
	f.publisher.recovered.Store(true)
	for reports > 0 {
		reports -= receive(t, answered, "answer to all reports")
	}
	f.await("message", func() bool { return len(f.received) >= int(f.publisher.published.Load()) })
	assert.Equal(t, []string{"", "eu:prod", "prod", "stage"}, f.prefixes())
	assert.Empty(t, f.missed())
	line := lastLine(t, &log)
	assert.Zero(t, line["UnreadableReports"])
	assert.Positive(t, line["Messages"])
	assert.InDelta(t, 5+1, line["TableReads"], 0, "one read for each namespace, although there are more rows")
	t.Logf("%v, after %d disturbed calls", line, f.publisher.calls.Load())
}

// lastLine returns the last line of a JSON log.
func lastLine(t *testing.T, log *bytes.Buffer) (line map[string]any) {
	t.Helper()
	for d := json.NewDecoder(log); d.More(); {
		line = nil
		require.NoError(t, d.Decode(&line))
	}
	return line
}

// closedTopic refuses every message.
type closedTopic struct{}

func (closedTopic) Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error) {
	return nil, errThrottled
}

// fanout is a table, its stream, streamhandler, a topic with faults, and a queue whose consumer reads the table.
type fanout struct {
	t            *testing.T
	rng          *rand.Rand
	table, topic string
	queue        string // its URL
	handler      *streamhandler.Handler
	publisher    *faultyTopic
	lastDone     chan struct{} // closed when the handler has handled the last write
	versions     map[rowName]int
	items        int // written records that must be announced

	mu       sync.Mutex // guards view, received, all and changed
	view     map[rowName]string
	received map[string]bool // ids of the messages that arrived
	all      map[string]int  // the number of messages without changes, by prefix
	changed  chan struct{}   // closed and replaced with every message
}

type rowName struct{ namespace, key string }

func startFanout(t *testing.T, seed uint64, broken func(*events.DynamoDBEventResponse)) *fanout {
	t.Helper()
	f := newFanout(t, seed)
	f.playWrites(fanoutWrites / 2) // so that the first batches are full
	f.handler = streamhandler.New(f.publisher, streamhandler.TopicARN(f.topic),
		streamhandler.MaxMessageSize(fanoutMessage), streamhandler.Logger(quiet))
	f.runStream(&localaws.StreamMapping{
		BatchSize: 150,
		Handler: func(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			response, err := f.handler.Handle(ctx, e)
			if broken != nil {
				broken(&response)
			}
			if last := e.Records[len(e.Records)-1]; last.Change.Keys["key"].String() == lastKey && err == nil &&
				len(response.BatchItemFailures) == 0 {
				close(f.lastDone)
			}
			return response, err
		},
	})
	return f
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// newFanout returns a fanout without a function on the stream.
func newFanout(t *testing.T, seed uint64) *fanout {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	f := &fanout{
		t:        t,
		rng:      rng,
		table:    newFlagTable(t),
		versions: map[rowName]int{},
		view:     map[rowName]string{},
		received: map[string]bool{},
		all:      map[string]int{},
		changed:  make(chan struct{}),
		lastDone: make(
			chan struct{},
		),
		publisher: &faultyTopic{Client: emulator.SNS(), rng: rand.New(rand.NewPCG(seed, 1))},
	}
	topic, err := emulator.SNS().CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(uniqueName(t))})
	require.NoError(t, err)
	f.topic = *topic.TopicArn
	f.queue = newQueue(t, nil)
	out, err := emulator.SQS().GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &f.queue, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	require.NoError(t, err)
	_, err = emulator.SNS().Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: &f.topic, Protocol: aws.String("sqs"), Endpoint: aws.String(out.Attributes["QueueArn"]),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	require.NoError(t, err)
	f.run("consume", (&localaws.QueueMapping{SQS: emulator.SQS(), QueueURL: f.queue, Handler: f.consume,
		Logger: quiet}).Run)
	return f
}

func newQueue(t *testing.T, attributes map[string]string) (url string) {
	t.Helper()
	queue, err := emulator.SQS().CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(uniqueName(t)),
		Attributes: attributes})
	require.NoError(t, err)
	return *queue.QueueUrl
}

// run runs a part until the test ends, which waits for it to return.
func (f *fanout) run(what string, run func(context.Context) error) {
	runToTheEnd(f.t.Context(), f.t, what, run)
}

// runStream runs a function on the table's own stream, with the filter of template.yaml.
func (f *fanout) runStream(m *localaws.StreamMapping) {
	f.t.Helper()
	m.Streams, m.StreamARN, m.Filter, m.Poll, m.Logger = emulator.Streams(), streamOf(
		f.t,
		f.table,
	), invokesStreamhandler,
		5*time.Millisecond, quiet
	f.run("run a function on the stream", m.Run)
}

// playWrites makes random writes of the kinds that SDKs, syncs and people make.
func (f *fanout) playWrites(writes int) {
	f.t.Helper()
	for range writes {
		n := f.anyName()
		before := f.versions[n]
		switch f.rng.IntN(8) {
		case 0:
			if before > 0 {
				f.items++
			}
			f.delete(n)
			f.versions[n] = 0
			continue
		case 1: // an edit under the same version
			f.versions[n] = max(before, 1)
		case 2: // a reset
			f.versions[n] = max(before-2, 1)
		default:
			f.versions[n]++
		}
		f.items++
		f.put(n, f.versions[n], fmt.Sprintf(`{"write":%d,"deleted":%t}`, f.items, f.rng.IntN(6) == 0))
	}
}

// playLast ends the topic's faults and makes the last write.
func (f *fanout) playLast() {
	f.t.Helper()
	f.put(rowName{"prod:", "poison"}, 1, "{}") // cannot be announced
	f.put(rowName{"prod:$inited", "prod:$inited"}, 0, "")
	f.publisher.recovered.Store(true)
	f.items++
	f.put(rowName{"prod:features", lastKey}, 1, "{}")
}

// anyName returns an item of one of three environments. Some keys are long, so that a batch needs several messages.
func (f *fanout) anyName() rowName {
	namespace := []string{"features", "prod:features", "eu:prod:segments"}[f.rng.IntN(3)]
	number := f.rng.IntN(60)
	return rowName{namespace, fmt.Sprint(strings.Repeat("k", 12*number), "-", number)}
}

// settle waits until all records are handled and all their messages have arrived.
func (f *fanout) settle() {
	f.t.Helper()
	waitFor(f.t, f.lastDone, "end of the stream")
	f.await("message", func() bool { return len(f.received) >= int(f.publisher.published.Load()) })
}

// await waits until enough returns true, and calls it again after each message.
func (f *fanout) await(what string, enough func() bool) {
	f.t.Helper()
	for {
		f.mu.Lock()
		done, changed := enough(), f.changed
		f.mu.Unlock()
		if done {
			return
		}
		waitFor(f.t, changed, what)
	}
}

// consume reads from the table what messages name, and stores it in view.
func (f *fanout) consume(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { close(f.changed); f.changed = make(chan struct{}) }()
	rows, err := readRows(ctx, f.table)
	if err != nil {
		return events.SQSEventResponse{}, err // the messages are redelivered
	}
	for _, record := range event.Records {
		f.received[record.MessageId] = true
		assert.NoError(f.t, schema.Check(record.Body))
		m, err := change.Parse([]byte(record.Body))
		assert.NoError(f.t, err)
		prefix := ""
		if a, ok := record.MessageAttributes["prefix"]; ok {
			prefix = aws.ToString(a.StringValue)
		}
		assert.Equal(f.t, m.Prefix, prefix, "the message's attribute")
		for _, c := range m.Changes {
			n := rowName{namespaceOf(m.Prefix, c.Kind), c.Key}
			f.view[n] = rows[n]
		}
		if len(m.Changes) > 0 {
			continue
		}
		f.all[m.Prefix]++
		for n := range rows {
			if at := max(strings.LastIndex(n.namespace, ":"), 0); n.namespace[:at] == m.Prefix {
				f.view[n] = rows[n]
			}
		}
	}
	return events.SQSEventResponse{}, nil
}

// prefixes returns the environments that got a message without changes.
func (f *fanout) prefixes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.all))
}

// missed returns the differences between the consumer's view and the table.
func (f *fanout) missed() map[rowName]string {
	f.t.Helper()
	rows, err := readRows(f.t.Context(), f.table)
	require.NoError(f.t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	missed := map[rowName]string{}
	for n := range maps.Keys(f.view) {
		if f.view[n] != rows[n] {
			missed[n] = fmt.Sprintf("%q instead of %q", f.view[n], rows[n])
		}
	}
	for n, item := range rows {
		if _, held := f.view[n]; !held && item != "" && n.key != "poison" {
			missed[n] = fmt.Sprintf("nothing instead of %q", item)
		}
	}
	return missed
}
