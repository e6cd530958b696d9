package subscriber

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
)

const (
	// longPoll and batch are the largest values that SQS allows.
	longPoll = 20 * time.Second
	batch    = 10
	// callTimeout limits calls that do not wait for messages, including the SDK's retries. ReceiveMessage has longPoll
	// in addition.
	callTimeout = 10 * time.Second
	// newQueue is the time after CreateQueue in which other calls may not find the queue. AWS: "at least one second".
	newQueue = 3 * time.Second
	// policyTime is the longest time until a queue's policy takes effect. SNS does not retry a message that a policy
	// refuses. See AWS, SetQueueAttributes and "Amazon SNS dead-letter queues".
	policyTime = time.Minute
	// heartbeatEvery and checkEvery are the intervals of the heartbeat tag and of the delivery check.
	heartbeatEvery = time.Hour
	checkEvery     = 5 * time.Minute
	// The backoff after failures grows from minBackoff to maxBackoff.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// All work is done by one goroutine: Run calls turn until its context ends, and each turn repairs what the previous one
// found broken. So only the receiver's counts need locks.
//
// No order of events loses a change. Everything is invalidated after each subscription was created, when the queue
// already receives messages, and once more when the new queue's policy must have taken effect. Messages are
// acknowledged only after the sink has them. After a pause in which messages can have expired, everything is
// invalidated.

// errGone means that the queue does not exist, so that messages are lost.
var errGone = errors.New("the queue does not exist")

// QueueSubscriber receives changes through an SQS queue. Create one with [Queue]. It is safe for concurrent use: each
// call of Run has its own queue.
type QueueSubscriber struct {
	*receiver
	settings settings
	err      error // wrong options
}

// Queue returns the source for a service: an SQS queue that only this process reads, subscribed to the topic. Queue
// does not call AWS; [QueueSubscriber.Run] does.
//
// Permissions: sqs:CreateQueue, DeleteQueue, GetQueueAttributes, SetQueueAttributes, TagQueue, ReceiveMessage and
// DeleteMessage on queues named warmflags_*; sns:Subscribe on the topic; sns:Unsubscribe and
// sns:GetSubscriptionAttributes on *, because they have no resource-level permissions.
func Queue(topicARN string, sink change.Sink, options ...Option) *QueueSubscriber {
	s, err := newQueueSettings(topicARN, sink, options)
	return &QueueSubscriber{receiver: newReceiver(s, sink), settings: s, err: err}
}

// Run creates a queue and a subscription and delivers changes until ctx ends. It calls the sink's InvalidateAll after
// it has subscribed, and again after about a minute, when the queue's policy must have taken effect. After ctx has
// ended it removes queue and subscription, within [CleanupTimeout], and returns nil, or an error that names what could
// not be removed.
//
// Run returns earlier only for three errors: wrong options, an AWS configuration that cannot be loaded, and a queue in
// a region to which SNS does not deliver from the topic's region. Any other failure, also during the start, is logged,
// counted and retried after half a second to one minute.
//
// Every five minutes Run checks that everything that delivery depends on is as it created it: the queue, its policy,
// and a subscription to this topic with the right endpoint and delivery options. If something differs, it creates a new
// queue and invalidates everything.
func (s *QueueSubscriber) Run(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	snsClient, sqsClient, err := s.clients(ctx)
	if err != nil {
		return err
	}
	r := &run{receiver: s.receiver, settings: s.settings, sns: snsClient, sqs: sqsClient, cause: "this process started"}
	for failures := 0; ctx.Err() == nil; {
		err := r.turn(ctx)
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, errUnsupported):
			return err
		case ctx.Err() == nil:
			failures++
			r.failed("receive changes", err, "failures", failures)
			pause(ctx, backoff(failures))
		}
	}
	return r.close(ctx)
}

// Stats returns the counts so far, of all runs together. It is safe for concurrent use.
func (s *QueueSubscriber) Stats() Stats { return s.stats() }

