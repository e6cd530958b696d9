package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// SQS has the methods of *sqs.Client that warmflags calls, on queues in memory. Effects that are eventually
// consistent in AWS (a deletion, a count) are immediate. The methods ignore their options.
type SQS struct {
	cloud *Cloud

	mu      sync.Mutex // guards the queues and their messages
	queues  map[string]*queue
	deleted map[string]time.Time // when queues of a name were deleted
}

func sqsCall[I, O any](ctx context.Context, s *SQS, operation string, in *I, do func(*I) (*O, error)) (*O, error) {
	return call(ctx, s.cloud, "SQS", operation, in, func(in *I) (*O, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return do(in)
	})
}

func invalidValue(format string, args ...any) error {
	return apiError("InvalidParameterValue", fmt.Sprintf(format, args...))
}

// queue returns a queue by its URL. The caller must hold mu.
func (s *SQS) queue(url *string) (*queue, error) {
	for _, q := range s.queues {
		if q.url == aws.ToString(url) {
			return q, nil
		}
	}
	return nil, noQueue()
}

func noQueue() error {
	return &types.QueueDoesNotExist{
		Message:           aws.String("The specified queue does not exist."),
		ErrorCodeOverride: aws.String("AWS.SimpleQueueService.NonExistentQueue"),
	}
}

// byARN returns a queue by its ARN, or nil. The caller must hold mu.
func (s *SQS) byARN(arn string) *queue {
	for _, q := range s.queues {
		if q.arn == arn {
			return q
		}
	}
	return nil
}

// settable has the attributes that can be set, with their defaults and, for numbers, their limits
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html).
var settable = map[string]struct {
	value       string
	least, most int
}{
	"MessageRetentionPeriod":        {value: "345600", least: 60, most: 1209600},
	"ReceiveMessageWaitTimeSeconds": {value: "0", most: maxWait},
	"VisibilityTimeout":             {value: "30", most: maxVisibility},
	"SqsManagedSseEnabled":          {value: "true"},
	"Policy":                        {}, // not evaluated
	"RedrivePolicy":                 {},
	"FifoQueue":                     {},
	"ContentBasedDeduplication":     {},
}

// CreateQueue creates a queue, or returns the existing one with that name if no attribute differs. The name of a
// deleted queue cannot be used for 60 seconds.
func (s *SQS) CreateQueue(ctx context.Context, in *sqs.CreateQueueInput,
	_ ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error) {
	return sqsCall(ctx, s, "CreateQueue", in, func(in *sqs.CreateQueueInput) (*sqs.CreateQueueOutput, error) {
		name := aws.ToString(in.QueueName)
		stem, fifo := strings.CutSuffix(name, ".fifo")
		if !validName(stem, 1, 80, "-_") || len(name) > 80 {
			return nil, invalidValue("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in " +
				"length")
		}
		if fifo != (in.Attributes["FifoQueue"] == "true") {
			return nil, invalidValue("The name of a FIFO queue, and of no other, must end with .fifo and have the " +
				"attribute FifoQueue=true")
		}
		if q := s.queues[name]; q != nil {
			for attribute, v := range in.Attributes {
				if q.attributes[attribute] != v {
					return nil, &types.QueueNameExists{
						Message: aws.String("A queue already exists with the same name and a different " +
							"value for attribute " + attribute),
						ErrorCodeOverride: aws.String("QueueAlreadyExists"),
					}
				}
			}
			return &sqs.CreateQueueOutput{QueueUrl: &q.url}, nil
		}
		if at, ok := s.deleted[name]; ok && time.Since(at) < time.Minute {
			return nil, &types.QueueDeletedRecently{
				Message: aws.String("You must wait 60 seconds after deleting a queue before you can " +
					"create another with the same name."),
				ErrorCodeOverride: aws.String("AWS.SimpleQueueService.QueueDeletedRecently"),
			}
		}
		q := newQueue(name, in.Tags)
		if err := s.set(q, in.Attributes); err != nil {
			return nil, err
		}
		s.queues[name] = q
		return &sqs.CreateQueueOutput{QueueUrl: &q.url}, nil
	})
}

func newQueue(name string, tags map[string]string) *queue {
	q := &queue{
		name: name, attributes: map[string]string{}, tags: map[string]string{},
		url:  fmt.Sprintf("https://sqs.%s.amazonaws.com/%s/%s", region, accountID, name),
		arn:  fmt.Sprintf("arn:aws:sqs:%s:%s:%s", region, accountID, name),
		sent: map[string]sent{}, changed: make(chan struct{}),
	}
	maps.Copy(q.tags, tags)
	for attribute, a := range settable {
		if a.value != "" {
			q.attributes[attribute] = a.value
		}
	}
	return q
}

