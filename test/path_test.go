package test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/webhook"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/subscriber"
	"github.com/warmflags/warmflags/test/emulator"
)

const (
	pathFlags, pathSegments = 100, 10
	pathFlips               = 60
	pathPrefix              = "prod"
	webhookSecret           = "integration-secret"
	sdkKey                  = "sdk-integration"
	// patience is how long a change may take to reach every reader. Usually it takes well below a second.
	patience = 5 * time.Minute
)

// The whole path on third-party emulators: LaunchDarkly's webhook, MiniStack's FIFO queue, flagsync, DynamoDB Local and
// its stream, streamhandler, MiniStack's topic and queues, cached clients. Every change reaches every reader, and no
// reader evaluates an older version than the newest one of which it was notified.
func TestWholePath(t *testing.T) { wholePath(t, startPath(t), pathFlips) }

func wholePath(t *testing.T, p *path, flips int) {
	var readers []*reader
	for range 4 {
		readers = append(readers, p.startReader(pathPrefix))
	}
	stranger := p.startReader("") // on the same topic, but of another environment
	for _, r := range append(readers, stranger) {
		p.wait(r.ready, "a queue's subscription")
	}
	for _, r := range readers {
		p.run("evaluate", func(ctx context.Context) error { r.evaluateAll(ctx); return nil })
	}
	newest := map[int]int{}
	for i := range flips {
		flag := i * 7 % pathFlags
		newest[flag] = p.ld.Flip(launchdarkly.FlagKey(flag))
		require.NoError(
			t,
			launchdarkly.SendWebhook(
				t.Context(),
				p.webhookURL,
				webhookSecret,
				launchdarkly.FlagKey(flag),
				newest[flag],
			),
		)
		if i < flips/2 { // the other half is sent in one burst
			for _, r := range readers {
				r.expect(flag, newest[flag])
			}
		}
	}
	for flag, version := range newest {
		for _, r := range readers {
			r.expect(flag, version)
		}
	}
	for _, r := range readers {
		for flag := range pathFlags {
			assert.Equal(t, max(1, newest[flag]), r.evaluate(flag))
		}
		assert.Zero(t, r.stale.Load(), "evaluations older than a version of which the reader had been notified")
		assert.Positive(t, r.evaluations.Load())
	}
	assert.Zero(t, stranger.invalidations.Load(), "changes of another prefix")
}

// path is everything except the readers.
type path struct {
	functions
	t                               *testing.T
	ctx                             context.Context
	ld                              *launchdarkly.Environment
	table, topic, queue, webhookURL string
	logger                          *slog.Logger
}

// functions are the Lambda functions on the path, as Lambda calls them.
type functions struct {
	webhook http.Handler
	sync    func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	stream  func(context.Context, events.DynamoDBEvent) (events.DynamoDBEventResponse, error)
}

// startPath starts a path whose functions are in this process.
func startPath(t *testing.T) *path {
	t.Helper()
	return startPathOf(t, inThisProcess)
}

// startPathOf starts a path with the functions that make returns, and fills the table.
func startPathOf(t *testing.T, make func(*path) functions) *path {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &path{
		t:      t,
		ctx:    ctx,
		table:  newFlagTable(t),
		ld:     launchdarkly.Start(sdkKey, pathFlags, pathSegments),
		logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	t.Cleanup(p.ld.Close)
	t.Cleanup(cancel)
	topic, err := emulator.SNS().CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(uniqueName(t))})
	require.NoError(t, err)
	p.topic = *topic.TopicArn
	queue, err := emulator.SQS().CreateQueue(
		ctx,
		&sqs.CreateQueueInput{
			QueueName:  aws.String(uniqueName(t) + ".fifo"),
			Attributes: map[string]string{"FifoQueue": "true"},
		},
	)
	require.NoError(t, err)
	p.queue = *queue.QueueUrl
	p.functions = make(p)
	hook := httptest.NewServer(p.webhook)
	t.Cleanup(hook.Close)
	p.webhookURL = hook.URL
	first, err := p.sync(
		ctx,
		events.SQSEvent{Records: []events.SQSMessage{{MessageId: "first", Body: `{"reason":"first"}`}}},
	)
	require.NoError(t, err)
	require.Empty(t, first.BatchItemFailures)
	requests := &localaws.QueueMapping{
		SQS:       emulator.SQS(),
		QueueURL:  p.queue,
		Handler:   p.sync,
		Logger:    p.logger,
		BatchSize: 1,
	}
	p.run("run flagsync", requests.Run)
	records := &localaws.StreamMapping{ // DynamoDB Local's own stream
		Streams:   emulator.Streams(),
		StreamARN: streamOf(t, p.table),
		Handler:   p.stream,
		Filter:    invokesStreamhandler,
		Poll:      20 * time.Millisecond,
		Logger:    p.logger,
	}
	p.run("run streamhandler", records.Run)
	return p
}

