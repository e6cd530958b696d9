package flagsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/warmflags/warmflags/internal/table"
)

const (
	defaultTimeout = 10 * time.Second
	defaultLinger  = 2 * time.Second
)

// Option configures a [Syncer] or a [Handler].
type Option func(*options)

// options holds the options of a Syncer or a Handler; each uses the ones that apply to it. It does not change after
// newOptions. The first call that returns an error reports the problems.
type options struct {
	timeout, linger time.Duration
	connection      connection
	removals        float64 // the share of a kind's items that a payload may remove
	force, dryRun   bool
	logger          *slog.Logger
	progress        func(done, total int)
	queue           QueueClient
	queueURL        string
	problems        []error
}

// newOptions applies the options to the defaults.
func newOptions(list []Option) options {
	o := options{
		timeout: defaultTimeout, linger: defaultLinger, removals: defaultRemovals, logger: slog.Default(),
		connection: connection{uri: defaultStreamURI},
	}
	for _, option := range list {
		option(&o)
	}
	return o
}

// Timeout bounds the wait for LaunchDarkly's first payload: the time without data, and a sixth of the whole wait while
// data arrives. Default, and 0: 10s. Negative: an error.
func Timeout(d time.Duration) Option {
	return func(o *options) {
		if d < 0 {
			o.problems = append(o.problems, fmt.Errorf("option Timeout is %v: it must not be negative", d))
		} else if d > 0 {
			o.timeout = d
		}
	}
}

// Linger sets how long a sync keeps listening after its first write. It writes changes as they arrive. Default, and
// 0: 2s. Negative: the sync does not listen.
func Linger(d time.Duration) Option {
	return func(o *options) {
		if d != 0 {
			o.linger = d
		}
	}
}

// StreamURI sets the base URI of LaunchDarkly's stream, without the path "/all": that of LaunchDarkly's EU instance
// (https://stream.eu.launchdarkly.com), its federal instance (https://stream.launchdarkly.us) or a Relay Proxy.
// Default, and empty: https://stream.launchdarkly.com. Anything but an http or https URI is an error.
func StreamURI(uri string) Option {
	return func(o *options) {
		if uri == "" {
			return
		}
		if err := checkURI(uri); err != nil {
			o.problems = append(o.problems, err)
		}
		o.connection.uri = uri
	}
}

// PayloadFilter sets the key of a payload filter
// (https://launchdarkly.com/docs/home/getting-started/payload-filtering). Only the flags that the filter selects are
// synced; all other flags are removed from the table. Default, and empty: all flags.
func PayloadFilter(key string) Option { return func(o *options) { o.connection.filter = key } }

// HTTPClient sets the client for requests to LaunchDarkly. It must not have a timeout, which would end streams.
// Default, and nil: a client that takes proxies from the environment.
func HTTPClient(client *http.Client) Option { return func(o *options) { o.connection.client = client } }

// Force lifts the guards: an empty payload, many removals and lower versions are written. Default: no.
func Force() Option { return func(o *options) { o.force = true } }

// DryRun makes a sync fetch and compare, but take no fencing token and write nothing. Default: no.
func DryRun() Option { return func(o *options) { o.dryRun = true } }

// Logger sets the logger. It gets one line per sync, one line per request of a [Handler], and warnings. Default, and
// nil: [slog.Default].
func Logger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = l
		}
	}
}

// Progress sets a function that is called before a payload's first transaction and after each transaction. Its
// arguments are the number of rows written so far and the number of rows to write. Default: none.
func Progress(f func(done, total int)) Option { return func(o *options) { o.progress = f } }

// Syncer syncs one LaunchDarkly environment to its rows in a table. It is safe for concurrent use: of two concurrent
// syncs, the one that started later wins.
type Syncer struct {
	environment *table.Environment
	keys        Keys
	options
}

// New makes a syncer. It syncs the LaunchDarkly environment whose SDK key is in keys under the environment's prefix.
// Sync and Watch report wrong options.
func New(environment *table.Environment, keys Keys, options ...Option) *Syncer {
	s := &Syncer{environment: environment, keys: keys, options: newOptions(options)}
	if environment == nil || environment.Client == nil || environment.Table == "" || keys == nil {
		s.environment = cmp.Or(environment, &table.Environment{}) // the error names its table and prefix
		s.problems = append(s.problems, errors.New("a sync needs an environment with a client and a table, and keys"))
	}
	return s
}

