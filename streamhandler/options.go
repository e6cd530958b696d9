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
	// Any single change fits: the message for the longest key (1,024 bytes) in the longest namespace (2,048 bytes),
	// with every byte escaped in JSON, is shorter.
	smallestMaxSize = 32 << 10
)

// Option configures [New] or [NewFailureHandler]. Wrong and missing options are reported together, by each call of the
// handler.
type Option func(*settings)

// TopicARN sets the standard topic to which messages are published. It is required.
func TopicARN(arn string) Option {
	return func(s *settings) { s.topic = arn }
}

// MaxMessageSize limits the size of a message with its attributes, and of all messages of one PublishBatch call
// together, in bytes. Set it to the topic's MaximumMessageSize. Default: 262144 (256 KiB). Allowed: 32768 to 1048576;
// other values, such as 0, are errors. Above 256 KiB, SNS allows a topic 100 subscriptions, and only of SQS, Lambda and
// Firehose, so no HTTPS endpoint can subscribe
// (https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html).
func MaxMessageSize(bytes int) Option {
	return func(s *settings) { s.maxSize = bytes }
}

// OnPublished sets a function that receives published messages. For each batch, before the handler returns, it is
// called once for each prefix of which a message was published, with all of these messages. Calls for different
// prefixes run concurrently. A message without changes means that anything in its prefix may have changed; it replaces
// a message that SNS refused, or, in [FailureHandler], lost records. The function's context ends early enough for the
// handler to return.
//
// If the function returns an error, only that prefix fails: its records are redelivered, published again and passed to
// the function again. If the error is AWS's refusal of a request as invalid, which no retry can fix, it is counted and
// logged, and the records count as done. Default, also for nil: no function is called.
func OnPublished(f func(ctx context.Context, published []change.Message) error) Option {
	return func(s *settings) { s.onPublished = f }
}

// Logger sets the logger, which receives one line for each batch. Default, also for nil: [slog.Default].
func Logger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

// settings are the result of the options. They do not change after newSettings.
type settings struct {
	publisher   Publisher
	batches     BatchPublisher // the publisher, if it implements BatchPublisher; otherwise nil
	topic       string         // the topic's ARN
	maxSize     int            // the largest size of a message with its attributes, in bytes
	onPublished func(context.Context, []change.Message) error
	logger      *slog.Logger
	err         error // all that is wrong with the options
}

// newSettings applies the options. It adds its problems to those that the caller found.
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

// checkTopic requires an ARN, because Publish does not accept names, and a standard topic, because a FIFO topic
// delivers only to SQS queues (https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html).
func checkTopic(arn string) error {
	if arn == "" {
		return errors.New("TopicARN: missing: pass the ARN of the topic for changes")
	}
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[5] == "" {
		return fmt.Errorf("TopicARN(%q): want arn:<partition>:sns:<region>:<account>:<name>", arn)
	}
	if strings.HasSuffix(arn, ".fifo") {
		return fmt.Errorf("TopicARN(%q): a FIFO topic delivers only to SQS queues: use a standard topic", arn)
	}
	return nil
}