// clients returns the clients from the options, and creates those that are missing.
func (s *QueueSubscriber) clients(ctx context.Context) (SNS, SQS, error) {
	snsClient, sqsClient, cfg := s.settings.sns, s.settings.queue.sqs, s.settings.queue.awsConfig
	if snsClient != nil && sqsClient != nil {
		return snsClient, sqsClient, nil
	}
	region := s.settings.topic.Region
	if cfg == nil {
		loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
		if err != nil {
			return nil, nil, fmt.Errorf("load the AWS configuration: %w", err)
		}
		cfg = &loaded
	}
	if snsClient == nil { // calls of SNS must go to the topic's region; the queue may be in another
		snsClient = sns.NewFromConfig(*cfg, func(o *sns.Options) { o.Region = region })
	}
	if sqsClient == nil {
		sqsClient = sqs.NewFromConfig(*cfg)
	}
	return snsClient, sqsClient, nil
}

// run is the state of one call of Run. Only its goroutine uses it.
type run struct {
	*receiver
	settings settings
	sns      SNS
	sqs      SQS

	// queue is nil if there is none. The next turn then creates one; cause is the reason, for the log.
	queue *queue
	cause string
	// listened is when the last successful receive began. Messages sent before were received or will be received,
	// because SQS redelivers messages that were received and not deleted.
	listened clock.Instant
	// beat is when the heartbeat tag was last written; checked is when the last check began.
	beat, checked clock.Instant
}

// turn does one step of Run:
//
//  1. create the queue if there is none; write the heartbeat and check delivery if they are due;
//  2. receive, for 20 seconds at most;
//  3. invalidate everything if messages can have expired since the last receive, or can have been refused before the
//     policy took effect;
//  4. deliver to the sink, and only then acknowledge.
func (r *run) turn(ctx context.Context) error {
	if r.queue == nil {
		if err := r.open(ctx); err != nil {
			return err
		}
	}
	r.writeHeartbeat(ctx)
	if cause := r.check(ctx); cause != "" {
		r.abandon(ctx, cause)
		return nil // the next turn creates a new queue
	}
	began := clock.Now()
	messages, err := r.poll(ctx)
	if errors.Is(err, errGone) {
		r.abandon(ctx, errGone.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if r.listened.Age(clock.Now()) >= retention {
		r.invalidateAll("messages may have expired before they were received")
	}
	if !r.queue.settled && r.queue.prepared.Age(clock.Now()) >= policyTime {
		r.queue.settled = true
		r.invalidateAll("the queue's policy may have applied only now")
	}
	r.listened = began
	for _, m := range messages {
		r.receive(aws.ToString(m.Body))
	}
	r.acknowledge(ctx, messages)
	return nil
}

// poll waits for messages, for 20 seconds at most. If SQS does not find the queue, poll returns errGone, unless the
// queue is new.
func (r *run) poll(ctx context.Context) ([]sqstypes.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+callTimeout)
	defer cancel()
	out, err := r.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:            &r.queue.url,
		MaxNumberOfMessages: batch,
		WaitTimeSeconds:     int32(longPoll.Seconds()),
	})
	if isQueueGone(err) && r.queue.created.Age(clock.Now()) >= newQueue {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("receive from queue %q: %w", r.queue.url, err)
	}
	return out.Messages, nil
}

// acknowledge deletes messages that were delivered or dropped. It only logs failures: a message that is not deleted is
// redelivered, which costs a read.
func (r *run) acknowledge(ctx context.Context, messages []sqstypes.Message) {
	if len(messages) == 0 {
		return
	}
	entries := make([]sqstypes.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = sqstypes.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle,
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := r.sqs.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &r.queue.url, Entries: entries})
	if err != nil {
		r.failed("acknowledge messages", err)
		return
	}
	for _, f := range out.Failed {
		r.failed("acknowledge a message", errors.New(aws.ToString(f.Code)+": "+aws.ToString(f.Message)))
	}
}

// failed counts and logs a failure that is retried.
func (r *run) failed(what string, err error, details ...any) {
	r.errors.Add(1)
	r.log(slog.LevelWarn, "warmflags: cannot "+what, what, append([]any{"error", err}, details...)...)
}

// backoff returns a time that doubles with each failure, from minBackoff to maxBackoff, minus up to half of it at
// random.
func backoff(failures int) time.Duration {
	d := min(minBackoff<<min(failures-1, 10), maxBackoff)
	return d - rand.N(d/2)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
