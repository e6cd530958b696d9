package subscriber

import (
	"context"
	"crypto/rand"
	"encoding/json"
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
)

// Tags of every queue, from which [Reaper] knows those whose process is dead.
const (
	// TagOwner is the tag that says who made the queue, see [Owner].
	TagOwner = "warmflags:owner"
	// TagHeartbeat is the tag that says when the process last lived: RFC 3339, in UTC, renewed every hour.
	TagHeartbeat = "warmflags:heartbeat"
	// TagTopic is the tag with the ARN of the topic that the queue is subscribed to.
	TagTopic = "warmflags:topic"
)

// retention is how long a queue keeps a message that nobody reads. After that, the sink must look at everything.
const retention = time.Hour

// SQS is what [Queue] uses of *sqs.Client.
type SQS interface {
	CreateQueue(context.Context, *sqs.CreateQueueInput, ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error)
	DeleteQueue(context.Context, *sqs.DeleteQueueInput, ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	SetQueueAttributes(context.Context, *sqs.SetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error)
	TagQueue(context.Context, *sqs.TagQueueInput, ...func(*sqs.Options)) (*sqs.TagQueueOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// SNS is what [Queue] and [Endpoint] use of *sns.Client; Endpoint only ConfirmSubscription.
type SNS interface {
	Subscribe(context.Context, *sns.SubscribeInput, ...func(*sns.Options)) (*sns.SubscribeOutput, error)
	Unsubscribe(context.Context, *sns.UnsubscribeInput, ...func(*sns.Options)) (*sns.UnsubscribeOutput, error)
	GetSubscriptionAttributes(context.Context, *sns.GetSubscriptionAttributesInput, ...func(*sns.Options)) (*sns.GetSubscriptionAttributesOutput, error)
	ConfirmSubscription(context.Context, *sns.ConfirmSubscriptionInput, ...func(*sns.Options)) (*sns.ConfirmSubscriptionOutput, error)
}

// queue is a queue and its subscription.
type queue struct {
	url, arn string
	// subscription is its ARN; empty when there is none, which upkeep repairs.
	subscription string
	// made is when we asked for the queue. For newQueue after it, SQS may not know the queue yet.
	made time.Time
	// prepared is when its policy was set. For policyTime after it SNS may be refused, which then drops the message; settled
	// is set once that was made good.
	prepared time.Time
	settled  bool
}

// open makes queue and subscription, then invalidates everything: the sink may hold what changed before. It does
// not stop when ctx ends, because what is half made would be left behind; it has a time limit of its own. In this order: the
// policy before the subscription, or SNS could not deliver its first messages; the subscription before InvalidateAll,
// or what changes between the two would be lost. What it could not finish it removes.
func (r *run) open(ctx context.Context, why string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	q, err := r.create(ctx)
	if err != nil {
		return err
	}
	r.queue = q
	err = r.prepare(ctx)
	if err == nil {
		err = r.subscribe(ctx)
	}
	if err != nil {
		return errors.Join(err, r.close(ctx))
	}
	now := time.Now()
	r.listened, r.renewed = now, now
	r.logger.Info("warmflags: listening for changes", "queue", q.url, "topic", r.settings.topic.String())
	r.invalidateAll(why)
	return nil
}

// create makes a standard queue, encrypted by SQS, under a name that nobody else has: names cannot be used again for a
// minute after a removal, and two processes must never share a queue, as each message goes to one reader. The
// underscores keep it apart from a stack's own queues, which CloudFormation names with letters, digits and hyphens. The
// tags come with the queue, so that there is never one without an owner.
func (r *run) create(ctx context.Context) (*queue, error) {
	name := queuePrefix(r.settings.topic) + strings.ToLower(rand.Text()) // at most 80 long
	made := time.Now()
	out, err := r.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: &name,
		Attributes: map[string]string{
			string(sqstypes.QueueAttributeNameMessageRetentionPeriod):        strconv.Itoa(int(retention.Seconds())),
			string(sqstypes.QueueAttributeNameReceiveMessageWaitTimeSeconds): strconv.Itoa(int(longPoll.Seconds())),
			string(sqstypes.QueueAttributeNameSqsManagedSseEnabled):          "true",
		},
		Tags: map[string]string{
			TagOwner:     tagValue(r.settings.owner),
			TagHeartbeat: heartbeat(made),
			TagTopic:     r.settings.topic.String(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make queue %q: %w", name, err)
	}
	return &queue{url: aws.ToString(out.QueueUrl), made: made}, nil
}

// queuePrefix begins the names of a topic's queues. Of a long topic's name only the beginning is in it.
func queuePrefix(topic arn.ARN) string {
	name := strings.TrimSuffix(topic.Resource, ".fifo")
	return "warmflags_" + name[:min(len(name), 40)] + "_"
}

// prepare sets the policy, which needs the queue's ARN. A queue that was just made may not be known yet.
func (r *run) prepare(ctx context.Context) error {
	q := r.queue
	var out *sqs.GetQueueAttributesOutput
	err := r.whenKnown(ctx, func() (err error) {
		out, err = r.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &q.url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for the ARN of queue %q: %w", q.url, err)
	}
	q.arn = out.Attributes[string(sqstypes.QueueAttributeNameQueueArn)]
	policy := queuePolicy(q.arn, r.settings.topic.String())
	err = r.whenKnown(ctx, func() error {
		_, err := r.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
			QueueUrl:   &q.url,
			Attributes: map[string]string{string(sqstypes.QueueAttributeNamePolicy): policy},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("set the policy of queue %q: %w", q.url, err)
	}
	q.prepared = time.Now()
	return nil
}

// whenKnown repeats call, every second, as long as SQS does not know a queue that is new.
func (r *run) whenKnown(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !isQueueGone(err) || since(r.queue.made) >= newQueue || ctx.Err() != nil {
			return err
		}
		pause(ctx, time.Second)
	}
}

// subscribe asks for raw delivery: the body of an SQS message is then the published message. A queue in the topic's account
// needs no confirmation.
func (r *run) subscribe(ctx context.Context) error {
	topic := r.settings.topic.String()
	out, err := r.sns.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn:              &topic,
		Protocol:              aws.String("sqs"),
		Endpoint:              &r.queue.arn,
		Attributes:            map[string]string{"RawMessageDelivery": "true"},
		ReturnSubscriptionArn: true,
	})
	if err != nil {
		return fmt.Errorf("subscribe queue %q to topic %q: %w", r.queue.arn, topic, err)
	}
	r.queue.subscription = aws.ToString(out.SubscriptionArn)
	r.looked = time.Now()
	r.subscribed.Add(1)
	return nil
}

// upkeep renews the heartbeat, and the subscription when it is gone. Only the latter can fail: a heartbeat that is late is
// logged, and tried again after an hour. Like open, it does not stop when ctx ends.
func (r *run) upkeep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if since(r.renewed) >= renewEvery {
		r.renewed = time.Now()
		_, err := r.sqs.TagQueue(ctx, &sqs.TagQueueInput{
			QueueUrl: &r.queue.url, Tags: map[string]string{TagHeartbeat: heartbeat(r.renewed)},
		})
		if err != nil {
			r.failed("renew the queue's heartbeat tag", err)
		}
	}
	if r.isSubscribed(ctx) {
		return nil
	}
	r.queue.subscription = "" // remembered until subscribe succeeds
	if err := r.subscribe(ctx); err != nil {
		return err
	}
	r.invalidateAll("the subscription was gone")
	return nil
}

// isSubscribed looks, now and then. Only SNS's word that the subscription is gone counts: another error, such as a
// permission that we do not have, says nothing about it.
func (r *run) isSubscribed(ctx context.Context) bool {
	if r.queue.subscription == "" {
		return false
	}
	if since(r.looked) < lookEvery {
		return true
	}
	r.looked = time.Now()
	_, err := r.sns.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &r.queue.subscription})
	if err != nil && !isSubscriptionGone(err) {
		r.failed("look at the subscription", err)
	}
	return !isSubscriptionGone(err)
}

