package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// SNS has the methods of *sns.Client that are listed here, as AWS documents them, on standard topics in memory, with
// sqs, http and https subscriptions. Options are ignored.
//
// A queue has its message when Publish returns; the queue's policy must allow it, as in AWS. HTTP endpoints get theirs
// later, signed, from goroutines that [Cloud.Close] ends.
type SNS struct {
	// HTTP makes the requests to endpoints. [New] sets a client with SNS's time-out of 15 seconds, which follows no
	// redirect; another one can be set before the account is used.
	HTTP *http.Client

	cloud *Cloud

	mu            sync.Mutex // guards what follows
	topics        map[string]*topic
	subscriptions map[string]*subscription
	undelivered   int
}

// topic is guarded by SNS.mu.
type topic struct {
	arn           string
	attributes    map[string]string
	subscriptions []*subscription
}

// subscription is guarded by SNS.mu.
type subscription struct {
	arn, protocol, endpoint string
	topic                   *topic
	attributes              map[string]string
	confirmed               bool
	token                   string    // of the latest confirmation that was asked for
	asked                   time.Time // when
}

const tokenValidity = 2 * 24 * time.Hour

func snsCall[I, O any](ctx context.Context, s *SNS, operation string, in *I, do func(*I) (*O, error)) (*O, error) {
	return call(ctx, s.cloud, "SNS", operation, in, func(in *I) (*O, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return do(in)
	})
}

func invalidParameter(format string, args ...any) error {
	return &types.InvalidParameterException{Message: aws.String("Invalid parameter: " + fmt.Sprintf(format, args...))}
}

func (s *SNS) topic(arn *string) (*topic, error) {
	if t := s.topics[aws.ToString(arn)]; t != nil {
		return t, nil
	}
	return nil, &types.NotFoundException{Message: aws.String("Topic does not exist")}
}

func (s *SNS) subscription(arn *string) (*subscription, error) {
	if sub := s.subscriptions[aws.ToString(arn)]; sub != nil {
		return sub, nil
	}
	return nil, &types.NotFoundException{Message: aws.String("Subscription does not exist")}
}

// CreateTopic makes a standard topic, or returns the one that is there. The attribute SignatureVersion ("1" or "2")
// says how HTTP messages are signed; here its default is "2", in AWS "1".
func (s *SNS) CreateTopic(ctx context.Context, in *sns.CreateTopicInput, _ ...func(*sns.Options)) (*sns.CreateTopicOutput, error) {
	return snsCall(ctx, s, "CreateTopic", in, func(in *sns.CreateTopicInput) (*sns.CreateTopicOutput, error) {
		name := aws.ToString(in.Name)
		if strings.HasSuffix(name, ".fifo") || in.Attributes["FifoTopic"] == "true" {
			return nil, unsupported("FIFO topics")
		}
		if !validName(name, 1, 256, "-_") {
			return nil, invalidParameter("Topic Name")
		}
		attributes := map[string]string{"SignatureVersion": "2"}
		maps.Copy(attributes, in.Attributes)
		if v := attributes["SignatureVersion"]; v != "1" && v != "2" {
			return nil, invalidParameter("Attributes Reason: SignatureVersion %q: it is 1 or 2", v)
		}
		arn := fmt.Sprintf("arn:aws:sns:%s:%s:%s", region, accountID, name)
		if t := s.topics[arn]; t == nil {
			s.topics[arn] = &topic{arn: arn, attributes: attributes}
		} else if len(in.Attributes) > 0 && !maps.Equal(t.attributes, attributes) {
			return nil, invalidParameter("Attributes Reason: Topic already exists with different attributes")
		}
		return &sns.CreateTopicOutput{TopicArn: aws.String(arn)}, nil
	})
}

// DeleteTopic deletes a topic and its subscriptions; one that does not exist is no error.
func (s *SNS) DeleteTopic(ctx context.Context, in *sns.DeleteTopicInput, _ ...func(*sns.Options)) (*sns.DeleteTopicOutput, error) {
	return snsCall(ctx, s, "DeleteTopic", in, func(in *sns.DeleteTopicInput) (*sns.DeleteTopicOutput, error) {
		if t := s.topics[aws.ToString(in.TopicArn)]; t != nil {
			delete(s.topics, t.arn)
			maps.DeleteFunc(s.subscriptions, func(_ string, sub *subscription) bool { return sub.topic == t })
		}
		return &sns.DeleteTopicOutput{}, nil
	})
}