func inThisProcess(p *path) functions {
	keys := func(context.Context, bool) (map[string]string, error) {
		return map[string]string{pathPrefix: sdkKey}, nil
	}
	return functions{
		webhook: webhook.New(p.queue, webhook.Static(webhookSecret), emulator.SQS(), webhook.Logger(p.logger)),
		sync: flagsync.NewHandler(emulator.DynamoDB(), p.table, keys,
			flagsync.StreamURI(p.ld.URL()),
			flagsync.Linger(-1), flagsync.Logger(p.logger)).Handle,
		stream: streamhandler.New(
			emulator.SNS(),
			streamhandler.TopicARN(p.topic),
			streamhandler.Logger(p.logger),
		).Handle,
	}
}

// run runs f until the test ends, which waits for f to return.
func (p *path) run(what string, f func(context.Context) error) {
	runToTheEnd(p.ctx, p.t, what, f)
}

func (p *path) wait(done <-chan struct{}, what string) {
	p.t.Helper()
	waitFor(p.t, done, what)
}

// reader is one LaunchDarkly client in daemon mode, and the sink of its queue.
type reader struct {
	*path
	*cachedstore.Store
	client *ld.LDClient
	ready  chan struct{} // closed once the queue is subscribed
	once   sync.Once     // closes ready

	mu       sync.Mutex    // guards notified and changed
	notified map[int]int   // by flag: the newest version for which Invalidate has returned
	changed  chan struct{} // closed and replaced whenever notified changes

	evaluations, stale, invalidations atomic.Int64
}

func (p *path) startReader(prefix string) *reader {
	p.t.Helper()
	r := &reader{path: p, ready: make(chan struct{}), notified: map[int]int{}, changed: make(chan struct{})}
	r.Store = cachedstore.New(
		dynamostore.DataStore(p.table).Prefix(prefix).Client(emulator.DynamoDB()),
		cachedstore.TTL(time.Hour),
		cachedstore.ReadLimit(patience),
	) // longer than any pause of a busy machine, which is not an outage
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{
		DataStore: r.Store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		DiagnosticOptOut: true, Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	require.NoError(p.t, err)
	r.client = client
	p.t.Cleanup(func() { _ = client.Close() })
	queue := subscriber.Queue(
		p.topic,
		r,
		subscriber.Prefix(prefix),
		subscriber.SNSClient(emulator.SNS()),
		subscriber.SQSClient(emulator.SQS()),
		subscriber.Logger(p.logger),
	)
	p.run("run a reader's queue", queue.Run)
	return r
}

// Invalidate implements [change.Sink].
func (r *reader) Invalidate(changes ...change.Change) {
	r.Store.Invalidate(changes...)
	r.invalidations.Add(int64(len(changes)))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if flag, ok := launchdarkly.FlagIndex(c.Key); ok && c.Kind == change.KindFeatures {
			r.notified[flag] = max(r.notified[flag], c.Version)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// InvalidateAll implements [change.Sink].
func (r *reader) InvalidateAll() {
	r.Store.InvalidateAll()
	r.once.Do(func() { close(r.ready) })
}

// evaluate returns the flag's value, which is its version.
func (r *reader) evaluate(flag int) int {
	value, err := r.client.IntVariation(launchdarkly.FlagKey(flag), ldcontext.New("alice"), -1)
	assert.NoError(r.t, err)
	return value
}

func (r *reader) notifiedOf(flag int) (version int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notified[flag], r.changed
}

// expect waits until the reader was notified of a version, and then requires that an evaluation returns it.
func (r *reader) expect(flag, version int) {
	r.t.Helper()
	for {
		notified, changed := r.notifiedOf(flag)
		if notified >= version {
			break
		}
		r.wait(changed, fmt.Sprintf("notification of version %d of flag %d", version, flag))
	}
	assert.GreaterOrEqual(r.t, r.evaluate(flag), version)
}

// evaluateAll evaluates all flags in turns until ctx ends, and counts evaluations that are older than a version of
// which the reader had been notified before.
func (r *reader) evaluateAll(ctx context.Context) {
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		flag := i % pathFlags
		notified, _ := r.notifiedOf(flag)
		if r.evaluate(flag) < notified {
			r.stale.Add(1)
		}
		r.evaluations.Add(1)
	}
}
