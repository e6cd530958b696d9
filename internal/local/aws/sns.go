package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// SNS has the methods of *sns.Client that warmflags calls, on standard topics in memory, with raw delivery to queues.
// The methods ignore their options.
//
// When Publish returns, the subscribed queues have the message. Queue policies are not evaluated.
type SNS struct {
	cloud *Cloud

	mu            sync.Mutex // guards the fields below
	topics        map[string]*topic
	subscriptions map[string]*subscription
}

// topic is a topic. SNS.mu guards it.
type topic struct {
	arn           string
	subscriptions []*subscription
}

// subscription is a subscription. It does not change.
type subscription struct {
	arn, endpoint string // endpoint is the queue's ARN
	topic         *topic
}

func snsCall[I, O any](ctx context.Context, s *SNS, operation string, in *I, do func(*I) (*O, error)) (*O, error) {
	return call(ctx, s.cloud, "SNS", operation, in, func(in *I) (*O, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return do(in)
	})
}

func invalidParameter(text string) error {
	return &types.InvalidParameterException{Message: aws.String("Invalid parameter: " + text)}
}

// topic returns a topic by its ARN. The caller must hold mu.
func (s *SNS) topic(arn *string) (*topic, error) {
	if t := s.topics[aws.ToString(arn)]; t != nil {
		return t, nil
	}
	return nil, &types.NotFoundException{Message: aws.String("Topic does not exist")}
}

// CreateTopic creates a topic, or returns the existing one with that name.
func (s *SNS) CreateTopic(ctx context.Context, in *sns.CreateTopicInput,
	_ ...func(*sns.Options)) (*sns.CreateTopicOutput, error) {
	return snsCall(ctx, s, "CreateTopic", in, func(in *sns.CreateTopicInput) (*sns.CreateTopicOutput, error) {
		name := aws.ToString(in.Name)
		if !validName(name, 1, 256, "-_") {
			return nil, invalidParameter("Topic Name")
		}
		arn := fmt.Sprintf("arn:aws:sns:%s:%s:%s", region, accountID, name)
		if s.topics[arn] == nil {
			s.topics[arn] = &topic{arn: arn}
		}
		return &sns.CreateTopicOutput{TopicArn: &arn}, nil
	})
}

// DeleteTopic deletes a topic and its subscriptions. It returns no error if the topic does not exist.
func (s *SNS) DeleteTopic(ctx context.Context, in *sns.DeleteTopicInput,
	_ ...func(*sns.Options)) (*sns.DeleteTopicOutput, error) {
	return snsCall(ctx, s, "DeleteTopic", in, func(in *sns.DeleteTopicInput) (*sns.DeleteTopicOutput, error) {
		if t := s.topics[aws.ToString(in.TopicArn)]; t != nil {
			delete(s.topics, t.arn)
			maps.DeleteFunc(s.subscriptions, func(_ string, sub *subscription) bool { return sub.topic == t })
		}
		return &sns.DeleteTopicOutput{}, nil
	})
}

// Subscribe subscribes a queue by its ARN, or returns the existing subscription.
func (s *SNS) Subscribe(ctx context.Context, in *sns.SubscribeInput,
	_ ...func(*sns.Options)) (*sns.SubscribeOutput, error) {
	return snsCall(ctx, s, "Subscribe", in, func(in *sns.SubscribeInput) (*sns.SubscribeOutput, error) {
		t, err := s.topic(in.TopicArn)
		if err != nil {
			return nil, err
		}
		if aws.ToString(in.Protocol) != "sqs" || len(in.Attributes) != 1 ||
			in.Attributes["RawMessageDelivery"] != "true" {
			return nil, unsupported("subscriptions other than raw delivery to a queue")
		}
		endpoint := aws.ToString(in.Endpoint)
		if !strings.HasPrefix(endpoint, "arn:aws:sqs:") {
			return nil, invalidParameter("SQS endpoint ARN")
		}
		i := slices.IndexFunc(t.subscriptions, func(other *subscription) bool { return other.endpoint == endpoint })
		if i >= 0 {
			return &sns.SubscribeOutput{SubscriptionArn: &t.subscriptions[i].arn}, nil
		}
		sub := &subscription{arn: t.arn + ":" + newID(), endpoint: endpoint, topic: t}
		t.subscriptions = append(t.subscriptions, sub)
		s.subscriptions[sub.arn] = sub
		return &sns.SubscribeOutput{SubscriptionArn: &sub.arn}, nil
	})
}

