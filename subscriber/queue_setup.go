package subscriber

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/warmflags/warmflags/internal/clock"
)

// Tags of every queue. A [Reaper] uses them to find the queues of processes that ended without removing them.
const (
	// TagOwner is the tag with the name of the process that created the queue, see [Owner].
	TagOwner = "warmflags:owner"
	// TagHeartbeat is the tag with the time at which the process last wrote it: RFC 3339, in UTC, written every hour.
	TagHeartbeat = "warmflags:heartbeat"
	// TagTopic is the tag with the ARN of the topic that the queue is subscribed to.
	TagTopic = "warmflags:topic"
)

// retention is how long a queue keeps a message. After a longer pause between receives, everything is invalidated.
const retention = time.Hour

// SQS is the part of *sqs.Client that [Queue] uses.
type SQS interface {
	CreateQueue(context.Context, *sqs.CreateQueueInput, ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error)
	DeleteQueue(context.Context, *sqs.DeleteQueueInput, ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error)
	GetQueueAttributes(
		context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options),
	) (*sqs.GetQueueAttributesOutput, error)
	SetQueueAttributes(
		context.Context, *sqs.SetQueueAttributesInput, ...func(*sqs.Options),
	) (*sqs.SetQueueAttributesOutput, error)
	TagQueue(context.Context, *sqs.TagQueueInput, ...func(*sqs.Options)) (*sqs.TagQueueOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(
		context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options),
	) (*sqs.DeleteMessageBatchOutput, error)
}

// SNS is the part of *sns.Client that [Queue] and [Endpoint] use; Endpoint uses only ConfirmSubscription.
type SNS interface {
	Subscribe(context.Context, *sns.SubscribeInput, ...func(*sns.Options)) (*sns.SubscribeOutput, error)
	Unsubscribe(context.Context, *sns.UnsubscribeInput, ...func(*sns.Options)) (*sns.UnsubscribeOutput, error)
	GetSubscriptionAttributes(
		context.Context, *sns.GetSubscriptionAttributesInput, ...func(*sns.Options),
	) (*sns.GetSubscriptionAttributesOutput, error)
	ConfirmSubscription(
		context.Context, *sns.ConfirmSubscriptionInput, ...func(*sns.Options),
	) (*sns.ConfirmSubscriptionOutput, error)
}

// queue is a queue and its subscription, as Run created them.
type queue struct {
	url, arn, policy string
	subscription     string        // its ARN; empty before it is subscribed
	created          clock.Instant // when CreateQueue was called; see newQueue
	prepared         clock.Instant // when its policy was set; see policyTime
	settled          bool          // everything was invalidated after policyTime
}

// open creates queue and subscription, then invalidates everything, because the sink may have older values. The order
// matters. The policy is set before the subscription is created, because otherwise SNS could not deliver the first
// messages. The subscription is created before InvalidateAll, because otherwise changes between the two would be lost.
//
// open does not stop when ctx ends, because a queue could remain; it has its own timeout. After a failure it removes
// what it created.
func (r *run) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	q, err := r.create(ctx)
	if err != nil {
		return err
	}
	r.queue = q
	if err := r.prepare(ctx); err != nil {
		return errors.Join(err, r.close(ctx))
	}
	if q.subscription, err = r.subscribe(ctx); err != nil {
		return errors.Join(err, r.close(ctx))
	}
	r.subscribed.Add(1)
	now := clock.Now()
	r.listened, r.beat, r.checked = now, now, now
	r.logger.Info("warmflags: listening for changes", "queue", q.url, "topic", r.settings.topic.String())
	r.invalidateAll(r.cause)
	return nil
}

