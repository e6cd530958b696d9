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

// SQS has the methods of *sqs.Client that are listed here, as AWS documents them, on queues in memory. Whatever AWS
// lets happen sooner or later (a deletion, a count) happens at once. Options are ignored.
type SQS struct {
	cloud *Cloud

	mu      sync.Mutex // guards the queues, with all that is in them
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

// queue finds a queue by its URL. It needs mu.
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

func (s *SQS) byARN(arn string) *queue {
	for _, q := range s.queues {
		if q.arn == arn {
			return q
		}
	}
	return nil
}

// settable are the attributes that can be set, with their defaults and, for numbers, their limits
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html).
var settable = map[string]struct {
	value       string
	least, most int
	fifo        bool
}{
	"DelaySeconds":                  {value: "0", most: 900},
	"MaximumMessageSize":            {value: "1048576", least: 1024, most: 1 << 20},
	"MessageRetentionPeriod":        {value: "345600", least: 60, most: 1209600},
	"ReceiveMessageWaitTimeSeconds": {value: "0", most: 20},
	"VisibilityTimeout":             {value: "30", most: 43200},
	"SqsManagedSseEnabled":          {value: "true"},
	"Policy":                        {}, "RedrivePolicy": {}, "RedriveAllowPolicy": {},
	"KmsMasterKeyId": {}, "KmsDataKeyReusePeriodSeconds": {},
	"FifoQueue":                 {fifo: true},
	"ContentBasedDeduplication": {value: "false", fifo: true},
	"DeduplicationScope":        {value: "queue", fifo: true},
	"FifoThroughputLimit":       {value: "perQueue", fifo: true},
}

// CreateQueue makes a queue, or returns the one of the same name if no attribute differs. For 60 seconds after a
// queue was deleted its name cannot be used.
func (s *SQS) CreateQueue(ctx context.Context, in *sqs.CreateQueueInput, _ ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error) {
	return sqsCall(ctx, s, "CreateQueue", in, func(in *sqs.CreateQueueInput) (*sqs.CreateQueueOutput, error) {
		name, now := aws.ToString(in.QueueName), time.Now()
		fifo := strings.HasSuffix(name, ".fifo")
		if !validName(strings.TrimSuffix(name, ".fifo"), 1, 80, "-_") || len(name) > 80 {
			return nil, invalidValue("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
		}
		if fifo != (in.Attributes["FifoQueue"] == "true") {
			return nil, invalidValue("The name of a FIFO queue, and of no other, must end with .fifo and have the attribute FifoQueue=true")
		}
		if q := s.queues[name]; q != nil {
			for attribute, v := range in.Attributes {
				if q.attributes[attribute] != v {
					return nil, &types.QueueNameExists{
						Message:           aws.String("A queue already exists with the same name and a different value for attribute " + attribute),
						ErrorCodeOverride: aws.String("QueueAlreadyExists"),
					}
				}
			}
			return &sqs.CreateQueueOutput{QueueUrl: aws.String(q.url)}, nil
		}
		if at, ok := s.deleted[name]; ok && now.Sub(at) < time.Minute {
			return nil, &types.QueueDeletedRecently{
				Message:           aws.String("You must wait 60 seconds after deleting a queue before you can create another with the same name."),
				ErrorCodeOverride: aws.String("AWS.SimpleQueueService.QueueDeletedRecently"),
			}
		}
		q := &queue{
			name: name, attributes: map[string]string{}, tags: maps.Clone(in.Tags), created: now, modified: now,
			url:  fmt.Sprintf("https://sqs.%s.amazonaws.com/%s/%s", region, accountID, name),
			arn:  fmt.Sprintf("arn:aws:sqs:%s:%s:%s", region, accountID, name),
			sent: map[string]sent{}, changed: make(chan struct{}),
		}
		for attribute, a := range settable {
			if a.value != "" && (fifo || !a.fifo) {
				q.attributes[attribute] = a.value
			}
		}
		if err := s.set(q, in.Attributes); err != nil {
			return nil, err
		}
		s.queues[name] = q
		return &sqs.CreateQueueOutput{QueueUrl: aws.String(q.url)}, nil
	})
}

// set checks and sets attributes.
func (s *SQS) set(q *queue, attributes map[string]string) error {
	fifo := strings.HasSuffix(q.name, ".fifo")
	for name, v := range attributes {
		a, ok := settable[name]
		if !ok || a.fifo && !fifo {
			return &types.InvalidAttributeName{Message: aws.String("Unknown Attribute " + name + ".")}
		}
		if a.most > 0 {
			if n, err := strconv.Atoi(v); err != nil || n < a.least || n > a.most {
				return &types.InvalidAttributeValue{Message: aws.String("Invalid value for the parameter " + name + ".")}
			}
		}
	}
	next := maps.Clone(q.attributes)
	maps.Copy(next, attributes)
	maps.DeleteFunc(next, func(name, v string) bool { return v == "" })
	probe := &queue{attributes: next}
	if r, ok := probe.redrive(); ok {
		target := s.byARN(r.Target)
		if target == nil || target.fifo() != fifo {
			return invalidValue("Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist, or is not of the same type.", next["RedrivePolicy"])
		}
	} else if next["RedrivePolicy"] != "" {
		return invalidValue("Value %s for parameter RedrivePolicy is invalid.", next["RedrivePolicy"])
	}
	if text := next["Policy"]; text != "" {
		if _, err := parsePolicy(text); err != nil {
			return &types.InvalidAttributeValue{Message: aws.String("Invalid value for the parameter Policy: " + err.Error())}
		}
	}
	q.attributes = next
	return nil
}

// DeleteQueue deletes a queue with all that is in it.
func (s *SQS) DeleteQueue(ctx context.Context, in *sqs.DeleteQueueInput, _ ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error) {
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

// GetQueueUrl finds a queue by its name.
func (s *SQS) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) { //nolint:revive // the SDK's name
	return sqsCall(ctx, s, "GetQueueUrl", in, func(in *sqs.GetQueueUrlInput) (*sqs.GetQueueUrlOutput, error) {
		q := s.queues[aws.ToString(in.QueueName)]
		if q == nil {
			return nil, noQueue()
		}
		return &sqs.GetQueueUrlOutput{QueueUrl: aws.String(q.url)}, nil
	})
}

// GetQueueAttributes returns the attributes asked for; the counts of messages are exact.
func (s *SQS) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return sqsCall(ctx, s, "GetQueueAttributes", in, func(in *sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		visible, inFlight, delayed := q.counts(time.Now())
		all := maps.Clone(q.attributes)
		maps.Copy(all, map[string]string{
			"QueueArn": q.arn, "CreatedTimestamp": strconv.FormatInt(q.created.Unix(), 10), "LastModifiedTimestamp": strconv.FormatInt(q.modified.Unix(), 10),
			"ApproximateNumberOfMessages": strconv.Itoa(visible), "ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
			"ApproximateNumberOfMessagesDelayed": strconv.Itoa(delayed),
		})
		if !slices.Contains(in.AttributeNames, types.QueueAttributeNameAll) {
			maps.DeleteFunc(all, func(name, _ string) bool { return !slices.Contains(in.AttributeNames, types.QueueAttributeName(name)) })
		}
		return &sqs.GetQueueAttributesOutput{Attributes: all}, nil
	})
}

