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
	"github.com/warmflags/warmflags/internal/dynamoclient"
)

// Defaults of a [Follower].
const (
	DefaultInterval    = time.Second
	DefaultBudget      = 20 * time.Millisecond
	DefaultFlushBudget = 100 * time.Millisecond
)

// readLimit is how long a look may take that nobody gives up.
const readLimit = 3 * time.Second

// ReadAPI is the part of [dynamodb.Client] that a [Follower] uses.
type ReadAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Option sets an option of [Follow]. Wrong options are reported by [Follower.Refresh], all at once.
type Option func(*settings)

// settings are what the options say. They never change once Follow has returned.
type settings struct {
	table, prefix, region string
	sink                  change.Sink
	client                ReadAPI
	interval              time.Duration
	budget, flushBudget   time.Duration
	copies                int
	logger                *slog.Logger
	clock                 func() instant
	err                   error // what is wrong with them; nil if nothing is
}

// Prefix is the LaunchDarkly environment in the table. The default, "", is no prefix.
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// Interval is how long a look at the journal is good for, at most; the default is 1 second ([DefaultInterval]).
// Each time 90 to 100 % of it are drawn at random, so that containers that were woken together do not look together
// for long. It must be positive.
func Interval(d time.Duration) Option { return func(s *settings) { s.interval = d } }

// Client is the DynamoDB client; share it with dynamostore's, as making one takes time at each cold start, and a
// connection of its own. The default is one made from the environment that Lambda sets; outside of Lambda pass one.
func Client(client ReadAPI) Option { return func(s *settings) { s.client = client } }

// Region is the region whose journal is read: that of the table which the client reads. The default is the client's
// own region, and else AWS_REGION from the environment.
func Region(region string) Option { return func(s *settings) { s.region = region } }

// Copies is how many copies of the journal there are, as the stack was told; the default is 1, and the most is
// [MaxCopies]. A follower picks one at random and keeps to it.
func Copies(n int) Option { return func(s *settings) { s.copies = n } }

// Budget is how long an invocation waits for a look, but at most half of the time that it has left; the default is 20
// milliseconds ([DefaultBudget]). With 0 it does not wait: the look goes on beside it. A look is given up when its
// invocation ends: where the budget and the handler together are shorter than a read, no look may ever come to its end,
// and only the sink's own TTL limits staleness. A negative value is an error.
func Budget(d time.Duration) Option { return func(s *settings) { s.budget = d } }

// FlushBudget is how long an invocation waits for the client's events to be sent, where [Follower.FlushEvents] is used;
// at most half of the time that it has left, so that its answer is not late. The default is 100 milliseconds
// ([DefaultFlushBudget]). It must be positive.
func FlushBudget(d time.Duration) Option { return func(s *settings) { s.flushBudget = d } }

// Logger gets a line when the journal is found to be missing, cannot be read, or can be read again. The default, nil,
// is [slog.Default].
func Logger(logger *slog.Logger) Option { return func(s *settings) { s.logger = logger } }

// newSettings applies the options and finds the region: the given one, the client's, the environment's. What is wrong is in
// err, for the first call that can return it.
func newSettings(table string, sink change.Sink, options []Option) settings {
	s := settings{
		table: table, sink: sink, copies: 1, clock: systemClock,
		interval: DefaultInterval, budget: DefaultBudget, flushBudget: DefaultFlushBudget,
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

// newClient makes a client of the region from Lambda's environment.
func newClient(region string) (ReadAPI, error) {
	client, err := dynamoclient.New(nil)
	if err != nil {
		return nil, fmt.Errorf("no Client was passed: %w", err)
	}
	return dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.Region = region }), nil
}

// check says all that is wrong with the settings in one error; nil if nothing is.
func (s *settings) check(clientErr error) error {
	var problems []error
	if clientErr != nil {
		problems = append(problems, clientErr)
	}
	if s.table == "" {
		problems = append(problems, errors.New("the table's name is empty"))
	}
	if s.sink == nil {
		problems = append(problems, errors.New("sink: nil: pass what changes are delivered to, such as a cachedstore.Store"))
	}
	if s.region == "" {
		problems = append(problems, errors.New("there is no AWS region: set AWS_REGION, or pass Region"))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", s.interval}, {"FlushBudget", s.flushBudget}} {
		if d.value <= 0 {
			problems = append(problems, fmt.Errorf("%s(%v): must be positive", d.name, d.value))
		}
	}
	if s.budget < 0 {
		problems = append(problems, fmt.Errorf("Budget(%v): must not be negative", s.budget))
	}
	if s.copies < 1 || s.copies > MaxCopies {
		problems = append(problems, fmt.Errorf("Copies(%d): use 1 to %d", s.copies, MaxCopies))
	}
	if len(problems) > 0 {
		return fmt.Errorf("configure journal's follower of table %q: %w", s.table, errors.Join(problems...))
	}
	return nil
}