// ConfirmSubscription returns an error: subscriptions of queues need no confirmation.
func (s *SNS) ConfirmSubscription(ctx context.Context, in *sns.ConfirmSubscriptionInput,
	_ ...func(*sns.Options)) (*sns.ConfirmSubscriptionOutput, error) {
	return snsCall(ctx, s, "ConfirmSubscription", in,
		func(*sns.ConfirmSubscriptionInput) (*sns.ConfirmSubscriptionOutput, error) {
			return nil, unsupported("subscriptions that must be confirmed")
		})
}

// Unsubscribe ends a subscription. It returns no error if the subscription does not exist.
func (s *SNS) Unsubscribe(ctx context.Context, in *sns.UnsubscribeInput,
	_ ...func(*sns.Options)) (*sns.UnsubscribeOutput, error) {
	return snsCall(ctx, s, "Unsubscribe", in, func(in *sns.UnsubscribeInput) (*sns.UnsubscribeOutput, error) {
		if sub := s.subscriptions[aws.ToString(in.SubscriptionArn)]; sub != nil {
			delete(s.subscriptions, sub.arn)
			sub.topic.subscriptions = slices.DeleteFunc(sub.topic.subscriptions,
				func(other *subscription) bool { return other == sub })
		}
		return &sns.UnsubscribeOutput{}, nil
	})
}

// ListSubscriptionsByTopic lists a topic's subscriptions, all in one page.
func (s *SNS) ListSubscriptionsByTopic(ctx context.Context, in *sns.ListSubscriptionsByTopicInput,
	_ ...func(*sns.Options)) (*sns.ListSubscriptionsByTopicOutput, error) {
	return snsCall(ctx, s, "ListSubscriptionsByTopic", in,
		func(in *sns.ListSubscriptionsByTopicInput) (*sns.ListSubscriptionsByTopicOutput, error) {
			t, err := s.topic(in.TopicArn)
			if err != nil {
				return nil, err
			}
			out := &sns.ListSubscriptionsByTopicOutput{Subscriptions: []types.Subscription{}}
			for _, sub := range t.subscriptions {
				out.Subscriptions = append(out.Subscriptions, types.Subscription{
					SubscriptionArn: &sub.arn, TopicArn: &t.arn, Protocol: aws.String("sqs"), Endpoint: &sub.endpoint,
					Owner: aws.String(accountID),
				})
			}
			return out, nil
		})
}

// GetSubscriptionAttributes describes a subscription.
func (s *SNS) GetSubscriptionAttributes(ctx context.Context, in *sns.GetSubscriptionAttributesInput,
	_ ...func(*sns.Options)) (*sns.GetSubscriptionAttributesOutput, error) {
	return snsCall(ctx, s, "GetSubscriptionAttributes", in,
		func(in *sns.GetSubscriptionAttributesInput) (*sns.GetSubscriptionAttributesOutput, error) {
			sub := s.subscriptions[aws.ToString(in.SubscriptionArn)]
			if sub == nil {
				return nil, &types.NotFoundException{Message: aws.String("Subscription does not exist")}
			}
			return &sns.GetSubscriptionAttributesOutput{Attributes: map[string]string{
				"RawMessageDelivery": "true", "PendingConfirmation": "false",
				"SubscriptionArn": sub.arn, "TopicArn": sub.topic.arn, "Protocol": "sqs", "Endpoint": sub.endpoint,
				"Owner": accountID,
			}}, nil
		})
}