// SetQueueAttributes sets attributes, all or none of them; an empty value removes one.
func (s *SQS) SetQueueAttributes(ctx context.Context, in *sqs.SetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error) {
	return sqsCall(ctx, s, "SetQueueAttributes", in, func(in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err == nil {
			err = s.set(q, in.Attributes)
		}
		if err != nil {
			return nil, err
		}
		q.modified = time.Now()
		q.wake()
		return &sqs.SetQueueAttributesOutput{}, nil
	})
}

// ListQueues lists the queues whose names begin with QueueNamePrefix, MaxResults at a time (1,000 without it).
func (s *SQS) ListQueues(ctx context.Context, in *sqs.ListQueuesInput, _ ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error) {
	return sqsCall(ctx, s, "ListQueues", in, func(in *sqs.ListQueuesInput) (*sqs.ListQueuesOutput, error) {
		limit := int(aws.ToInt32(in.MaxResults))
		if limit < 0 || limit > 1000 {
			return nil, invalidValue("MaxResults must be between 1 and 1000.")
		}
		out := &sqs.ListQueuesOutput{}
		for _, name := range slices.Sorted(maps.Keys(s.queues)) {
			if !strings.HasPrefix(name, aws.ToString(in.QueueNamePrefix)) || name <= aws.ToString(in.NextToken) {
				continue
			}
			if n := len(out.QueueUrls); limit > 0 && n == limit {
				out.NextToken = aws.String(out.QueueUrls[n-1][strings.LastIndexByte(out.QueueUrls[n-1], '/')+1:])
				break
			}
			if limit == 0 && len(out.QueueUrls) == 1000 {
				break
			}
			out.QueueUrls = append(out.QueueUrls, s.queues[name].url)
		}
		return out, nil
	})
}

// TagQueue adds tags, at most 50 to a queue.
func (s *SQS) TagQueue(ctx context.Context, in *sqs.TagQueueInput, _ ...func(*sqs.Options)) (*sqs.TagQueueOutput, error) {
	return sqsCall(ctx, s, "TagQueue", in, func(in *sqs.TagQueueInput) (*sqs.TagQueueOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		next := maps.Clone(q.tags)
		if next == nil {
			next = map[string]string{}
		}
		maps.Copy(next, in.Tags)
		if len(next) > 50 {
			return nil, invalidValue("Too many tags: a queue can have 50")
		}
		q.tags = next
		return &sqs.TagQueueOutput{}, nil
	})
}

// ListQueueTags returns a queue's tags.
func (s *SQS) ListQueueTags(ctx context.Context, in *sqs.ListQueueTagsInput, _ ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error) {
	return sqsCall(ctx, s, "ListQueueTags", in, func(in *sqs.ListQueueTagsInput) (*sqs.ListQueueTagsOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		return &sqs.ListQueueTagsOutput{Tags: maps.Clone(q.tags)}, nil
	})
}

// PurgeQueue deletes all messages, at most once a minute.
func (s *SQS) PurgeQueue(ctx context.Context, in *sqs.PurgeQueueInput, _ ...func(*sqs.Options)) (*sqs.PurgeQueueOutput, error) {
	return sqsCall(ctx, s, "PurgeQueue", in, func(in *sqs.PurgeQueueInput) (*sqs.PurgeQueueOutput, error) {
		q, err := s.queue(in.QueueUrl)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if !q.purged.IsZero() && now.Sub(q.purged) < time.Minute {
			return nil, &types.PurgeQueueInProgress{
				Message:           aws.String("Only one PurgeQueue operation on " + q.name + " is allowed every 60 seconds."),
				ErrorCodeOverride: aws.String("AWS.SimpleQueueService.PurgeQueueInProgress"),
			}
		}
		q.purged, q.messages = now, nil
		q.wake()
		return &sqs.PurgeQueueOutput{}, nil
	})
}
