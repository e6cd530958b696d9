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

// Option configures a source. A wrong value is an error, and so is an option that has no effect on the source. All
// errors are reported together, by the first call that returns an error.
type Option func(*settings)

// settings are the result of the options. They do not change after the source was created.
type settings struct {
	topic  arn.ARN // zero for a Lambda, which needs no topic
	prefix string
	logger *slog.Logger
	sns    SNS // nil: a Queue creates a client, an Endpoint uses SNS's web address
	// onMessage is the function of the option OnMessage; nil without it.
	onMessage func(change.Message)

	source   string            // the source's name in errors
	queue    *queueSettings    // nil unless the source is a Queue
	endpoint *endpointSettings // nil unless the source is an Endpoint
	problems []error
}

type queueSettings struct {
	sqs            SQS         // nil: created from awsConfig
	awsConfig      *aws.Config // nil: the SDK's defaults
	owner          string
	cleanupTimeout time.Duration
}

type endpointSettings struct {
	allowSHA1    bool
	certificates func(context.Context, string) (*x509.Certificate, error) // nil: fetched with httpClient
	httpClient   *http.Client
}

// Prefix sets the prefix that identifies the LaunchDarkly environment in the table. Default: "", the environment
// without a prefix. Messages for other prefixes are dropped and counted.
func Prefix(prefix string) Option {
	return func(s *settings) {
		s.prefix = prefix
		err := layout.CheckPrefix(prefix)
		s.refuseIf(err != nil, "Prefix", "%w", err)
	}
}

// Logger sets the logger for dropped messages, failures, lost subscriptions and invalidations of everything. Default:
// [slog.Default]. Nil is an error.
func Logger(logger *slog.Logger) Option {
	return func(s *settings) {
		s.logger = logger
		s.refuseIf(logger == nil, "Logger", "the logger is nil")
	}
}

// OnMessage sets a function for tools that show messages. It is called with each warmflags message that can be read, of
// every prefix, before the sink gets the message. A [Queue] calls it from one goroutine; an [Endpoint] may call it
// concurrently. The message is acknowledged after the function has returned. Nil is an error.
func OnMessage(f func(change.Message)) Option {
	return func(s *settings) {
		s.onMessage = f
		s.refuseIf(f == nil, "OnMessage", "the function is nil")
	}
}

// SNSClient sets the SNS client of a [Queue] or [Endpoint]; its region must be the topic's. Default for a Queue: a
// client created from [AWSConfig]. With a client, an Endpoint confirms its subscription with the SNS API, so that only
// authenticated calls can end the subscription. Without one, it confirms with SNS's web address, which needs no
// permission.
func SNSClient(client SNS) Option {
	return func(s *settings) {
		s.sns = client
		s.refuseIf(client == nil, "SNSClient", "the client is nil")
		s.refuseIf(s.queue == nil && s.endpoint == nil, "SNSClient", "it has no effect on subscriber.%s", s.source)
	}
}

// SQSClient sets the SQS client of a [Queue]. Default: a client created from [AWSConfig].
func SQSClient(client SQS) Option {
	return forQueue("SQSClient", func(s *settings) {
		s.queue.sqs = client
		s.refuseIf(client == nil, "SQSClient", "the client is nil")
	})
}

// AWSConfig sets the configuration for the clients of a [Queue]. Default: that of config.LoadDefaultConfig with the
// topic's region.
func AWSConfig(config aws.Config) Option {
	return forQueue("AWSConfig", func(s *settings) { s.queue.awsConfig = &config })
}

// Owner sets the tag warmflags:owner of a [Queue], which names the process that created the queue. Default: host name,
// slash, process ID. Characters that SQS does not allow in a tag become hyphens. An empty owner is an error.
func Owner(owner string) Option {
	return forQueue("Owner", func(s *settings) {
		s.queue.owner = owner
		s.refuseIf(owner == "", "Owner", "the owner is empty")
	})
}

// CleanupTimeout limits the time in which Run of a [Queue] removes subscription and queue after its context has ended.
// Default: 10 seconds. Zero and negative values are errors, because SNS keeps filling a queue that is not removed.
func CleanupTimeout(limit time.Duration) Option {
	return forQueue("CleanupTimeout", func(s *settings) {
		s.queue.cleanupTimeout = limit
		s.refuseIf(limit <= 0, "CleanupTimeout", "%v is not positive", limit)
	})
}

// AllowSHA1 makes an [Endpoint] also accept SNS's signature version 1, which uses SHA-1 and is a topic's default. If
// you can, set the topic's attribute SignatureVersion to 2 instead.
func AllowSHA1() Option {
	return forEndpoint("AllowSHA1", func(s *settings) { s.endpoint.allowSHA1 = true })
}

// Certificates sets the function with which an [Endpoint] gets signing certificates. The endpoint trusts the
// certificates that it returns. The endpoint calls it with a SigningCertURL whose host and path it has checked, one
// call at a time. The endpoint caches a certificate that has verified a message until the certificate expires. After
// any other result it does not call again for a minute, except after a [url.Error], which means that the server was not
// reached. Nil is an error.
func Certificates(get func(ctx context.Context, url string) (*x509.Certificate, error)) Option {
	return forEndpoint("Certificates", func(s *settings) {
		s.endpoint.certificates = get
		s.refuseIf(get == nil, "Certificates", "the function is nil")
	})
}

// HTTPClient sets the client with which an [Endpoint] fetches signing certificates and confirms its subscription. It
// must verify TLS, which proves that a certificate is SNS's. Default: a client with a timeout of 5 seconds. Redirects
// are never followed. Nil is an error.
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

// parseTopic parses a topic's ARN. It refuses a subscription's ARN, which has one more part and is a common mistake.
func parseTopic(s string) (arn.ARN, error) {
	a, err := arn.Parse(s)
	if err != nil || a.Service != "sns" || a.Region == "" || a.AccountID == "" || a.Resource == "" ||
		strings.ContainsAny(a.Resource, ":/*") {
		return a, fmt.Errorf("topic %q: pass the ARN of an SNS topic, "+
			"such as arn:aws:sns:us-east-1:123456789012:flags", s)
	}
	return a, nil
}

// defaultOwner returns the name of the machine or task, a slash and the process ID.
func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
