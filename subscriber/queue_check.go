package subscriber

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/warmflags/warmflags/internal/clock"
)

// writeHeartbeat writes the heartbeat tag if it is due. It logs a failure and retries after heartbeatEvery.
func (r *run) writeHeartbeat(ctx context.Context) {
	now := clock.Now()
	if r.beat.Age(now) < heartbeatEvery {
		return
	}
	r.beat = now
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := r.sqs.TagQueue(ctx, &sqs.TagQueueInput{
		QueueUrl: &r.queue.url, Tags: map[string]string{TagHeartbeat: heartbeat()},
	})
	if err != nil && ctx.Err() == nil {
		r.failed("write the queue's heartbeat tag", err)
	}
}

// abandon removes a queue to which not all messages are delivered. The next turn creates a new one and invalidates
// everything.
func (r *run) abandon(ctx context.Context, cause string) {
	n := r.lost.Add(1)
	r.cause = cause
	r.log(slog.LevelWarn, "warmflags: messages may be lost; creating a new queue", cause,
		"queue", r.queue.url, "lost", n)
	if err := r.close(ctx); err != nil {
		r.failed("remove the old queue", err)
	}
}

// check is done every checkEvery. It compares what delivery depends on with what open created, and returns the
// difference, or "". A failed call, for example without permission, is not a difference; it is counted and logged. Like
// open, check does not stop when ctx ends, because it may create a subscription.
func (r *run) check(ctx context.Context) (difference string) {
	now := clock.Now()
	if r.checked.Age(now) < checkEvery {
		return ""
	}
	r.checked = now
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	checks := []func(context.Context) (string, error){r.comparePolicy, r.compareAttributes, r.compareTopic}
	for _, compare := range checks {
		difference, err := compare(ctx)
		if err != nil {
			r.failed("check the delivery", err)
		}
		if difference != "" {
			return difference
		}
	}
	return ""
}

// comparePolicy compares the queue's policy with the one that prepare set.
func (r *run) comparePolicy(ctx context.Context) (difference string, err error) {
	name := sqstypes.QueueAttributeNamePolicy
	out, err := r.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &r.queue.url, AttributeNames: []sqstypes.QueueAttributeName{name},
	})
	switch {
	case isQueueGone(err):
		return errGone.Error(), nil
	case err != nil:
		return "", fmt.Errorf("read the policy of queue %q: %w", r.queue.url, err)
	case !samePolicy(out.Attributes[string(name)], r.queue.policy):
		return "the queue's policy was changed", nil
	}
	return "", nil
}

// compareAttributes compares the subscription's attributes with those that subscribe set.
func (r *run) compareAttributes(ctx context.Context) (difference string, err error) {
	out, err := r.sns.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{
		SubscriptionArn: &r.queue.subscription,
	})
	if isNotFound(err) {
		return "the subscription does not exist", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the attributes of subscription %q: %w", r.queue.subscription, err)
	}
	for _, a := range []struct{ name, want string }{
		{"TopicArn", r.settings.topic.String()}, {"Protocol", "sqs"}, {"Endpoint", r.queue.arn},
		{"PendingConfirmation", "false"}, {"RawMessageDelivery", "true"}, {"FilterPolicy", ""},
	} {
		if have := out.Attributes[a.name]; have != a.want {
			return fmt.Sprintf("the subscription's %s is %q instead of %q", a.name, have, a.want), nil
		}
	}
	return "", nil
}

// compareTopic reports whether the topic still has the subscription. A topic that was deleted and created again has the
// same ARN but no subscriptions, and SNS still returns the attributes of the old subscriptions for a while. So
// compareTopic subscribes again: if the subscription exists, SNS returns its ARN. Otherwise SNS creates a new one,
// which replaces the old one in r.queue, so that it is removed with the queue.
func (r *run) compareTopic(ctx context.Context) (difference string, err error) {
	subscription, err := r.subscribe(ctx)
	var conflict *snstypes.InvalidParameterException
	switch {
	case isNotFound(err):
		return "the topic does not exist", nil
	case errors.As(err, &conflict):
		return "the subscription's attributes were changed", nil
	case err != nil:
		return "", err
	case subscription != r.queue.subscription:
		r.queue.subscription = subscription
		return "the topic was deleted and created again", nil
	}
	return "", nil
}
