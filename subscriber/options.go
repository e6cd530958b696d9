package subscriber

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// Option configures a source. An option that has no effect on the source is an error, as is one with a wrong value; all
// errors are reported together, by the first call that returns one.
type Option func(*settings)

// settings are the result of the options. They do not change once the source exists.
type settings struct {
	topic  arn.ARN // zero for a Lambda, which needs none
	prefix string
	logger *slog.Logger
	sns    SNS // nil: a Queue makes one, an Endpoint uses SNS's web address
	// onMessage is nil unless the option OnMessage is there.
	onMessage func(change.Message)

	source   string            // the source's name in errors
	queue    *queueSettings    // nil unless the source is a Queue
	endpoint *endpointSettings // nil unless the source is an Endpoint
	problems []error
}

type queueSettings struct {
	sqs            SQS         // nil: made from awsConfig
	awsConfig      *aws.Config // nil: the SDK's defaults
	owner          string
	cleanupTimeout time.Duration
}

type endpointSettings struct {
	allowSHA1    bool
	certificates func(context.Context, string) (*x509.Certificate, error) // nil: fetched with httpClient
	httpClient   *http.Client
}

// Prefix selects the LaunchDarkly environment in the sink, as in the table's namespaces. Default: "", the environment
// without a prefix. Messages of other prefixes are dropped and counted.
func Prefix(prefix string) Option {
	return func(s *settings) {
		s.prefix = prefix
		err := layout.CheckPrefix(prefix)
		s.refuseIf(err != nil, "Prefix", "%w", err)
	}
}

// Logger receives what is dropped, lost and repaired. Default: [slog.Default].
func Logger(logger *slog.Logger) Option {
	return func(s *settings) {
		s.logger = logger
		s.refuseIf(logger == nil, "Logger", "the logger is nil")
	}
}

// OnMessage is called with each message of warmflags that is received and can be read, of every prefix, before the sink
// has it. It is for tools that show messages. A [Queue] calls it from one goroutine; an [Endpoint] may call it
// concurrently. The message is acknowledged when it has returned.
func OnMessage(f func(change.Message)) Option {
	return func(s *settings) {
		s.onMessage = f
		s.refuseIf(f == nil, "OnMessage", "the function is nil")
	}
}

// SNSClient sets the SNS client of a [Queue] or [Endpoint]; its region must be the topic's. Default for a Queue: a
// client made from [AWSConfig]. With a client, an Endpoint confirms its subscription by the SNS API, so that only
// authenticated calls can end it; without one, by SNS's web address, which needs no permission.
func SNSClient(client SNS) Option {
	return func(s *settings) {
		s.sns = client
		s.refuseIf(client == nil, "SNSClient", "the client is nil")
		s.refuseIf(s.queue == nil && s.endpoint == nil, "SNSClient", "it has no effect on subscriber.%s", s.source)
	}
}

// SQSClient sets the SQS client of a [Queue]. Default: one made from [AWSConfig].
func SQSClient(client SQS) Option {
	return forQueue("SQSClient", func(s *settings) {
		s.queue.sqs = client
		s.refuseIf(client == nil, "SQSClient", "the client is nil")
	})
}

// AWSConfig sets the configuration for the clients of a [Queue]. Default: the SDK's own (config.LoadDefaultConfig),
// with the topic's region.
func AWSConfig(config aws.Config) Option {
	return forQueue("AWSConfig", func(s *settings) { s.queue.awsConfig = &config })
}

// Owner sets the tag warmflags:owner of a [Queue], which tells who created it. Default: host name, slash, process ID.
// Characters that SQS does not allow in a tag become hyphens.
func Owner(owner string) Option {
	return forQueue("Owner", func(s *settings) {
		s.queue.owner = owner
		s.refuseIf(owner == "", "Owner", "the owner is empty")
	})
}

// CleanupTimeout limits how long Run of a [Queue] takes to remove subscription and queue after its context ended.
// Default: 10 seconds. Zero and negative are errors: SNS keeps filling a queue that is not removed.
func CleanupTimeout(limit time.Duration) Option {
	return forQueue("CleanupTimeout", func(s *settings) {
		s.queue.cleanupTimeout = limit
		s.refuseIf(limit <= 0, "CleanupTimeout", "%v is not positive", limit)
	})
}

