package warmflags

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/cachedstore"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/dynamoclient"
	"github.com/warmflags/warmflags/internal/lambdaenv"
	"github.com/warmflags/warmflags/journal"
)

// Option configures [Open]. Open reports all wrong options in one error.
type Option func(*settings)

// Table sets the table's name. Default: the environment variable TABLE_NAME.
func Table(name string) Option { return func(s *settings) { s.table = name } }

// Prefix sets the LaunchDarkly environment in the table; "" means no prefix. Default: the environment variable PREFIX.
func Prefix(prefix string) Option { return func(s *settings) { s.prefix = prefix } }

// SDKKey sets LaunchDarkly's SDK key, which is used to send events; with "" no events are sent. Default: the
// environment variable LD_SDK_KEY.
func SDKKey(key string) Option { return func(s *settings) { s.sdkKey = key } }

// AWSConfig sets the AWS configuration, for example the result of config.LoadDefaultConfig. Default: region,
// credentials and endpoint from the environment variables that Lambda sets; Open returns an error if they are
// missing.
func AWSConfig(cfg aws.Config) Option { return func(s *settings) { s.config = &cfg } }

// DynamoDB sets the DynamoDB client. Default: a client made from the [AWSConfig].
func DynamoDB(client dynamostore.API) Option { return func(s *settings) { s.client = client } }

// LaunchDarkly sets the configuration of LaunchDarkly's client, for example its events, logging or big segments.
// DataStore and DataSource must be nil: Open sets them, and DiagnosticOptOut. Default: the zero ld.Config, without
// events if there is no SDK key.
func LaunchDarkly(config ld.Config) Option { return func(s *settings) { s.launchDarkly = config } }

// Cache adds options of the cache, for example [cachedstore.TTL] or [cachedstore.Preload]. Open sets the cache's
// InLambda. Default: none.
func Cache(options ...cachedstore.Option) Option {
	return func(s *settings) { s.cache = append(s.cache, options...) }
}

// Journal adds options of the journal's follower, for example [journal.Interval], [journal.Budget] or
// [journal.Copies]. Open sets the follower's Prefix, Client and Logger. Default: none.
func Journal(options ...journal.Option) Option {
	return func(s *settings) { s.journal = append(s.journal, options...) }
}

// Logger sets where Open and the journal's follower log. Default, also for nil: [slog.Default]. LaunchDarkly's
// client and the cache log to the loggers in [LaunchDarkly].
func Logger(logger *slog.Logger) Option { return func(s *settings) { s.logger = logger } }

// OnChange sets a function that is called after the journal, or another source that delivers to the [Flags],
// invalidated items. Its arguments are the changes, or nothing if every item may have changed. Evaluations that start
// from then on see the new values. The source waits until the function returns. With several sources, calls can
// overlap. Default, also for nil: none.
func OnChange(notify func(changes ...change.Change)) Option {
	return func(s *settings) { s.onChange = notify }
}

// InLambda sets whether this process is a Lambda function that is frozen between invocations. If so, only
// [Flags.Handler] and [Flags.Refresh] poll the journal, and an evaluation in an invocation without Handler logs one
// error. If not, a timer polls too. The cache gets the same setting ([cachedstore.InLambda]). The default is determined
// from Lambda's environment variables; it is false on Lambda Managed Instances. Two settings depend on the environment,
// not on InLambda: the default of [cachedstore.ReadLimit], and whether events are sent after invocations
// ([journal.Follower.FlushEvents]).
func InLambda(yes bool) Option { return func(s *settings) { s.inLambda = yes } }

// WrapDataStore sets a function that wraps the data store from which LaunchDarkly's client reads flags and
// segments, for example to trace its reads. Open calls it once. Default, also for nil: no wrapper.
func WrapDataStore(wrap func(subsystems.DataStore) subsystems.DataStore) Option {
	return func(s *settings) { s.wrap = wrap }
}

// settings holds the configuration from the environment variables and the options. It does not change after
// newSettings.
type settings struct {
	table, prefix, sdkKey string
	config                *aws.Config
	client                dynamostore.API // nil if clientErr is set
	clientErr             error
	launchDarkly          ld.Config
	cache                 []cachedstore.Option
	journal               []journal.Option
	logger                *slog.Logger
	onChange              func(...change.Change) // never nil
	inLambda              bool
	wrap                  func(subsystems.DataStore) subsystems.DataStore // nil means no wrapper
}