// create creates a standard queue, encrypted by SQS. Its name is always new: SQS does not allow a name for a minute
// after its queue was removed, and two processes must never share a queue, because each message goes to one reader. The
// underscores distinguish the queue from queues of a CloudFormation stack, whose names have letters, digits and
// hyphens. CreateQueue sets the tags too, so that every queue has an owner.
func (r *run) create(ctx context.Context) (*queue, error) {
	name := queuePrefix(r.settings.topic) + strings.ToLower(rand.Text()) // at most 80 characters
	created := clock.Now()
	out, err := r.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: &name,
		Attributes: map[string]string{
			string(sqstypes.QueueAttributeNameMessageRetentionPeriod):        strconv.Itoa(int(retention.Seconds())),
			string(sqstypes.QueueAttributeNameReceiveMessageWaitTimeSeconds): strconv.Itoa(int(longPoll.Seconds())),
			string(sqstypes.QueueAttributeNameSqsManagedSseEnabled):          "true",
		},
		Tags: map[string]string{
			TagOwner:     tagValue(r.settings.queue.owner),
			TagHeartbeat: heartbeat(),
			TagTopic:     r.settings.topic.String(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create queue %q: %w", name, err)
	}
	return &queue{url: aws.ToString(out.QueueUrl), created: created}, nil
}

// queuePrefix returns the prefix of the names of a topic's queues. It has the first 40 characters of the topic's name.
func queuePrefix(topic arn.ARN) string {
	name := strings.TrimSuffix(topic.Resource, ".fifo")
	return "warmflags_" + name[:min(len(name), 40)] + "_"
}

// prepare sets the queue's policy, for which it first reads the queue's ARN.
func (r *run) prepare(ctx context.Context) error {
	q := r.queue
	var out *sqs.GetQueueAttributesOutput
	err := r.retryWhileNew(ctx, func() (err error) {
		out, err = r.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &q.url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("read the ARN of queue %q: %w", q.url, err)
	}
	q.arn = out.Attributes[string(sqstypes.QueueAttributeNameQueueArn)]
	if q.policy, err = queuePolicy(q.arn, r.settings.topic); err != nil {
		return err
	}
	err = r.retryWhileNew(ctx, func() error {
		_, err := r.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
			QueueUrl:   &q.url,
			Attributes: map[string]string{string(sqstypes.QueueAttributeNamePolicy): q.policy},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("set the policy of queue %q: %w", q.url, err)
	}
	q.prepared = clock.Now()
	return nil
}

// retryWhileNew repeats call every second while SQS does not find the new queue.
func (r *run) retryWhileNew(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !isQueueGone(err) || r.queue.created.Age(clock.Now()) >= newQueue || ctx.Err() != nil {
			return err
		}
		pause(ctx, time.Second)
	}
}

// rawDelivery is the only attribute that the subscription sets. With it, the body of an SQS message is the published
// message.
var rawDelivery = map[string]string{"RawMessageDelivery": "true"}

// subscribe subscribes the queue and returns the subscription's ARN. If the queue is already subscribed to the topic,
// SNS returns the existing ARN. A queue in the topic's account needs no confirmation.
func (r *run) subscribe(ctx context.Context) (subscriptionARN string, err error) {
	topic := r.settings.topic.String()
	out, err := r.sns.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn:              &topic,
		Protocol:              aws.String("sqs"),
		Endpoint:              &r.queue.arn,
		Attributes:            rawDelivery,
		ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", fmt.Errorf("subscribe queue %q to topic %q: %w", r.queue.arn, topic, err)
	}
	return aws.ToString(out.SubscriptionArn), nil
}

// close removes subscription and queue, even if ctx has ended. It is not an error if they do not exist. The
// subscription is removed first, so that SNS does not send to a missing queue. Afterwards r.queue is nil even after a
// failure; a [Reaper] finds what could not be removed.
func (r *run) close(ctx context.Context) error {
	q := r.queue
	r.queue = nil
	if q == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.settings.queue.cleanupTimeout)
	defer cancel()
	var errs []error
	if q.subscription != "" {
		_, err := r.sns.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &q.subscription})
		if err != nil && !isNotFound(err) {
			errs = append(errs, fmt.Errorf("remove subscription %q: %w", q.subscription, err))
		}
	}
	_, err := r.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &q.url})
	if err != nil && !isQueueGone(err) {
		errs = append(errs, fmt.Errorf("remove queue %q: %w", q.url, err))
	}
	return errors.Join(errs...)
}

// heartbeat returns the current value of the heartbeat tag. All of its characters are allowed in tags.
func heartbeat() string { return time.Now().UTC().Format(time.RFC3339) }

// tagValue makes s a valid tag value: at most 256 characters, all of them allowed by AWS, "Amazon SQS standard queue
// quotas".
func tagValue(s string) string {
	runes := []rune(strings.ToValidUTF8(s, "-"))
	for i, c := range runes {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune(" _.:/=+-@", c) {
			runes[i] = '-'
		}
	}
	return string(runes[:min(len(runes), 256)])
}

// isQueueGone reports whether err means that the queue does not exist.
func isQueueGone(err error) bool {
	var gone *sqstypes.QueueDoesNotExist
	return errors.As(err, &gone)
}

// isNotFound reports whether err means that the subscription, or the topic, does not exist.
func isNotFound(err error) bool {
	var gone *snstypes.NotFoundException
	return errors.As(err, &gone)
}