// close removes subscription and queue, even when ctx has ended. What is already gone is no error. The subscription goes
// first, so that SNS does not send to a queue that is not there. After it there is no queue, whatever failed: what could
// not be removed is left to a [Reaper], by its tags.
func (r *run) close(ctx context.Context) error {
	q := r.queue
	r.queue = nil
	if q == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.settings.cleanupTimeout)
	defer cancel()
	var errs []error
	if q.subscription != "" {
		_, err := r.sns.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &q.subscription})
		if err != nil && !isSubscriptionGone(err) {
			errs = append(errs, fmt.Errorf("remove subscription %q: %w", q.subscription, err))
		}
	}
	_, err := r.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &q.url})
	if err != nil && !isQueueGone(err) {
		errs = append(errs, fmt.Errorf("remove queue %q: %w", q.url, err))
	}
	return errors.Join(errs...)
}

// queuePolicy lets the topic, and nothing else, send to the queue, and refuses plain HTTP. The two refusals are
// Deny statements, so that no identity's own permissions get around them. See AWS, "Amazon SQS security best
// practices" and "Subscribing an Amazon SQS queue to an Amazon SNS topic".
func queuePolicy(queueARN, topicARN string) string {
	type object = map[string]any
	b, err := json.Marshal(object{"Version": "2012-10-17", "Statement": []object{{
		"Sid": "TopicSends", "Effect": "Allow", "Principal": object{"Service": "sns.amazonaws.com"},
		"Action": "sqs:SendMessage", "Resource": queueARN,
		"Condition": object{"ArnEquals": object{"aws:SourceArn": topicARN}},
	}, {
		"Sid": "NobodyElseSends", "Effect": "Deny", "Principal": "*",
		"Action": "sqs:SendMessage", "Resource": queueARN,
		"Condition": object{"ArnNotEquals": object{"aws:SourceArn": topicARN}},
	}, {
		"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*",
		"Action": "sqs:*", "Resource": queueARN,
		"Condition": object{"Bool": object{"aws:SecureTransport": "false"}},
	}}})
	if err != nil {
		panic(err) // strings in maps always have a JSON
	}
	return string(b)
}

// heartbeat is the tag's value. Its characters are all allowed in tags.
func heartbeat(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// tagValue makes s fit for a tag: at most 256 of the characters in AWS's "Amazon SQS standard queue quotas".
func tagValue(s string) string {
	runes := []rune(strings.ToValidUTF8(s, "-"))
	for i, c := range runes {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune(" _.:/=+-@", c) {
			runes[i] = '-'
		}
	}
	return string(runes[:min(len(runes), 256)])
}

// isQueueGone and isSubscriptionGone know AWS's two words for "there is none"; errors from clients wrap them.
func isQueueGone(err error) bool {
	var gone *sqstypes.QueueDoesNotExist
	return errors.As(err, &gone)
}

func isSubscriptionGone(err error) bool {
	var gone *snstypes.NotFoundException
	return errors.As(err, &gone)
}
