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
)

const (
	// longPoll and batch are the most that SQS allows.
	longPoll = 20 * time.Second
	batch    = 10
	// callTimeout limits a call that does not wait, with the SDK's retries in it.
	callTimeout = 10 * time.Second
	// newQueue is how long a new queue may be unknown. AWS says of CreateQueue "at least one second".
	newQueue = 3 * time.Second
	// policyTime is how long a queue's policy may take to apply. SNS does not repeat what a policy refuses. See AWS,
	// SetQueueAttributes and "Amazon SNS dead-letter queues".
	policyTime = time.Minute
	// renewEvery is the heartbeat; lookEvery is how soon a lost subscription is known.
	renewEvery = time.Hour
	lookEvery  = 5 * time.Minute
	// Between failures we wait, from the one to the other.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// One goroutine does all: Run turns until its context ends, and what one turn finds broken the next one repairs. So there is
// nothing to lock but the receiver's counts. No order of events loses a change: the sink is told to forget everything
// after each beginning, when the subscription already catches what comes, and once more when a new queue's policy must
// have taken effect; what is then received is acknowledged only after the sink has it; and a pause in which messages can
// have expired counts as a beginning.

// errGone says that the queue is no more, so that messages are lost.
var errGone = errors.New("the queue is gone")

// QueueSubscriber is made by [Queue]. It is safe for concurrent use: several calls of Run have a queue each.
type QueueSubscriber struct {
	*receiver
	settings settings
	err      error // wrong options
}

// Queue is the source for a service: an SQS queue that this process alone reads, subscribed to the topic. Nothing
// happens before [QueueSubscriber.Run].
//
// Its permissions: sqs:CreateQueue, DeleteQueue, GetQueueAttributes, SetQueueAttributes, TagQueue,
// ReceiveMessage and DeleteMessage on queues named warmflags_*; sns:Subscribe on the topic; sns:Unsubscribe and
// sns:GetSubscriptionAttributes on *, as IAM knows no smaller resource for them.
func Queue(topicARN string, sink change.Sink, options ...Option) *QueueSubscriber {
	s, err := newSettings(ofQueue, topicARN, sink, options)
	return &QueueSubscriber{receiver: newReceiver(s, sink), settings: s, err: err}
}

// Run makes queue and subscription, calls the sink's InvalidateAll, and again after a minute or so, when the queue's policy
// has surely taken effect, and delivers changes until ctx ends. It
// removes queue and subscription before it returns, within [CleanupTimeout], and returns nil or what could not be
// removed.
//
// It returns an error at once when options are wrong, and when queue or subscription cannot be made at the start.
// Later, whatever fails is logged, counted and tried again, at growing intervals of a second to a minute; a queue
// or subscription that is gone is made anew. Each call of Run has a queue of its own.
func (s *QueueSubscriber) Run(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	snsClient, sqsClient, err := s.clients(ctx)
	if err != nil {
		return err
	}
	r := &run{receiver: s.receiver, settings: s.settings, sns: snsClient, sqs: sqsClient}
	if err := r.open(ctx, "queue made"); err != nil {
		return err
	}
	for failures := 0; ctx.Err() == nil; {
		err := r.turn(ctx)
		switch {
		case err == nil:
			failures = 0
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

// clients are those of the options, or made from a configuration.
func (s *QueueSubscriber) clients(ctx context.Context) (SNS, SQS, error) {
	set := s.settings
	if set.sns != nil && set.sqs != nil {
		return set.sns, set.sqs, nil
	}
	if set.awsConfig == nil {
		loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(set.topic.Region))
		if err != nil {
			return nil, nil, fmt.Errorf("load the AWS configuration: %w", err)
		}
		set.awsConfig = &loaded
	}
	if set.sns == nil { // a topic is only known in its own region; a queue may be in another
		set.sns = sns.NewFromConfig(*set.awsConfig, func(o *sns.Options) { o.Region = set.topic.Region })
	}
	if set.sqs == nil {
		set.sqs = sqs.NewFromConfig(*set.awsConfig)
	}
	return set.sns, set.sqs, nil
}

// run is one call of Run. Only its goroutine touches it.
type run struct {
	*receiver
	settings settings
	sns      SNS
	sqs      SQS

	// queue is nil while there is none, which the next turn repairs.
	queue *queue
	// listened is when the last receive that succeeded began: what was sent before it, we have or will get, as a queue gives
	// out again what was received and not deleted.
	listened time.Time
	// renewed is when the heartbeat was last written.
	renewed time.Time
	// looked is when the subscription was last seen, or looked for.
	looked time.Time
}

// turn is one step:
//
//  1. repair: make the queue if there is none, renew what is due;
//  2. receive, for 20 seconds at most. A queue that is gone ends the turn, and the next one makes another;
//  3. doubt: if messages can have expired since we last listened, or been refused by a policy that did not apply yet,
//     everything is stale;
//  4. deliver to the sink, and only then acknowledge.
func (r *run) turn(ctx context.Context) error {
	if r.queue == nil {
		if err := r.open(ctx, "the queue was gone"); err != nil {
			return err
		}
	}
	if err := r.upkeep(ctx); err != nil {
		return err
	}
	began := time.Now()
	messages, err := r.poll(ctx)
	if errors.Is(err, errGone) {
		r.failed("receive changes", err, "queue", r.queue.url)
		if err := r.close(ctx); err != nil { // its subscription, most of all
			r.failed("remove the old subscription", err)
		}
		return nil // the next turn makes a new one
	}
	if err != nil {
		return err
	}
	if since(r.listened) >= retention {
		r.invalidateAll("messages may have expired unread")
	}
	if !r.queue.settled && since(r.queue.prepared) >= policyTime {
		r.queue.settled = true
		r.invalidateAll("the queue's policy may have taken until now")
	}
	r.listened = began
	for _, m := range messages {
		r.receive(aws.ToString(m.Body))
	}
	r.acknowledge(ctx, messages)
	return nil
}

// poll waits for messages. None is no error. A queue that is not known is gone, unless it is so new that SQS may not know it
// yet; that is an error like others, and the next turn asks again.
func (r *run) poll(ctx context.Context) ([]sqstypes.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, longPoll+callTimeout)
	defer cancel()
	out, err := r.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:            &r.queue.url,
		MaxNumberOfMessages: batch,
		WaitTimeSeconds:     int32(longPoll.Seconds()),
	})
	if isQueueGone(err) && since(r.queue.made) >= newQueue {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("receive from queue %q: %w", r.queue.url, err)
	}
	return out.Messages, nil
}

// acknowledge deletes messages that the sink has, and those that were dropped. One that stays comes again, which does no
// harm: so a failure does not end the turn.
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

// failed counts and logs what will be tried again.
func (r *run) failed(what string, err error, details ...any) {
	r.errors.Add(1)
	r.complain(slog.LevelWarn, "warmflags: cannot "+what, what, append([]any{"error", err}, details...)...)
}

// since is how long ago t was, by the clock that says more: the monotonic one stops while a machine sleeps, and
// the other can be set back. Of the zero time it is longer than any limit here.
func since(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// backoff doubles with each failure, between minBackoff and maxBackoff, and takes off up to half at random.
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
