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

// Reaper removes orphans: the queues of killed processes, and their subscriptions to one topic. SQS queues do not
// expire, and SNS keeps filling them. A [Queue] removes only its own queue, when Run ends.
//
// A queue is an orphan if its name begins with warmflags_ and the first 40 characters of the topic's name, its tags
// name this topic, and its heartbeat is older than OrphanAfter. A subscription is an orphan if its queue has such a
// name and does not exist. Only queues in the topic's region and account are found; the clients must be for that region
// and account. If the process is still running, for example without the permission to write tags, it creates a new
// queue and invalidates everything within minutes, so nothing is lost.
//
// Permissions: sqs:ListQueues and sns:ListSubscriptionsByTopic; sqs:ListQueueTags, GetQueueUrl and DeleteQueue on
// queues named warmflags_*; sns:Unsubscribe on *.
type Reaper struct {
	SQS ReaperSQS
	SNS ReaperSNS
	// TopicARN is the topic that the queues are subscribed to.
	TopicARN string
	// OrphanAfter is the age of the heartbeat at which a queue becomes an orphan. Zero means 24 hours
	// ([DefaultOrphanAfter]). Other values below 2 hours are errors, because heartbeats are written every hour.
	OrphanAfter time.Duration
	// DryRun makes Reap return the orphans without removing them.
	DryRun bool
}

// Orphan is a queue of a killed process with or without its subscription, or a subscription without a queue.
type Orphan struct {
	// Queue is the queue's URL; empty if it does not exist.
	Queue string
	// Subscription is the subscription's ARN; empty if it does not exist.
	Subscription string
	// Owner names the process that created the queue, see [Owner]; empty if the queue does not exist.
	Owner string
	// Heartbeat is when the owner last wrote the heartbeat tag; zero if the queue does not exist.
	Heartbeat time.Time
}

// Reap lists queues and subscriptions once, removes the orphans, and returns the removed ones, or with DryRun those
// that it would remove. Its error joins everything that could not be listed or removed.
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

// keepWithoutQueue deletes from subscriptions those whose queue exists. SQS may not find a queue that was just created,
// so it checks twice.
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
				errs = append(errs, fmt.Errorf("find queue %q: %w", name, err))
			}
		}
	}
	return errs
}

// check returns the parsed topic, and all problems with the fields in one error.
func (r *Reaper) check() (arn.ARN, error) {
	topic, err := parseTopic(r.TopicARN)
	errs := []error{err}
	if r.SQS == nil || r.SNS == nil {
		errs = append(errs, errors.New("the SQS or the SNS client is nil"))
	}
	if r.OrphanAfter != 0 && r.OrphanAfter < 2*heartbeatEvery {
		errs = append(errs, fmt.Errorf(
			"OrphanAfter is %v: use at least 2 hours, because heartbeats are written every hour", r.OrphanAfter))
	}
	if err := errors.Join(errs...); err != nil {
		return topic, fmt.Errorf("set up subscriber.Reaper: %w", err)
	}
	return topic, nil
}

// subscriptions returns the ARNs of the subscriptions of queues with our name prefix, by the queue's name. In place of
// the ARN, SNS lists "PendingConfirmation" for a subscription that is not confirmed, and "Deleted" for one that was
// removed. Neither can be removed, and both disappear after days.
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
			if err == nil && queue.Service == "sqs" &&
				queue.Region == topic.Region && queue.AccountID == topic.AccountID &&
				strings.HasPrefix(queue.Resource, queuePrefix(topic)) && arn.IsARN(aws.ToString(s.SubscriptionArn)) {
				found[queue.Resource] = aws.ToString(s.SubscriptionArn)
			}
		}
	}
	return found, nil
}

// queues returns the orphaned queues. It ignores queues that are removed while it lists them.
func (r *Reaper) queues(ctx context.Context, topic arn.ARN) (orphans []Orphan, errs []error) {
	prefix, limit := queuePrefix(topic), cmp.Or(r.OrphanAfter, DefaultOrphanAfter)
	in := &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(1000)}
	pages := sqs.NewListQueuesPaginator(r.SQS, in)
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

// remove removes an orphan. It removes the subscription first, so that SNS does not send to a missing queue.
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
