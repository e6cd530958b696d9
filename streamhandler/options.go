package streamhandler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/warmflags/warmflags/change"
)

// Limits of an SNS message, body and attributes together, in bytes.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
const (
	defaultMaxSize = 256 << 10
	largestMaxSize = 1 << 20
	// The longest key (1,024 bytes) in the longest namespace (2,048 bytes), with every byte escaped in JSON,
	// makes a shorter message: any one change fits.
	smallestMaxSize = 32 << 10
)

// Option configures [New] or [NewFailureHandler]. Wrong and missing options are reported together, by each call of the
// handler.
type Option func(*settings)

// TopicARN is the standard topic that messages are published to. Required.
func TopicARN(arn string) Option {
	return func(s *settings) { s.topic = arn }
}

// MaxMessageSize limits a message, attributes included, and the messages of one PublishBatch call together, in bytes.
// Set it to the topic's MaximumMessageSize. Default: 262144 (256 KiB). Allowed: 32768 to 1048576. Above 256 KiB, SNS
// allows 100 subscriptions for a topic, and only SQS, Lambda and Firehose: no HTTPS endpoint can subscribe
// (https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html).
func MaxMessageSize(bytes int) Option {
	return func(s *settings) { s.maxSize = bytes }
}

// OnPublished sets a function that is called with the published messages of one prefix, once for each prefix in a batch
// of which anything was published, before the handler returns. Calls for different prefixes run concurrently. A message
// without changes means that anything in its prefix may have changed: it replaces a message that SNS refused, or, in
// [FailureHandler], records that were lost. The context ends in time for the handler to answer.
//
// An error fails that prefix only: its records are redelivered, published and passed on again. An error that no retry
// can fix, which is AWS's refusal of the request as invalid, is counted and logged instead. Default, and nil: nothing
// is called.
func OnPublished(f func(ctx context.Context, published []change.Message) error) Option {
	return func(s *settings) { s.onPublished = f }
}

// Logger receives one line for each batch. Default, and nil: [slog.Default].
func Logger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

// settings are the result of the options. They do not change after newSettings.
type settings struct {
	publisher   Publisher
	batches     BatchPublisher // the publisher, if it is one; else nil
	topic       string         // its ARN
	maxSize     int            // of a message with its attributes, in bytes
	onPublished func(context.Context, []change.Message) error
	logger      *slog.Logger
	err         error // all that is wrong with the options
}

// newSettings applies the options. Problems are those that the caller found.
func newSettings(publisher Publisher, options []Option, problems ...error) settings {
	s := settings{publisher: publisher, maxSize: defaultMaxSize}
	for _, option := range options {
		if option == nil {
			problems = append(problems, errors.New("an option is nil"))
			continue
		}
		option(&s)
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	s.batches, _ = publisher.(BatchPublisher)
	if s.publisher == nil {
		problems = append(problems, errors.New("publisher: nil: pass an SNS client"))
	}
	problems = append(problems, checkTopic(s.topic))
	if s.maxSize < smallestMaxSize || s.maxSize > largestMaxSize {
		err := fmt.Errorf("MaxMessageSize(%d): use %d to %d bytes", s.maxSize, smallestMaxSize, largestMaxSize)
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		s.err = fmt.Errorf("configure streamhandler: %w", err)
	}
	return s
}

// checkTopic requires an ARN, because Publish accepts no names, and a standard topic: a FIFO topic delivers to SQS
// queues only (https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html).
func checkTopic(arn string) error {
	if arn == "" {
		return errors.New("TopicARN: missing: pass the topic that changes are published to")
	}
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[5] == "" {
		return fmt.Errorf("TopicARN(%q): want arn:<partition>:sns:<region>:<account>:<name>", arn)
	}
	if strings.HasSuffix(arn, ".fifo") {
		return fmt.Errorf("TopicARN(%q): a FIFO topic delivers to no HTTPS endpoint: use a standard topic", arn)
	}
	return nil
}