// set checks and sets attributes. The caller must hold mu.
func (s *SQS) set(q *queue, attributes map[string]string) error {
	for name, v := range attributes {
		a, ok := settable[name]
		if !ok {
			return unsupported("queue attribute %s", name)
		}
		if n, err := strconv.Atoi(v); a.most > 0 && (err != nil || n < a.least || n > a.most) {
			return &types.InvalidAttributeValue{Message: aws.String("Invalid value for the parameter " + name + ".")}
		}
	}
	next := maps.Clone(q.attributes)
	maps.Copy(next, attributes)
	if text := next["RedrivePolicy"]; text != "" {
		probe := &queue{attributes: next}
		target := s.byARN(probe.redrive().Target)
		if target == nil || target.fifo() != probe.fifo() || probe.maxReceives() < 1 {
			return invalidValue("Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does "+
				"not exist, or is not of the same type.", text)
		}
	}
	q.attributes = next
	return nil
}

// DeleteQueue deletes a queue and its messages.
func (s *SQS) DeleteQueue(ctx context.Context, in *sqs.DeleteQueueInput,
	_ ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error) {
	return sqsCall(ctx, s, "DeleteQueue", in, func(in *sqs.DeleteQueueInput) (*sqs.DeleteQueueOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		delete(s.queues, q.name)
		s.deleted[q.name] = time.Now()
		q.wake()
		return &sqs.DeleteQueueOutput{}, nil
	})
}

// GetQueueUrl returns a queue's URL by its name.
//
//nolint:revive // the SDK's name
func (s *SQS) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput,
	_ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	return sqsCall(ctx, s, "GetQueueUrl", in, func(in *sqs.GetQueueUrlInput) (*sqs.GetQueueUrlOutput, error) {
		q := s.queues[aws.ToString(in.QueueName)]
		if q == nil {
			return nil, noQueue()
		}
		return &sqs.GetQueueUrlOutput{QueueUrl: &q.url}, nil
	})
}

// GetQueueAttributes returns the requested attributes. The counts of messages are exact.
func (s *SQS) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput,
	_ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return sqsCall(ctx, s, "GetQueueAttributes", in,
		func(in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
			q, err := s.queue(in.QueueUrl)
			if err != nil {
				return nil, err
			}
			visible, hidden := q.counts(time.Now())
			all := maps.Clone(q.attributes)
			all["QueueArn"] = q.arn
			all["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
			all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(hidden)
			if !slices.Contains(in.AttributeNames, types.QueueAttributeNameAll) {
				maps.DeleteFunc(all,
					func(name,
						_ string) bool {
						return !slices.Contains(in.AttributeNames, types.QueueAttributeName(name))
					})
			}
			return &sqs.GetQueueAttributesOutput{Attributes: all}, nil
		})
}

// SetQueueAttributes sets attributes, all or none of them.
func (s *SQS) SetQueueAttributes(ctx context.Context, in *sqs.SetQueueAttributesInput,
	_ ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error) {
	return sqsCall(ctx, s, "SetQueueAttributes", in,
		func(in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
			q, err := s.queue(in.QueueUrl)
			if err == nil {
				err = s.set(q, in.Attributes)
			}
			if err != nil {
				return nil, err
			}
			q.wake()
			return &sqs.SetQueueAttributesOutput{}, nil
		})
}

// ListQueues lists the queues whose names begin with QueueNamePrefix, MaxResults at a time (1,000 without it).
func (s *SQS) ListQueues(ctx context.Context, in *sqs.ListQueuesInput,
	_ ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error) {
	return sqsCall(ctx, s, "ListQueues", in, func(in *sqs.ListQueuesInput) (*sqs.ListQueuesOutput, error) {
		limit := int(aws.ToInt32(in.MaxResults))
		if limit < 0 || limit > 1000 {
			return nil, invalidValue("MaxResults must be between 1 and 1000.")
		}
		out, last := &sqs.ListQueuesOutput{}, ""
		for _, name := range slices.Sorted(maps.Keys(s.queues)) {
			if !strings.HasPrefix(name, aws.ToString(in.QueueNamePrefix)) || name <= aws.ToString(in.NextToken) {
				continue
			}
			if n := len(out.QueueUrls); n == limit && limit > 0 {
				out.NextToken = &last // AWS returns one only if the request has MaxResults
				break
			} else if n == 1000 {
				break
			}
			out.QueueUrls, last = append(out.QueueUrls, s.queues[name].url), name
		}
		return out, nil
	})
}

// TagQueue adds tags.
func (s *SQS) TagQueue(ctx context.Context, in *sqs.TagQueueInput,
	_ ...func(*sqs.Options)) (*sqs.TagQueueOutput, error) {
	return sqsCall(ctx, s, "TagQueue", in, func(in *sqs.TagQueueInput) (*sqs.TagQueueOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		maps.Copy(q.tags, in.Tags)
		return &sqs.TagQueueOutput{}, nil
	})
}

// ListQueueTags returns a queue's tags.
func (s *SQS) ListQueueTags(ctx context.Context, in *sqs.ListQueueTagsInput,
	_ ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error) {
	return sqsCall(ctx, s, "ListQueueTags", in, func(in *sqs.ListQueueTagsInput) (*sqs.ListQueueTagsOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		return &sqs.ListQueueTagsOutput{Tags: maps.Clone(q.tags)}, nil
	})
}
