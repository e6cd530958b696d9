package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/internal/webhook"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/streamhandler"
	"github.com/warmflags/warmflags/subscriber"
)

const (
	sdkKey        = "sdk-demo"
	webhookSecret = "demo-webhook-secret" //nolint:gosec // of the fake LaunchDarkly
	tableName     = "flags"
	// poll is how often the stream is looked at when nothing comes. Lambda does it four times a second: the demo
	// measures warmflags, not Lambda's pause.
	poll = 2 * time.Millisecond
	// startLimit is how long any part may take to start.
	startLimit = 20 * time.Second
)

// path is all packages joined, from LaunchDarkly to the consumers.
type path struct {
	ld         *launchdarkly.Environment
	cloud      *localaws.Cloud
	streams    *streamhandler.Handler
	webhookURL string
	consumers  []*consumer // those of pollers included
	pollers    []*poller

	table, queueURL, topicARN, streamARN string // in the cloud

	firstMessages int // published for the first sync

	logger  *slog.Logger
	cancel  context.CancelFunc // ends everything in running
	running sync.WaitGroup
	mu      sync.Mutex // guards failed
	failed  []error
	closers []func() // in the order in which they were opened
}

func startPath(ctx context.Context, c Config, b *board) (p *path, err error) {
	ctx, cancel := context.WithCancel(ctx)
	p = &path{cloud: localaws.New(), table: tableName, cancel: cancel,
		logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	p.streamARN = p.cloud.CreateFlagTable(p.table)
	topic, err := p.cloud.SNS.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("flag-changes")})
	if err != nil {
		return p, fmt.Errorf("create topic: %w", err)
	}
	p.topicARN = *topic.TopicArn
	queue, err := p.cloud.SQS.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("sync-requests.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	if err != nil {
		return p, fmt.Errorf("create queue: %w", err)
	}
	p.queueURL = *queue.QueueUrl

	p.cloud.Logger = p.logger
	p.ld = launchdarkly.Start(sdkKey, c.Flags, c.Segments)
	p.onStop(p.ld.Close)
	if err := p.startSync(ctx, b); err != nil {
		return p, err
	}
	if err := p.startStream(ctx, c, b); err != nil {
		return p, err
	}
	return p, p.startConsumers(ctx, c, b)
}

// startSync runs the webhook and the function that syncs, and syncs once so that the table is full.
func (p *path) startSync(ctx context.Context, b *board) error {
	hook := webhook.New(p.queueURL, webhook.Static(webhookSecret), p.cloud.SQS, webhook.Logger(p.logger))
	server := httptest.NewServer(hook)
	p.onStop(server.Close)
	p.webhookURL = server.URL

	keys := func(context.Context, bool) (map[string]string, error) { return map[string]string{"": sdkKey}, nil }
	options := []flagsync.Option{
		flagsync.StreamURI(p.ld.URL()),
		flagsync.Linger(-1), // the fake's stream does not trail its webhook
		flagsync.Logger(p.logger),
		flagsync.Queue(p.cloud.SQS, p.queueURL),
	}
	if _, err := flagsync.New(&table.Environment{Client: p.cloud.DynamoDB, Table: p.table}, keys,
		options...).Sync(ctx); err != nil {
		return fmt.Errorf("sync for the first time: %w", err)
	}
	handler := flagsync.NewHandler(p.cloud.DynamoDB, p.table, keys, options...)
	mapping := &localaws.QueueMapping{
		SQS: p.cloud.SQS, QueueURL: p.queueURL, Logger: p.logger, BatchSize: 1,
		Handler: func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			b.synced()
			return handler.Handle(ctx, e)
		},
	}
	p.run(ctx, "run flagsync", mapping.Run)
	return nil
}

