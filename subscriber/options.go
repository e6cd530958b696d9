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
)

// An Option sets up a source. One that the source has no use for is an error, as is one with a wrong value.
type Option struct {
	name string
	// of are the sources that have a use for it.
	of source
	// apply sets it, and returns what is wrong with it.
	apply func(*settings) error
}

// source is a set of the kinds of source. Each option says which have a use for it, so that one that would do nothing is found.
type source int

const (
	ofQueue source = 1 << iota
	ofEndpoint
	ofLambda
	ofAll = ofQueue | ofEndpoint | ofLambda
)

func (s source) String() string {
	return map[source]string{ofQueue: "Queue", ofEndpoint: "Endpoint", ofLambda: "Lambda"}[s]
}

// settings is what the options come to. Each source uses those that its constructor takes.
type settings struct {
	topic  arn.ARN
	prefix string
	logger *slog.Logger

	// Clients; where nil, they are made from awsConfig, and that from the SDK's defaults.
	sns       SNS
	sqs       SQS
	awsConfig *aws.Config

	// For a queue.
	owner          string
	cleanupTimeout time.Duration

	// For an endpoint. certificates is nil unless it replaces ours.
	allowSHA1    bool
	certificates func(context.Context, string) (*x509.Certificate, error)
	httpClient   *http.Client
}

// Prefix is the LaunchDarkly environment that the sink holds, as in the table's namespaces. Default: "", the
// environment without a prefix. Messages of every other prefix are dropped and counted.
func Prefix(prefix string) Option {
	return Option{"Prefix", ofAll, func(s *settings) error { s.prefix = prefix; return nil }}
}

// Logger gets what is dropped, lost and repaired. Default: [slog.Default].
func Logger(logger *slog.Logger) Option {
	return Option{"Logger", ofAll, func(s *settings) error {
		s.logger = logger
		return refuseIf(logger == nil, "the logger is nil")
	}}
}

// SNSClient is used in place of a client made from [AWSConfig]. With it, an [Endpoint] confirms its subscription
// through the SNS API instead of the web address that SNS offers for it.
func SNSClient(client SNS) Option {
	return Option{"SNSClient", ofQueue | ofEndpoint, func(s *settings) error {
		s.sns = client
		return refuseIf(client == nil, "the client is nil")
	}}
}

// SQSClient is used in place of a client made from [AWSConfig].
func SQSClient(client SQS) Option {
	return Option{"SQSClient", ofQueue, func(s *settings) error {
		s.sqs = client
		return refuseIf(client == nil, "the client is nil")
	}}
}

// AWSConfig is what clients are made from. Default: the SDK's own (config.LoadDefaultConfig), with the topic's
// region.
func AWSConfig(config aws.Config) Option {
	return Option{"AWSConfig", ofQueue, func(s *settings) error { s.awsConfig = &config; return nil }}
}

// Owner says who made the queue, in its tag warmflags:owner. Default: host name, slash, process id. Characters
// that SQS does not take in a tag become hyphens.
func Owner(owner string) Option {
	return Option{"Owner", ofQueue, func(s *settings) error {
		s.owner = owner
		return refuseIf(owner == "", "the owner is empty")
	}}
}

// CleanupTimeout limits how long Run goes on after its context ended, to remove subscription and queue.
// Default: 10 seconds. Zero and negative are errors: a queue that is not removed costs money for ever.
func CleanupTimeout(limit time.Duration) Option {
	return Option{"CleanupTimeout", ofQueue, func(s *settings) error {
		s.cleanupTimeout = limit
		return refuseIf(limit <= 0, fmt.Sprintf("%v is not positive", limit))
	}}
}

// AllowSHA1 also accepts SNS's signature version 1, which is SHA-1 and a topic's default. Better: set the topic's
// attribute SignatureVersion to 2.
func AllowSHA1() Option {
	return Option{"AllowSHA1", ofEndpoint, func(s *settings) error { s.allowSHA1 = true; return nil }}
}

// Certificates replaces how the endpoint gets a signing certificate, and what it trusts. It is called with a
// SigningCertURL only after the URL's host and path were checked; the endpoint keeps what it returns until
// the certificate expires. It must be safe for concurrent use.
func Certificates(get func(ctx context.Context, url string) (*x509.Certificate, error)) Option {
	return Option{"Certificates", ofEndpoint, func(s *settings) error {
		s.certificates = get
		return refuseIf(get == nil, "the function is nil")
	}}
}

// HTTPClient fetches signing certificates and confirms the subscription. It must verify TLS: that is what proves
// a certificate to be SNS's. Default: a client with a time limit of 5 seconds. Redirects are never followed.
func HTTPClient(client *http.Client) Option {
	return Option{"HTTPClient", ofEndpoint, func(s *settings) error {
		s.httpClient = client
		return refuseIf(client == nil, "the client is nil")
	}}
}

// newSettings applies options, and returns everything that is wrong at once. A Lambda has no topic of its own.
func newSettings(kind source, topicARN string, sink change.Sink, options []Option) (settings, error) {
	s := settings{
		logger:         slog.Default(),
		owner:          defaultOwner(),
		cleanupTimeout: 10 * time.Second,
		httpClient:     &http.Client{Timeout: 5 * time.Second},
	}
	var errs []error
	if kind != ofLambda {
		var err error
		s.topic, err = parseTopic(topicARN)
		errs = append(errs, err)
	}
	errs = append(errs, refuseIf(sink == nil, "the sink is nil"))
	for _, o := range options {
		if o.apply == nil {
			errs = append(errs, errors.New("an option is empty: make options with this package's functions"))
			continue
		}
		err := o.apply(&s)
		if o.of&kind == 0 {
			err = errors.New("it has no effect here: leave it out")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("option %s: %w", o.name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("set up subscriber.%v: %w", kind, err)
	}
	return s, nil
}

// parseTopic reads a topic's ARN. A subscription's, which has one part more, is an easy mistake.
func parseTopic(s string) (arn.ARN, error) {
	a, err := arn.Parse(s)
	if err != nil || a.Service != "sns" || a.Region == "" || a.AccountID == "" || a.Resource == "" ||
		strings.ContainsAny(a.Resource, ":/*") {
		return a, fmt.Errorf("topic %q: want an SNS topic's ARN, such as arn:aws:sns:us-east-1:123456789012:flags", s)
	}
	return a, nil
}

// defaultOwner is what a person can look for: the machine or task, and the process there.
func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// refuseIf is an error with problem, or none.
func refuseIf(wrong bool, problem string) error {
	if wrong {
		return errors.New(problem)
	}
	return nil
}
