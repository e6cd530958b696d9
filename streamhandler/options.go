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
	// makes a message of less than this: any one change fits.
	smallestMaxSize = 32 << 10
)

// Option sets an option of [New] or [NewExpired]. Wrong and missing options are reported by each call of Handle, all
// at once.
type Option func(*settings)

// TopicARN is the topic that messages go to, a standard one. Required.
func TopicARN(arn string) Option {
	return func(s *settings) { s.topic = arn }
}

// MaxMessageSize is the most bytes that a message may have, attributes included, and messages that are published with
// one call together: the topic's MaximumMessageSize. The default is 262144 (256 KiB), the least 32768 and the most
// 1048576; others are an error. Above 256 KiB, SNS allows a topic 100 subscriptions at most, and only SQS, Lambda and
// Firehose: no HTTPS endpoint can subscribe
// (https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html).
func MaxMessageSize(bytes int) Option {
	return func(s *settings) { s.maxSize = bytes }
}

// After has append called once for each batch of which anything was published, with the messages that were, even
// when others failed, before Handle returns. A message without changes says that anything of its prefix may have
// changed: it stands in the place of one that SNS refused, or, in [Expired], of records that were lost. Its context
// ends in time for Handle to answer. When it fails, the whole batch fails, and is published and appended again. The
// default, nil, does nothing.
func After(appendTo func(ctx context.Context, published []change.Message) error) Option {
	return func(s *settings) { s.after = appendTo }
}

// Logger gets one line for each batch. The default, nil, is [slog.Default].
func Logger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

// settings are what the options say. They never change once they are complete.
type settings struct {
	publisher Publisher
	batches   BatchPublisher // the same; nil where it is none
	topic     string         // its ARN
	maxSize   int            // bytes of a message, attributes included
	after     func(context.Context, []change.Message) error
	logger    *slog.Logger
	err       error // what is wrong with them; nil if nothing is
}

// newSettings applies the options. What is wrong with them, besides the problems that the caller found, is in err.
func newSettings(publisher Publisher, options []Option, problems ...error) settings {
	s := settings{publisher: publisher, maxSize: defaultMaxSize}
	for _, option := range options {
		option(&s)
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	s.batches, _ = publisher.(BatchPublisher)
	s.err = s.check(problems)
	return s
}

func (s *settings) check(problems []error) error {
	if s.publisher == nil {
		problems = append(problems, errors.New("publisher: nil: pass an SNS client"))
	}
	if err := checkTopic(s.topic); err != nil {
		problems = append(problems, err)
	}
	if s.maxSize < smallestMaxSize || s.maxSize > largestMaxSize {
		problems = append(problems, fmt.Errorf("MaxMessageSize(%d): use %d to %d bytes", s.maxSize, smallestMaxSize, largestMaxSize))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("configure streamhandler: %w", errors.Join(problems...))
}

// checkTopic wants an ARN because Publish takes no names, and a standard topic: ordered ones reach SQS queues only
// (https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html).
func checkTopic(arn string) error {
	if arn == "" {
		return errors.New("TopicARN: missing: pass the topic that changes are published to")
	}
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[5] == "" {
		return fmt.Errorf("TopicARN(%q): want arn:<partition>:sns:<region>:<account>:<name>", arn)
	}
	if strings.HasSuffix(arn, ".fifo") {
		return fmt.Errorf("TopicARN(%q): a FIFO topic reaches no HTTPS endpoint: use a standard topic", arn)
	}
	return nil
}