// startStream runs streamhandler on the table's stream, and waits until it has announced the first sync.
func (p *path) startStream(ctx context.Context, c Config, b *board) error {
	var publisher streamhandler.Publisher = p.cloud.SNS
	if c.Sabotage == DropMessage {
		publisher = &droppingPublisher{Publisher: publisher}
	}
	writer := &journal.Writer{Client: p.cloud.DynamoDB, Table: p.table, Region: journalRegion}
	p.streams = streamhandler.New(publisher, streamhandler.TopicARN(p.topicARN), streamhandler.Logger(p.logger),
		streamhandler.OnPublished(writer.Append))
	first, announced := c.Flags+c.Segments, make(chan struct{})
	mapping := &localaws.StreamMapping{
		Streams: p.cloud.Streams, StreamARN: p.streamARN, Poll: poll, Logger: p.logger, Filter: isItem,
		Handler: func(ctx context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
			for _, record := range e.Records {
				noteStreamed(b, record)
			}
			response, err := p.streams.Handle(ctx, e)
			if first > 0 { // the table has one shard: calls follow each other
				if first -= len(e.Records); first <= 0 {
					p.firstMessages = p.streams.Stats().Messages
					close(announced)
				}
			}
			return response, err
		},
	}
	p.run(ctx, "run streamhandler", mapping.Run)
	select {
	case <-announced:
		return nil
	case <-time.After(startLimit):
		return errors.Join(fmt.Errorf("announce the first sync: not done after %v", startLimit), p.failures())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isItem is the filter of template.yaml: the key's namespace ends in a kind's name.
func isItem(record events.DynamoDBEventRecord) bool {
	_, kind, _ := layout.SplitNamespace(record.Change.Keys[layout.AttrNamespace].String())
	return kind == change.KindFeatures || kind == change.KindSegments
}

func noteStreamed(b *board, record events.DynamoDBEventRecord) {
	flag, ok := launchdarkly.FlagIndex(record.Change.Keys["key"].String())
	if !ok {
		return
	}
	if version, err := record.Change.NewImage["version"].Integer(); err == nil {
		b.streamed(flag, int(version))
	}
}

// startConsumers starts the clients and their sources, and waits until each can miss nothing.
func (p *path) startConsumers(ctx context.Context, c Config, b *board) error {
	inner := dynamostore.DataStore(p.table).Client(p.cloud.DynamoDB)
	for id := range c.Consumers {
		x, err := newConsumer(id, c, b, inner)
		if err != nil {
			return err
		}
		p.consumers = append(p.consumers, x)
		p.onStop(func() { _ = x.client.Close() })
		queue := subscriber.Queue(p.topicARN, x, subscriber.SNSClient(p.cloud.SNS), subscriber.SQSClient(p.cloud.SQS),
			subscriber.Logger(p.logger))
		p.run(ctx, fmt.Sprintf("run queue of consumer %d", id), queue.Run)
	}
	for _, x := range p.consumers {
		select {
		case <-x.ready:
		case <-time.After(startLimit):
			return errors.Join(fmt.Errorf("start consumer %d: no subscription after %v", x.id, startLimit),
				p.failures())
		case <-ctx.Done():
			return ctx.Err()
		}
		p.run(ctx, "evaluate", func(ctx context.Context) error { x.run(ctx); return nil })
	}
	return p.startPollers(ctx, c, b)
}

// startPollers starts the services that poll on a timer, and the warm Lambdas.
func (p *path) startPollers(ctx context.Context, c Config, b *board) error {
	for n := range c.Services + c.Lambdas {
		lambda := n >= c.Services
		w, err := newPoller(ctx, c.Consumers+n, lambda, c, p, b)
		if err != nil {
			return err
		}
		p.consumers, p.pollers = append(p.consumers, w.consumer), append(p.pollers, w)
		p.onStop(func() { _ = w.open.Close(context.Background()) })
		p.run(ctx, "evaluate", func(ctx context.Context) error {
			if lambda {
				w.invoke(ctx, c.Seed)
			} else {
				w.run(ctx)
			}
			return nil
		})
	}
	return nil
}

// run keeps f going until the path stops, and notes its error.
func (p *path) run(ctx context.Context, name string, f func(context.Context) error) {
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failed = append(p.failed, fmt.Errorf("%s: %w", name, err))
		}
	}()
}

func (p *path) onStop(f func()) { p.closers = append(p.closers, f) }

func (p *path) failures() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.failed...)
}

// stop ends everything, waits for it, and returns what failed meanwhile.
func (p *path) stop() error {
	p.cancel()
	p.running.Wait()
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
	p.closers = nil
	p.cloud.Close()
	return p.failures()
}
