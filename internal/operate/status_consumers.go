package operate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/warmflags/warmflags/subscriber"
)

// maxConsumers is how many queues are read at the same time.
const maxConsumers = 8

// Consumers are the subscriptions of the topic. Processes that poll the journal have none.
type Consumers struct {
	NotKnown string     `json:"not_known,omitempty"`
	List     []Consumer `json:"list"`
}

// Consumer is one subscription.
type Consumer struct {
	NotKnown string `json:"not_known,omitempty"`
	Protocol string `json:"protocol"` // SNS's, such as sqs or https
	Endpoint string `json:"endpoint"`
	// Owner and Heartbeat are of a subscriber.Queue's tags.
	Owner     string     `json:"owner,omitempty"`
	Heartbeat *time.Time `json:"heartbeat,omitempty"`
	// Orphaned says why nothing reads what is delivered: the queue is gone, or its process. Empty: it is read, as far
	// as is known.
	Orphaned string `json:"orphaned,omitempty"`
	// Pending is true if the subscription is not confirmed.
	Pending bool `json:"pending,omitempty"`
}

// consumers reads the subscriptions, and the tags of the queues that subscriber.Queue made.
func (r *reading) consumers(ctx context.Context) error {
	topic, err := arn.Parse(r.stack.TopicARN)
	if err != nil {
		return err
	}
	c := &r.report.Consumers
	pages := sns.NewListSubscriptionsByTopicPaginator(
		r.SNS,
		&sns.ListSubscriptionsByTopicInput{TopicArn: &r.stack.TopicARN},
	)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, s := range page.Subscriptions {
			if aws.ToString(s.SubscriptionArn) != "Deleted" {
				c.List = append(c.List, consumer(s))
			}
		}
	}
	slices.SortFunc(c.List, func(a, b Consumer) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	var group errgroup.Group
	group.SetLimit(maxConsumers)
	for i := range c.List {
		one := &c.List[i]
		queue, err := arn.Parse(one.Endpoint)
		if err != nil || queue.Service != "sqs" || queue.Region != topic.Region || queue.AccountID != topic.AccountID ||
			!strings.HasPrefix(queue.Resource, "warmflags_") {
			continue // another region's, another account's, or another program's
		}
		group.Go(func() error {
			if err := r.tags(ctx, queue.Resource, one); err != nil {
				one.NotKnown = r.why(err)
			}
			return nil
		})
	}
	return group.Wait()
}

func consumer(s snstypes.Subscription) Consumer {
	return Consumer{
		Protocol: aws.ToString(s.Protocol), Endpoint: aws.ToString(s.Endpoint),
		Pending: aws.ToString(s.SubscriptionArn) == "PendingConfirmation",
	}
}

// tags reads who made a queue, and when it was last alive.
func (r *reading) tags(ctx context.Context, queue string, c *Consumer) error {
	url, err := r.SQS.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &queue})
	var gone *sqstypes.QueueDoesNotExist
	if errors.As(err, &gone) {
		c.Orphaned = "the queue does not exist"
		return nil
	}
	if err != nil {
		return err
	}
	out, err := r.SQS.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: url.QueueUrl})
	if err != nil {
		return err
	}
	c.Owner = out.Tags[subscriber.TagOwner]
	beat, err := time.Parse(time.RFC3339, out.Tags[subscriber.TagHeartbeat])
	if err != nil {
		return errors.New("the queue has no tag " + subscriber.TagHeartbeat)
	}
	c.Heartbeat = at(beat)
	if r.now.Sub(beat) >= subscriber.DefaultOrphanAfter {
		c.Orphaned = "its process has not been alive for a day"
	}
	return nil
}