// Sync makes the table equal to the environment, in the steps that the package comment lists, and logs one line.
//
// Its error wraps [ErrUnauthorized] if LaunchDarkly refuses the SDK key, also after the key was read again;
// [ErrGuard] if the payload looks wrong and none of it was written; or [table.ErrTokenLost] if a newer sync has
// begun. The Result of a failed sync has the differences that were found before it failed.
func (s *Syncer) Sync(ctx context.Context) (Result, error) {
	b := newResultBuilder()
	err := errors.Join(s.problems...)
	if err == nil {
		err = s.end(ctx, b, s.withKey(ctx, func(key string) error { return s.sync(ctx, key, b) }))
	}
	err = s.named(err)
	s.log(ctx, b, err)
	return b.result(), err
}

// end records in the table that the sync succeeded or was held, unless a newer sync has begun. It returns the sync's
// error joined with the error of recording it.
func (s *Syncer) end(ctx context.Context, b *resultBuilder, err error) error {
	held := isFinal(err)
	if b.token == 0 || err != nil && !held {
		return err
	}
	return errors.Join(err, s.environment.EndSync(ctx, b.token, b.start, held))
}

// named adds the environment's prefix and the table to an error.
func (s *Syncer) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sync prefix %q of table %q: %w", s.environment.Prefix, s.environment.Table, err)
}

// sync is one attempt of Sync, with one SDK key. A second attempt, with another key, takes a new token and adds to
// the same result.
func (s *Syncer) sync(ctx context.Context, key string, b *resultBuilder) error {
	f, err := s.begin(ctx, key, b)
	if err != nil {
		return err
	}
	defer func() {
		b.ignored += f.takeIgnored()
		f.close()
	}()
	if err := s.write(ctx, f, b); err != nil || s.dryRun || s.linger < 0 {
		return err
	}
	// LaunchDarkly's webhook can arrive before its stream has the change. The payload is then too old, and the change
	// follows as a patch. Waiting for the patch here is cheaper than another sync.
	end := time.NewTimer(s.linger)
	defer end.Stop()
	for began := time.Now(); time.Since(began) < s.linger; { // the condition matters if patches never pause
		received, err := f.wait(ctx, end.C)
		if err != nil {
			return fmt.Errorf("listen for late changes: %w", err)
		}
		if !received {
			break
		}
		if err := s.write(ctx, f, b); err != nil {
			return err
		}
	}
	return nil
}

// begin takes the fencing token and waits for the first payload. The caller must close the feed.
func (s *Syncer) begin(ctx context.Context, key string, b *resultBuilder) (f *feed, err error) {
	// The token is taken before the data is requested: of two syncs, the one with the higher token has newer data.
	if !s.dryRun {
		if b.token, err = s.environment.TakeToken(ctx); err != nil {
			return nil, err
		}
	}
	f = listen(ctx, s.connection, key, s.logger)
	if err := f.first(ctx, s.timeout); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// write writes the feed's updates to the table: a payload as a whole, or patches one by one.
func (s *Syncer) write(ctx context.Context, f *feed, b *resultBuilder) error {
	data, whole := f.take()
	b.ignored += f.takeIgnored()
	compare := s.environment.CompareItems
	if whole {
		compare = s.environment.Compare
	}
	d, err := compare(ctx, data)
	if err != nil {
		return err
	}
	b.whole = b.whole || whole
	b.compared(d, s.force) // before the guards, so that the log says what a guard holds
	// The guards check every payload, also one of a later connection. They do not check patches: a person made each.
	if whole && !s.force {
		if err := guard(data, d, s.removals); err != nil {
			return err
		}
	}
	if s.dryRun {
		return nil
	}
	if whole {
		s.announce(ctx, d)
	}
	written, err := s.environment.Write(ctx, d,
		table.WriteOptions{Token: b.token, Lower: s.force, Progress: s.progress})
	b.written(written)
	return err
}

// announce logs that rows will be rewritten although their versions did not change. That happens after LaunchDarkly's
// SDKs, or earlier releases of warmflags, stored their own form of the items.
func (s *Syncer) announce(ctx context.Context, d *table.Difference) {
	rewritten := 0
	for _, e := range d.Updated {
		if e.Version == e.Was {
			rewritten++
		}
	}
	if rewritten > 0 {
		s.logger.InfoContext(ctx,
			"rewriting rows in the form in which LaunchDarkly sent them; their versions do not change",
			"rows", rewritten, "table", s.environment.Table, "prefix", s.environment.Prefix)
	}
}
