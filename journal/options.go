package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/dynamoclient"
	"github.com/warmflags/warmflags/internal/extension"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// Defaults of a [Follower].
const (
	DefaultInterval        = time.Second
	DefaultBudget          = 20 * time.Millisecond
	DefaultReconnectBudget = 150 * time.Millisecond
	DefaultFlushBudget     = extension.DefaultFlushBudget
	DefaultFlushInterval   = extension.DefaultInterval
)

// ReadAPI is the part of [dynamodb.Client] that a [Follower] uses. It must respect its context.
type ReadAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Option sets an option of [Follow]. Wrong options are reported by [Follower.Refresh] and [Follower.Run], all at once.
type Option func(*settings)

// settings are the values of the options. They never change after Follow returned.
type settings struct {
	table, prefix, region      string
	sink                       change.Sink
	client                     ReadAPI
	interval                   time.Duration
	budget, reconnectBudget    time.Duration
	flushBudget, flushInterval time.Duration
	copies                     int
	logger                     *slog.Logger
	clock                      func() clock.Instant
	err                        error // what is wrong with the options
}

// Prefix is the LaunchDarkly environment in the table. The default, "", is no prefix.
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// Interval is the longest time for which the outcome of a poll is used; the default is 1 second ([DefaultInterval]).
// Each poll uses 90 to 100 % of it, at random, so that processes that started together do not poll together for long.
// With 0 each call of [Follower.Refresh] polls, and [Follower.Run] uses the default. A negative value is an error.
func Interval(d time.Duration) Option { return func(s *settings) { s.interval = d } }

// Client is the DynamoDB client. Share it with dynamostore: another client takes time at each cold start, and a
// connection of its own. The default is a client made from the environment that Lambda sets; outside of Lambda pass
// one.
func Client(client ReadAPI) Option { return func(s *settings) { s.client = client } }

// Region is the region whose journal is polled: the region of the table that the client reads. The default is the
// client's region, or else AWS_REGION from the environment.
func Region(region string) Option { return func(s *settings) { s.region = region } }

// Copies is the number of copies of the journal, as in the stack's parameter; the default is 1, and the maximum is
// [MaxCopies]. A follower polls one of them, which it selects at random.
func Copies(n int) Option { return func(s *settings) { s.copies = n } }

// Budget is the longest time that an invocation waits for a poll, though at most half of the time that it has left;
// the default is 20 milliseconds ([DefaultBudget]). With 0 it does not wait. The poll goes on beside the invocation,
// and also after it. A negative value is an error.
func Budget(d time.Duration) Option { return func(s *settings) { s.budget = d } }

// ReconnectBudget is [Budget] for a poll that may need a new TLS connection: the first one, and the first one after 5
// seconds or more without a poll. The default is 150 milliseconds ([DefaultReconnectBudget]): twice the longest of
// 500 such polls at 7 % of a core, as in a function with 128 MB (go -C benchmarks run ./coldstart). Values below
// [Budget] have no effect. A negative value is an error.
func ReconnectBudget(d time.Duration) Option { return func(s *settings) { s.reconnectBudget = d } }

// FlushBudget is the longest time for which an environment stays awake after an answer to send events, if
// [Follower.FlushEvents] is used. The default is 1 second ([DefaultFlushBudget]). It must be positive.
func FlushBudget(d time.Duration) Option { return func(s *settings) { s.flushBudget = d } }

// FlushInterval is the shortest time between two flushes of events; the default is 5 seconds ([DefaultFlushInterval]).
// It must be positive.
func FlushInterval(d time.Duration) Option { return func(s *settings) { s.flushInterval = d } }

// Logger gets a line when the journal is not found, cannot be read, or can be read again. The default, also for nil, is
// [slog.Default].
func Logger(logger *slog.Logger) Option { return func(s *settings) { s.logger = logger } }

// newSettings applies the options and finds the region. What is wrong is in err, for the first call that can return it.
func newSettings(table string, sink change.Sink, options []Option) settings {
	s := settings{
		table: table, sink: sink, copies: 1, clock: clock.Now, interval: DefaultInterval,
		budget: DefaultBudget, reconnectBudget: DefaultReconnectBudget,
		flushBudget: DefaultFlushBudget, flushInterval: DefaultFlushInterval,
	}
	for _, option := range options {
		option(&s)
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	if client, ok := s.client.(*dynamodb.Client); ok && client != nil && s.region == "" {
		s.region = client.Options().Region
	}
	for _, variable := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if s.region == "" {
			s.region = os.Getenv(variable)
		}
	}
	var clientErr error
	if s.client == nil {
		s.client, clientErr = newClient(s.region)
	}
	s.err = s.check(clientErr)
	return s
}

// newClient returns a client of the region, made from Lambda's environment.
func newClient(region string) (ReadAPI, error) {
	client, err := dynamoclient.New(nil)
	if err != nil {
		return nil, fmt.Errorf("no Client was passed: %w", err)
	}
	return dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.Region = region }), nil
}

// check returns everything that is wrong with the options in one error.
func (s *settings) check(clientErr error) error {
	var problems []error
	if clientErr != nil {
		problems = append(problems, clientErr)
	}
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.table == "" {
		report("the table's name is empty")
	}
	if err := layout.CheckPrefix(s.prefix); err != nil {
		problems = append(problems, err)
	}
	if s.sink == nil {
		report("the sink is nil: pass what changes are delivered to, such as a cachedstore.Store")
	}
	if s.region == "" {
		report("there is no AWS region: set AWS_REGION, or pass Region")
	}
	type duration struct {
		name  string
		value time.Duration
	}
	for _, d := range []duration{{"FlushBudget", s.flushBudget}, {"FlushInterval", s.flushInterval}} {
		if d.value <= 0 {
			report("%s(%v): must be positive", d.name, d.value)
		}
	}
	for _, d := range []duration{{"Interval", s.interval}, {"Budget", s.budget}, {"ReconnectBudget", s.reconnectBudget}} {
		if d.value < 0 {
			report("%s(%v): must not be negative", d.name, d.value)
		}
	}
	if s.copies < 1 || s.copies > MaxCopies {
		report("Copies(%d): use 1 to %d", s.copies, MaxCopies)
	}
	if len(problems) > 0 {
		return fmt.Errorf("configure journal's follower of table %q: %w", s.table, errors.Join(problems...))
	}
	return nil
}
