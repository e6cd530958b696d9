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

// DefaultOrphanAfter is the default of [Reaper].OrphanAfter. A running process writes the heartbeat every hour.
const DefaultOrphanAfter = 24 * time.Hour

// ReaperSQS is the part of *sqs.Client that [Reaper] uses.
type ReaperSQS interface {
	ListQueues(context.Context, *sqs.ListQueuesInput, ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error)
	ListQueueTags(context.Context, *sqs.ListQueueTagsInput, ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	DeleteQueue(context.Context, *sqs.DeleteQueueInput, ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error)
}

// ReaperSNS is the part of *sns.Client that [Reaper] uses.
type ReaperSNS interface {
	ListSubscriptionsByTopic(
		context.Context, *sns.ListSubscriptionsByTopicInput, ...func(*sns.Options),
	) (*sns.ListSubscriptionsByTopicOutput, error)
	Unsubscribe(context.Context, *sns.UnsubscribeInput, ...func(*sns.Options)) (*sns.UnsubscribeOutput, error)
}

// Reaper removes orphans: the queues of killed processes, and their subscriptions to one topic. SQS's queues never
// expire, and SNS keeps filling them. [Queue] removes only its own queue, at its end.
//
// A queue is an orphan if it has our name and tags, is tagged with this topic, and its heartbeat is older than
// OrphanAfter. A subscription is one if its queue has our name and does not exist. All must be in the clients' region
// and account, which are the topic's. If the process is running after all (it may lack the permission to write tags),
// it creates a new queue and invalidates everything within minutes, so nothing is lost.
//
// Permissions: sqs:ListQueues and sns:ListSubscriptionsByTopic; sqs:ListQueueTags, GetQueueUrl and DeleteQueue on
// queues named warmflags_*; sns:Unsubscribe on *.
type Reaper struct {
	SQS ReaperSQS
	SNS ReaperSNS
	// TopicARN is the topic that the queues are subscribed to.
	TopicARN string
	// OrphanAfter is how old the heartbeat of an orphan is. Zero: 24 hours ([DefaultOrphanAfter]). Less than 2 hours: an
	// error, because heartbeats are written every hour.
	OrphanAfter time.Duration
	// DryRun removes nothing.
	DryRun bool
}

// Orphan is what a killed process left: a queue with or without its subscription, or a subscription alone.
type Orphan struct {
	// Queue is the queue's URL; empty if it does not exist.
	Queue string
	// Subscription is the subscription's ARN; empty if it does not exist.
	Subscription string
	// Owner tells who created the queue, see [Owner]; empty if the queue does not exist.
	Owner string
	// Heartbeat is when the owner was last alive; zero if the queue does not exist.
	Heartbeat time.Time
}

// Reap lists once, removes the orphans, and returns those that were removed (with DryRun: that would be). What cannot
// be listed or removed stays, and is joined into the error.
func (r *Reaper) Reap(ctx context.Context) ([]Orphan, error) {
	topic, err := r.check()
	if err != nil {
		return nil, err
	}
	subscriptions, err := r.subscriptions(ctx, topic)
	if err != nil {
		return nil, err
	}
	orphans, errs := r.queues(ctx, topic)
	for i := range orphans {
		name := orphans[i].Queue[strings.LastIndexByte(orphans[i].Queue, '/')+1:]
		orphans[i].Subscription = subscriptions[name]
		delete(subscriptions, name)
	}
	errs = append(errs, r.keepWithoutQueue(ctx, subscriptions)...)
	for _, name := range slices.Sorted(maps.Keys(subscriptions)) {
		orphans = append(orphans, Orphan{Subscription: subscriptions[name]})
	}
	if r.DryRun {
		return orphans, errors.Join(errs...)
	}
	removed := orphans[:0]
	for _, o := range orphans {
		if err := r.remove(ctx, o); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, o)
	}
	return removed, errors.Join(errs...)
}

// keepWithoutQueue keeps only subscriptions whose queue does not exist. SQS may not know a queue that was just created,
// so it asks twice.
func (r *Reaper) keepWithoutQueue(ctx context.Context, subscriptions map[string]string) (errs []error) {
	for attempt := range 2 {
		if attempt > 0 && len(subscriptions) > 0 {
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
	return errs
}

// check returns all that is wrong with the Reaper.
func (r *Reaper) check() (arn.ARN, error) {
	topic, err := parseTopic(r.TopicARN)
	errs := []error{err}
	if r.SQS == nil || r.SNS == nil {
		errs = append(errs, errors.New("it needs clients of SQS and SNS"))
	}
	if r.OrphanAfter != 0 && r.OrphanAfter < 2*heartbeatEvery {
		err := fmt.Errorf("OrphanAfter is %v: heartbeats are written every hour, so use 2 hours at least", r.OrphanAfter)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return topic, fmt.Errorf("set up subscriber.Reaper: %w", err)
	}
	return topic, nil
}

// subscriptions returns the ARNs of the subscriptions of queues with our name, by the queue's name. Where the ARN
// belongs, SNS lists "PendingConfirmation" for a subscription that is not confirmed, and "Deleted" for one that was
// removed; neither can be removed, and both disappear after days.
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
				strings.HasPrefix(queue.Resource, queuePrefix(topic)) && arn.IsARN(aws.ToString(s.SubscriptionArn)) {
				found[queue.Resource] = aws.ToString(s.SubscriptionArn)
			}
		}
	}
	return found, nil
}

// queues returns the orphaned queues. A queue that was removed meanwhile is none.
func (r *Reaper) queues(ctx context.Context, topic arn.ARN) (orphans []Orphan, errs []error) {
	prefix, limit := queuePrefix(topic), cmp.Or(r.OrphanAfter, DefaultOrphanAfter)
	pages := sqs.NewListQueuesPaginator(r.SQS, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return orphans, append(errs, fmt.Errorf("list queues named %q: %w", prefix+"*", err))
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
			beat, err := time.Parse(time.RFC3339, out.Tags[TagHeartbeat])
			if err == nil && out.Tags[TagTopic] == r.TopicARN && time.Since(beat) >= limit {
				orphans = append(orphans, Orphan{Queue: url, Owner: out.Tags[TagOwner], Heartbeat: beat})
			}
		}
	}
	return orphans, errs
}

// remove removes the subscription first, so that SNS does not send to a missing queue.
func (r *Reaper) remove(ctx context.Context, o Orphan) error {
	if o.Subscription != "" {
		_, err := r.SNS.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &o.Subscription})
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("remove subscription %q: %w", o.Subscription, err)
		}
	}
	if o.Queue != "" {
		_, err := r.SQS.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &o.Queue})
		if err != nil && !isQueueGone(err) {
			return fmt.Errorf("remove queue %q: %w", o.Queue, err)
		}
	}
	return nil
}