// Subscribe subscribes a queue, by its ARN, at once, or an HTTP endpoint once it has confirmed. What is subscribed
// already is returned; where it is not confirmed yet, it is asked again.
func (s *SNS) Subscribe(ctx context.Context, in *sns.SubscribeInput, _ ...func(*sns.Options)) (*sns.SubscribeOutput, error) {
	return snsCall(ctx, s, "Subscribe", in, func(in *sns.SubscribeInput) (*sns.SubscribeOutput, error) {
		t, err := s.topic(in.TopicArn)
		if err != nil {
			return nil, err
		}
		protocol, endpoint := aws.ToString(in.Protocol), aws.ToString(in.Endpoint)
		if err := checkEndpoint(protocol, endpoint); err != nil {
			return nil, err
		}
		attributes := map[string]string{"RawMessageDelivery": "false"}
		for name, v := range in.Attributes {
			if err := setSubscription(attributes, name, v); err != nil {
				return nil, err
			}
		}
		i := slices.IndexFunc(t.subscriptions, func(o *subscription) bool { return o.protocol == protocol && o.endpoint == endpoint })
		var sub *subscription
		if i >= 0 {
			if sub = t.subscriptions[i]; len(in.Attributes) > 0 && !maps.Equal(sub.attributes, attributes) {
				return nil, invalidParameter("Attributes Reason: Subscription already exists with different attributes")
			}
		} else {
			sub = &subscription{arn: t.arn + ":" + newID(), protocol: protocol, endpoint: endpoint, topic: t, attributes: attributes, confirmed: protocol == "sqs"}
			t.subscriptions = append(t.subscriptions, sub)
			s.subscriptions[sub.arn] = sub
		}
		arn := sub.arn
		if !sub.confirmed {
			s.ask(sub)
			if !in.ReturnSubscriptionArn {
				arn = "pending confirmation"
			}
		}
		return &sns.SubscribeOutput{SubscriptionArn: aws.String(arn)}, nil
	})
}

func checkEndpoint(protocol, endpoint string) error {
	prefixes := map[string]string{"sqs": "arn:aws:sqs:", "http": "http://", "https": "https://"}
	prefix, ok := prefixes[protocol]
	switch {
	case !ok:
		return invalidParameter("Amazon SNS does not support this protocol string: %s (localaws has sqs, http and https)", protocol)
	case !strings.HasPrefix(endpoint, prefix):
		return invalidParameter("%s endpoint: it must begin with %s", strings.ToUpper(protocol), prefix)
	}
	return nil
}

// setSubscription checks and sets one attribute.
func setSubscription(attributes map[string]string, name, v string) error {
	switch name {
	case "RawMessageDelivery":
		if v != "true" && v != "false" {
			return invalidParameter("Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", v)
		}
	case "DeliveryPolicy":
		if _, err := parseDeliveryPolicy(v); err != nil {
			return invalidParameter("Attributes Reason: DeliveryPolicy: %v", err)
		}
	case "FilterPolicy", "FilterPolicyScope", "RedrivePolicy", "SubscriptionRoleArn", "ReplayPolicy":
		return unsupported("subscription attribute " + name)
	default:
		return invalidParameter("AttributeName")
	}
	attributes[name] = v
	return nil
}

// ConfirmSubscription confirms an HTTP subscription with the token that its endpoint was sent.
func (s *SNS) ConfirmSubscription(ctx context.Context, in *sns.ConfirmSubscriptionInput, _ ...func(*sns.Options)) (*sns.ConfirmSubscriptionOutput, error) {
	return snsCall(ctx, s, "ConfirmSubscription", in, func(in *sns.ConfirmSubscriptionInput) (*sns.ConfirmSubscriptionOutput, error) {
		t, err := s.topic(in.TopicArn)
		if err != nil {
			return nil, err
		}
		for _, sub := range t.subscriptions {
			if sub.token != "" && sub.token == aws.ToString(in.Token) && time.Since(sub.asked) <= tokenValidity {
				sub.confirmed = true
				return &sns.ConfirmSubscriptionOutput{SubscriptionArn: aws.String(sub.arn)}, nil
			}
		}
		return nil, invalidParameter("Token")
	})
}

// Unsubscribe ends a subscription; one that does not exist is no error.
func (s *SNS) Unsubscribe(ctx context.Context, in *sns.UnsubscribeInput, _ ...func(*sns.Options)) (*sns.UnsubscribeOutput, error) {
	return snsCall(ctx, s, "Unsubscribe", in, func(in *sns.UnsubscribeInput) (*sns.UnsubscribeOutput, error) {
		if !strings.HasPrefix(aws.ToString(in.SubscriptionArn), "arn:aws:sns:") {
			return nil, invalidParameter("SubscriptionArn Reason: An ARN must have at least 6 elements")
		}
		if sub := s.subscriptions[*in.SubscriptionArn]; sub != nil {
			delete(s.subscriptions, sub.arn)
			sub.topic.subscriptions = slices.DeleteFunc(sub.topic.subscriptions, func(o *subscription) bool { return o == sub })
		}
		return &sns.UnsubscribeOutput{}, nil
	})
}