// AllowSHA1 makes an [Endpoint] accept SNS's signature version 1 too, which is SHA-1 and a topic's default. Better: set
// the topic's attribute SignatureVersion to 2.
func AllowSHA1() Option {
	return forEndpoint("AllowSHA1", func(s *settings) { s.endpoint.allowSHA1 = true })
}

// Certificates replaces how an [Endpoint] gets a signing certificate, and what it trusts. It is called with a
// SigningCertURL whose host and path were checked, by one goroutine at a time. The endpoint caches a certificate that
// has verified a message until it expires; after any other result it does not call again for a minute, except after a
// [url.Error], which means that the server was not reached.
func Certificates(get func(ctx context.Context, url string) (*x509.Certificate, error)) Option {
	return forEndpoint("Certificates", func(s *settings) {
		s.endpoint.certificates = get
		s.refuseIf(get == nil, "Certificates", "the function is nil")
	})
}

// HTTPClient fetches signing certificates and confirms the subscription of an [Endpoint]. It must verify TLS, which
// proves that a certificate is SNS's. Default: a client with a timeout of 5 seconds. Redirects are never followed.
func HTTPClient(client *http.Client) Option {
	return forEndpoint("HTTPClient", func(s *settings) {
		s.endpoint.httpClient = client
		s.refuseIf(client == nil, "HTTPClient", "the client is nil")
	})
}

func forQueue(name string, apply Option) Option {
	return func(s *settings) {
		if s.refuseIf(s.queue == nil, name, "it has no effect on subscriber.%s", s.source); s.queue != nil {
			apply(s)
		}
	}
}

func forEndpoint(name string, apply Option) Option {
	return func(s *settings) {
		if s.refuseIf(s.endpoint == nil, name, "it has no effect on subscriber.%s", s.source); s.endpoint != nil {
			apply(s)
		}
	}
}

// newQueueSettings returns the settings of a Queue, with its defaults.
func newQueueSettings(topicARN string, sink change.Sink, options []Option) (settings, error) {
	s := settings{source: "Queue", queue: &queueSettings{owner: defaultOwner(), cleanupTimeout: 10 * time.Second}}
	s.setTopic(topicARN)
	return s, s.apply(sink, options)
}

// newEndpointSettings returns the settings of an Endpoint, with its defaults.
func newEndpointSettings(topicARN string, sink change.Sink, options []Option) (settings, error) {
	s := settings{source: "Endpoint", endpoint: &endpointSettings{httpClient: &http.Client{Timeout: 5 * time.Second}}}
	s.setTopic(topicARN)
	return s, s.apply(sink, options)
}

// newLambdaSettings returns the settings of a Lambda.
func newLambdaSettings(sink change.Sink, options []Option) (settings, error) {
	s := settings{source: "Lambda"}
	return s, s.apply(sink, options)
}

func (s *settings) setTopic(topicARN string) {
	var err error
	if s.topic, err = parseTopic(topicARN); err != nil {
		s.problems = append(s.problems, err)
	}
}

// apply applies the options and returns all problems together.
func (s *settings) apply(sink change.Sink, options []Option) error {
	s.logger = slog.Default()
	if sink == nil {
		s.problems = append(s.problems, errors.New("the sink is nil"))
	}
	for _, option := range options {
		if option == nil {
			s.problems = append(s.problems, errors.New("an option is nil"))
			continue
		}
		option(s)
	}
	if err := errors.Join(s.problems...); err != nil {
		return fmt.Errorf("set up subscriber.%s: %w", s.source, err)
	}
	return nil
}

// refuseIf records what is wrong with an option.
func (s *settings) refuseIf(wrong bool, option, format string, args ...any) {
	if wrong {
		s.problems = append(s.problems, fmt.Errorf("option %s: "+format, append([]any{option}, args...)...))
	}
}

// parseTopic reads a topic's ARN. A subscription's ARN, which has one part more, is an easy mistake.
func parseTopic(s string) (arn.ARN, error) {
	a, err := arn.Parse(s)
	if err != nil || a.Service != "sns" || a.Region == "" || a.AccountID == "" || a.Resource == "" ||
		strings.ContainsAny(a.Resource, ":/*") {
		return a, fmt.Errorf("topic %q: want an SNS topic's ARN, such as arn:aws:sns:us-east-1:123456789012:flags", s)
	}
	return a, nil
}

// defaultOwner names the machine or task, and the process on it.
func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
