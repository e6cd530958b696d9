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

// ReadAPI is the part of [dynamodb.Client] that a [Follower] uses. A call must end when its context ends.
type ReadAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Option sets an option of [Follow]. Wrong options are reported by [Follower.Refresh] and [Follower.Run], all at once.
type Option func(*settings)

// settings are the values of the options. They do not change after Follow has returned.
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

// Prefix identifies the LaunchDarkly environment in the table. The default is "", the environment without a prefix.
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// Interval is the longest time for which the result of a poll is reused; the default is 1 second ([DefaultInterval]).
// Each poll picks a random value between 90 % and 100 % of it, so that processes that started together soon poll at
// different times. With 0, each call of [Follower.Refresh] polls, and [Follower.Run] uses the default. A negative value
// is an error.
func Interval(d time.Duration) Option { return func(s *settings) { s.interval = d } }

// Client sets the DynamoDB client. Pass the client that dynamostore uses: a second client opens its own connection and
// makes each cold start longer. The default is a client configured from the environment variables that Lambda sets.
// Outside of Lambda, a client is required.
func Client(client ReadAPI) Option { return func(s *settings) { s.client = client } }

// Region sets the region whose journal is polled: the region of the table that the client reads. The default is the
// client's region, or else AWS_REGION or AWS_DEFAULT_REGION from the environment.
func Region(region string) Option { return func(s *settings) { s.region = region } }

// Copies is the number of copies of the journal: the value of the stack's parameter JournalCopies. The default is 1,
// and the maximum is [MaxCopies]. A follower selects one copy at random and polls only that copy.
func Copies(n int) Option { return func(s *settings) { s.copies = n } }

// Budget is the longest time that an invocation waits for a poll; the default is 20 milliseconds ([DefaultBudget]). An
// invocation never waits for more than half of the time until its deadline. With 0 it does not wait. The poll itself
// continues during the invocation, and after it, for 2.5 seconds or the budget. A negative value is an error.
func Budget(d time.Duration) Option { return func(s *settings) { s.budget = d } }

// ReconnectBudget replaces [Budget] for a poll that may need a new TLS connection: the first poll, and the first poll
// after 5 seconds or more without one. The default is 150 milliseconds ([DefaultReconnectBudget]): twice the longest
// of 500 such polls at 7 % of a core, as in a function with 128 MB (go -C benchmarks run ./coldstart). Values below
// [Budget] have no effect. A negative value is an error.
func ReconnectBudget(d time.Duration) Option { return func(s *settings) { s.reconnectBudget = d } }

// FlushBudget is the longest time that an invocation is extended after its answer to send events, if
// [Follower.FlushEvents] is used. The default is 1 second ([DefaultFlushBudget]). Zero and negative values are errors.
func FlushBudget(d time.Duration) Option { return func(s *settings) { s.flushBudget = d } }

// FlushInterval is the shortest time between two flushes of events; the default is 5 seconds ([DefaultFlushInterval]).
// Zero and negative values are errors.
func FlushInterval(d time.Duration) Option { return func(s *settings) { s.flushInterval = d } }

// Logger sets the logger. It gets one line when the journal is not found, when it cannot be read, and when it can be
// read again. The default, also for nil, is [slog.Default].
func Logger(logger *slog.Logger) Option { return func(s *settings) { s.logger = logger } }

// newSettings applies the options and finds the region. It stores all problems in err, for the first call that can
// return an error.
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

// newClient returns a client for the region, configured from Lambda's environment variables.
func newClient(region string) (ReadAPI, error) {
	client, err := dynamoclient.New(nil)
	if err != nil {
		return nil, fmt.Errorf("create the default Client: %w", err)
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
		report("the sink is nil: pass the change.Sink to invalidate, such as a cachedstore.Store")
	}
	if s.region == "" {
		report("no AWS region: set AWS_REGION, or pass Region")
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
	for _, d := range []duration{
		{"Interval", s.interval}, {"Budget", s.budget}, {"ReconnectBudget", s.reconnectBudget},
	} {
		if d.value < 0 {
			report("%s(%v): must not be negative", d.name, d.value)
		}
	}
	if s.copies < 1 || s.copies > MaxCopies {
		report("Copies(%d): use 1 to %d", s.copies, MaxCopies)
	}
	if len(problems) > 0 {
		return fmt.Errorf("configure journal follower of table %q: %w", s.table, errors.Join(problems...))
	}
	return nil
}