// ListSubscriptionsByTopic lists a topic's subscriptions, 100 at a time.
func (s *SNS) ListSubscriptionsByTopic(ctx context.Context, in *sns.ListSubscriptionsByTopicInput, _ ...func(*sns.Options)) (*sns.ListSubscriptionsByTopicOutput, error) {
	return snsCall(ctx, s, "ListSubscriptionsByTopic", in, func(in *sns.ListSubscriptionsByTopicInput) (*sns.ListSubscriptionsByTopicOutput, error) {
		t, err := s.topic(in.TopicArn)
		if err != nil {
			return nil, err
		}
		from := 0
		if in.NextToken != nil {
			from = 1 + slices.IndexFunc(t.subscriptions, func(o *subscription) bool { return o.arn == *in.NextToken })
		}
		out := &sns.ListSubscriptionsByTopicOutput{Subscriptions: []types.Subscription{}}
		for i, sub := range t.subscriptions[from:] {
			if i == 100 {
				out.NextToken = aws.String(t.subscriptions[from+i-1].arn)
				break
			}
			arn := sub.arn
			if !sub.confirmed {
				arn = "PendingConfirmation"
			}
			out.Subscriptions = append(out.Subscriptions, types.Subscription{
				SubscriptionArn: aws.String(arn), TopicArn: aws.String(t.arn), Protocol: aws.String(sub.protocol), Endpoint: aws.String(sub.endpoint), Owner: aws.String(accountID),
			})
		}
		return out, nil
	})
}

// GetSubscriptionAttributes describes a subscription.
func (s *SNS) GetSubscriptionAttributes(ctx context.Context, in *sns.GetSubscriptionAttributesInput, _ ...func(*sns.Options)) (*sns.GetSubscriptionAttributesOutput, error) {
	return snsCall(ctx, s, "GetSubscriptionAttributes", in, func(in *sns.GetSubscriptionAttributesInput) (*sns.GetSubscriptionAttributesOutput, error) {
		sub, err := s.subscription(in.SubscriptionArn)
		if err != nil {
			return nil, err
		}
		attributes := maps.Clone(sub.attributes)
		maps.Copy(attributes, map[string]string{
			"SubscriptionArn": sub.arn, "TopicArn": sub.topic.arn, "Protocol": sub.protocol, "Endpoint": sub.endpoint, "Owner": accountID,
			"PendingConfirmation": fmt.Sprint(!sub.confirmed), "ConfirmationWasAuthenticated": fmt.Sprint(sub.protocol == "sqs"),
		})
		return &sns.GetSubscriptionAttributesOutput{Attributes: attributes}, nil
	})
}

// SetSubscriptionAttributes sets one attribute.
func (s *SNS) SetSubscriptionAttributes(ctx context.Context, in *sns.SetSubscriptionAttributesInput, _ ...func(*sns.Options)) (*sns.SetSubscriptionAttributesOutput, error) {
	return snsCall(ctx, s, "SetSubscriptionAttributes", in, func(in *sns.SetSubscriptionAttributesInput) (*sns.SetSubscriptionAttributesOutput, error) {
		sub, err := s.subscription(in.SubscriptionArn)
		if err == nil {
			err = setSubscription(sub.attributes, aws.ToString(in.AttributeName), aws.ToString(in.AttributeValue))
		}
		if err != nil {
			return nil, err
		}
		return &sns.SetSubscriptionAttributesOutput{}, nil
	})
}

// deliveryPolicy is when a request that failed is made again
// (https://docs.aws.amazon.com/sns/latest/dg/creating-delivery-policy.html). Only constant delays are supported.
type deliveryPolicy struct {
	Healthy struct {
		Delay   int `json:"minDelayTarget"` // seconds
		Longest int `json:"maxDelayTarget"`
		Retries int `json:"numRetries"`
	} `json:"healthyRetryPolicy"`
}

func parseDeliveryPolicy(text string) (deliveryPolicy, error) {
	var p deliveryPolicy
	p.Healthy.Delay, p.Healthy.Longest, p.Healthy.Retries = 20, 20, 3 // SNS's default
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("parse: %w", err)
	}
	if h := p.Healthy; h.Delay < 1 || h.Delay > h.Longest || h.Longest > 3600 || h.Retries < 0 || h.Retries > 100 {
		return p, fmt.Errorf("want 1 <= minDelayTarget <= maxDelayTarget <= 3600 and 0 <= numRetries <= 100: %s", text)
	}
	return p, nil
}
