package subscriber

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// DefaultDeadAfter is how old the heartbeat of a dead process's queue is, unless [Reaper] says otherwise. A process that
// lives renews it every hour.
const DefaultDeadAfter = 24 * time.Hour

// ReaperSQS is what [Reaper] uses of *sqs.Client.
type ReaperSQS interface {
	ListQueues(context.Context, *sqs.ListQueuesInput, ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error)
	ListQueueTags(context.Context, *sqs.ListQueueTagsInput, ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	DeleteQueue(context.Context, *sqs.DeleteQueueInput, ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error)
}

// ReaperSNS is what [Reaper] uses of *sns.Client.
type ReaperSNS interface {
	ListSubscriptionsByTopic(context.Context, *sns.ListSubscriptionsByTopicInput, ...func(*sns.Options)) (*sns.ListSubscriptionsByTopicOutput, error)
	Unsubscribe(context.Context, *sns.UnsubscribeInput, ...func(*sns.Options)) (*sns.UnsubscribeOutput, error)
}

// Reaper removes the queues, and their subscriptions to one topic, that killed processes left behind: SQS's queues never
// expire, and SNS goes on filling them. [Queue] itself removes its own at its end, and never another's.
//
// A queue is a dead process's when it has our name and tags, is tagged with this topic, and its heartbeat is older than
// DeadAfter. A subscription is one when its queue has our name and is no more. Everything is in the topic's region and
// account, which the clients must be of. A process that lives after all (it may not write tags) makes a new queue
// within minutes and looks at everything again, so nothing is lost.
//
// Its permissions: sqs:ListQueues and sns:ListSubscriptionsByTopic; sqs:ListQueueTags, GetQueueUrl and DeleteQueue on queues
// named warmflags_*; sns:Unsubscribe on *.
type Reaper struct {
	SQS ReaperSQS
	SNS ReaperSNS
	// TopicARN is the topic that the queues are subscribed to.
	TopicARN string
	// DeadAfter is the age of a dead process's heartbeat. 0: 24 hours ([DefaultDeadAfter]). Under 2 hours: an error, as
	// heartbeats come every hour.
	DeadAfter time.Duration
	// DryRun removes nothing.
	DryRun bool
}

// Dead is what a dead process left: a queue with or without its subscription, or a subscription alone.
type Dead struct {
	// Queue is its URL; empty when it is gone, and its subscription is not.
	Queue string
	// Subscription is its ARN; empty when it is gone, and its queue is not.
	Subscription string
	// Owner says who made the queue, see [Owner]; empty when the queue is gone.
	Owner string
	// Heartbeat is when the owner last lived; zero when the queue is gone.
	Heartbeat time.Time
}

// Reap looks once, removes what dead processes left (with DryRun: would), and returns it. What cannot be looked at or removed
// is left alone and joined into the error.
func (r *Reaper) Reap(ctx context.Context) ([]Dead, error) {
	topic, err := r.check()
	if err != nil {
		return nil, err
	}
	subscriptions, err := r.subscriptions(ctx, topic)
	if err != nil {
		return nil, err
	}
	queues, errs := r.queues(ctx, topic)
	var dead []Dead
	for _, d := range queues {
		name := d.Queue[strings.LastIndexByte(d.Queue, '/')+1:]
		d.Subscription = subscriptions[name]
		delete(subscriptions, name)
		dead = append(dead, d)
	}
	// The others' queues live, or are gone. SQS may not know one that was just made: only what is gone twice is gone.
	for look := range 2 {
		if look > 0 && len(subscriptions) > 0 {
			pause(ctx, newQueue)
		}
		for name := range subscriptions {
			_, err := r.SQS.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
			if !isQueueGone(err) {
				delete(subscriptions, name)
			}
			if err != nil && !isQueueGone(err) {
				errs = append(errs, fmt.Errorf("look for queue %q: %w", name, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(subscriptions)) {
		dead = append(dead, Dead{Subscription: subscriptions[name]})
	}
	if r.DryRun {
		return dead, errors.Join(errs...)
	}
	removed := dead[:0]
	for _, d := range dead {
		if err := r.remove(ctx, d); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, d)
	}
	return removed, errors.Join(errs...)
}

// check reports all that is wrong with the Reaper.
func (r *Reaper) check() (arn.ARN, error) {
	topic, err := parseTopic(r.TopicARN)
	errs := []error{err}
	errs = append(errs, refuseIf(r.SQS == nil || r.SNS == nil, "it needs clients of SQS and SNS"))
	errs = append(errs, refuseIf(r.DeadAfter != 0 && r.DeadAfter < 2*renewEvery,
		fmt.Sprintf("DeadAfter is %v: heartbeats come every hour, so use 2 hours at least", r.DeadAfter)))
	if err := errors.Join(errs...); err != nil {
		return topic, fmt.Errorf("set up subscriber.Reaper: %w", err)
	}
	return topic, nil
}

// subscriptions are those of queues with our name, by the queue's name.
func (r *Reaper) subscriptions(ctx context.Context, topic arn.ARN) (map[string]string, error) {
	found := map[string]string{}
	pages := sns.NewListSubscriptionsByTopicPaginator(r.SNS, &sns.ListSubscriptionsByTopicInput{TopicArn: &r.TopicARN})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the subscriptions of topic %q: %w", r.TopicARN, err)
		}
		for _, s := range page.Subscriptions {
			queue, err := arn.Parse(aws.ToString(s.Endpoint))
			if err == nil && queue.Service == "sqs" && queue.Region == topic.Region && queue.AccountID == topic.AccountID &&
				strings.HasPrefix(queue.Resource, queuePrefix(topic)) {
				found[queue.Resource] = aws.ToString(s.SubscriptionArn)
			}
		}
	}
	return found, nil
}

// queues are the dead processes'. A queue that is gone by now is nobody's.
func (r *Reaper) queues(ctx context.Context, topic arn.ARN) (dead []Dead, errs []error) {
	prefix, limit := queuePrefix(topic), cmp.Or(r.DeadAfter, DefaultDeadAfter)
	pages := sqs.NewListQueuesPaginator(r.SQS, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return dead, append(errs, fmt.Errorf("list queues named %q: %w", prefix+"*", err))
		}
		for _, url := range page.QueueUrls {
			out, err := r.SQS.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})
			if isQueueGone(err) {
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("read the tags of queue %q: %w", url, err))
				continue
			}
			lived, err := time.Parse(time.RFC3339, out.Tags[TagHeartbeat])
			if err == nil && out.Tags[TagTopic] == r.TopicARN && time.Since(lived) >= limit {
				dead = append(dead, Dead{Queue: url, Owner: out.Tags[TagOwner], Heartbeat: lived})
			}
		}
	}
	return dead, errs
}

// remove removes the subscription first, so that SNS does not send to a queue that is not there.
func (r *Reaper) remove(ctx context.Context, d Dead) error {
	if d.Subscription != "" {
		_, err := r.SNS.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &d.Subscription})
		if err != nil && !isSubscriptionGone(err) {
			return fmt.Errorf("remove subscription %q: %w", d.Subscription, err)
		}
	}
	if d.Queue != "" {
		_, err := r.SQS.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &d.Queue})
		if err != nil && !isQueueGone(err) {
			return fmt.Errorf("remove queue %q: %w", d.Queue, err)
		}
	}
	return nil
}