func newSettings(options []Option) settings {
	s := settings{table: os.Getenv("TABLE_NAME"), prefix: os.Getenv("PREFIX"), sdkKey: os.Getenv("LD_SDK_KEY"),
		inLambda: lambdaenv.Freezes()}
	for _, option := range options {
		option(&s)
	}
	if s.logger == nil {
		s.logger = slog.Default()
	}
	if s.onChange == nil {
		s.onChange = func(...change.Change) {}
	}
	switch {
	case s.client != nil && s.config != nil:
		s.clientErr = errors.New("DynamoDB and AWSConfig are both set: use one of them")
	case s.client == nil:
		if client, err := dynamoclient.New(s.config); err != nil {
			s.clientErr = fmt.Errorf("make a DynamoDB client: %w", err)
		} else {
			s.client = client
		}
	}
	return s
}

// problems returns everything that is wrong with the configuration.
func (s settings) problems() (problems []error) {
	if s.table == "" {
		problems = append(problems, errors.New("TABLE_NAME is not set: set it to the flag table's name, or use Table"))
		s.table = "(not set)" // so that the cache and the journal do not report the same problem
	}
	if s.clientErr != nil {
		problems = append(problems, s.clientErr)
		s.client = dynamodb.New(dynamodb.Options{Region: "(not set)"})
	}
	if s.launchDarkly.DataStore != nil || s.launchDarkly.DataSource != nil {
		problems = append(problems,
			errors.New("option LaunchDarkly: DataStore and DataSource must be nil: Open sets them"))
	}
	store := s.newStore()
	for _, err := range []error{store.Err(), journal.Follow(s.table, store, s.journalOptions()...).Err()} {
		if err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// sendsEvents reports whether the client sends events.
func (s settings) sendsEvents() bool {
	events := s.launchDarkly.Events
	return !s.launchDarkly.Offline && (events != nil || s.sdkKey != "") &&
		reflect.TypeOf(events) != reflect.TypeOf(ldcomponents.NoEvents())
}

func (s settings) newStore() *cachedstore.Store {
	return cachedstore.New(dynamostore.DataStore(s.table).Prefix(s.prefix).Client(s.client),
		append(slices.Clip(s.cache), cachedstore.InLambda(s.inLambda))...)
}

func (s settings) journalOptions() []journal.Option {
	return append(slices.Clip(s.journal), journal.Prefix(s.prefix), journal.Client(s.client), journal.Logger(s.logger))
}

// clientConfig returns the configuration of a client in daemon mode. Diagnostic events are off: they would cost a
// call to LaunchDarkly in each cold start.
func (s settings) clientConfig(f *Flags, polled <-chan struct{}) ld.Config {
	config := s.launchDarkly
	config.DataSource = ldcomponents.ExternalUpdatesOnly()
	config.DiagnosticOptOut = true
	if !s.sendsEvents() {
		config.Events = ldcomponents.NoEvents()
	}
	config.DataStore = wrappedStore{f, s.wrap, polled}
	return config
}

// wrappedStore builds the client's data store. If the cache is preloaded, it is built after the first poll of the
// journal. That poll invalidates everything, so a cache that was preloaded before it would be read twice.
type wrappedStore struct {
	flags  *Flags
	wrap   func(subsystems.DataStore) subsystems.DataStore // nil means no wrapper
	polled <-chan struct{}                                 // closed when the first poll has ended
}

// Build implements [subsystems.ComponentConfigurer].
func (w wrappedStore) Build(clientContext subsystems.ClientContext) (subsystems.DataStore, error) {
	if w.flags.store.Preloads() {
		<-w.polled
	}
	store, err := w.flags.store.Build(clientContext)
	if err != nil {
		return nil, err
	}
	if w.wrap != nil {
		store = w.wrap(store)
	}
	if w.flags.inLambda {
		store = watched{store, w.flags}
	}
	return store, nil
}

// watched is a data store that checks, at each read, that the invocation is wrapped by [Flags.Handler].
type watched struct {
	subsystems.DataStore
	flags *Flags
}

// Get implements [subsystems.DataStore].
func (w watched) Get(kind ldstoretypes.DataKind, key string) (ldstoretypes.ItemDescriptor, error) {
	w.flags.checkWrapped()
	return w.DataStore.Get(kind, key)
}

// GetAll implements [subsystems.DataStore].
func (w watched) GetAll(kind ldstoretypes.DataKind) ([]ldstoretypes.KeyedItemDescriptor, error) {
	w.flags.checkWrapped()
	return w.DataStore.GetAll(kind)
}
