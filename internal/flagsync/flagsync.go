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

// options are what the options of a Syncer and of a Handler come to; each uses those that are for it. They never
// change after newOptions. Problems are what is wrong with them, for the first call that can return it.
type options struct {
	timeout, linger time.Duration
	connection      connection
	removals        float64 // the share that a payload may remove
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

// Timeout limits the wait for LaunchDarkly's first answer. Default, and 0: 10s. Negative: an error.
func Timeout(d time.Duration) Option {
	return func(o *options) {
		if d < 0 {
			o.problems = append(o.problems, fmt.Errorf("option Timeout is %v: it must not be negative", d))
		} else if d > 0 {
			o.timeout = d
		}
	}
}

// Linger is how long a sync listens on after its first write. What arrives is written at once. Default, and 0:
// 2s. Negative: not at all.
func Linger(d time.Duration) Option {
	return func(o *options) {
		if d != 0 {
			o.linger = d
		}
	}
}

// StreamURI is the base URI of LaunchDarkly's stream, without a path of LaunchDarkly's: of its EU instance
// (https://stream.eu.launchdarkly.com), its federal instance (https://stream.launchdarkly.us) or a Relay Proxy.
// Default, and empty: https://stream.launchdarkly.com. What is not an http or https URI is an error.
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

// PayloadFilter is the key of a payload filter
// (https://launchdarkly.com/docs/home/getting-started/payload-filtering): only the flags that it selects are synced,
// and others are removed from the table. Default, and empty: all flags.
func PayloadFilter(key string) Option { return func(o *options) { o.connection.filter = key } }

// HTTPClient makes the requests to LaunchDarkly. It must not have a timeout, which would end streams. Default, and
// nil: a client that takes proxies from the environment.
func HTTPClient(client *http.Client) Option { return func(o *options) { o.connection.client = client } }

// Force lifts the guards: an empty payload, many removals and lower versions are written. Default: no.
func Force() Option { return func(o *options) { o.force = true } }

// DryRun fetches and compares, but takes no fencing token and writes nothing. Default: no.
func DryRun() Option { return func(o *options) { o.dryRun = true } }

// Logger gets one line a sync, one more for each batch of a [Handler], and the warnings of LaunchDarkly's client.
// Default, and nil: [slog.Default].
func Logger(l *slog.Logger) Option {
	return func(o *options) {
		if l != nil {
			o.logger = l
		}
	}
}

// Progress is called before a payload's first transaction and after each, with the number of rows that are written
// and of all that will be. Default: none.
func Progress(f func(done, total int)) Option { return func(o *options) { o.progress = f } }

// Syncer syncs one LaunchDarkly environment to its rows in a table. It is safe for concurrent use: of two syncs
// at once, the one that began later wins.
type Syncer struct {
	environment *table.Environment
	keys        Keys
	options
}

// New makes a syncer of the environment whose SDK key the keys have for the store's prefix. Wrong options are
// reported by Sync and Watch.
func New(environment *table.Environment, keys Keys, options ...Option) *Syncer {
	s := &Syncer{environment: environment, keys: keys, options: newOptions(options)}
	if environment == nil || environment.Client == nil || environment.Table == "" || keys == nil {
		s.environment = cmp.Or(environment, &table.Environment{}) // so that the error can name a table
		s.problems = append(s.problems, errors.New("a sync needs an environment with a client and a table, and keys"))
	}
	return s
}

// Sync makes the table equal to the environment, as the package's comment says, and logs one line.
//
// Its error wraps [ErrUnauthorized] when LaunchDarkly refuses the key, also after it was read again, [ErrGuard] when
// the payload looks wrong and nothing of it was written, or [table.ErrTokenLost] when a newer sync has begun.
// The Result of a sync that failed says what was found to differ, as far as it came.
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

// end records in the table that the sync succeeded, or was held, unless a newer sync has begun. It returns the sync's
// error, and why that could not be recorded.
func (s *Syncer) end(ctx context.Context, b *resultBuilder, err error) error {
	held := isFinal(err)
	if b.token == 0 || err != nil && !held {
		return err
	}
	return errors.Join(err, s.environment.EndSync(ctx, b.token, b.start, held))
}

// named says in an error which sync it was.
func (s *Syncer) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sync prefix %q of table %q: %w", s.environment.Prefix, s.environment.Table, err)
}

// sync is one attempt of Sync with one key. After it a second one, with another key, takes a token of its own, and
// adds to the same result.
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
	// LaunchDarkly's webhook can be faster than its stream: then the payload does not have the change yet that the
	// webhook told of. It comes as a patch in a moment, and waiting for it here is cheaper than being called again.
	end := time.NewTimer(s.linger)
	defer end.Stop()
	for began := time.Now(); time.Since(began) < s.linger; { // also when news does not end
		news, err := f.wait(ctx, end.C)
		if err != nil {
			return fmt.Errorf("listen for late changes: %w", err)
		}
		if !news {
			break
		}
		if err := s.write(ctx, f, b); err != nil {
			return err
		}
	}
	return nil
}

// begin takes the fencing token and waits for the first payload. Its caller closes the feed.
func (s *Syncer) begin(ctx context.Context, key string, b *resultBuilder) (f *feed, err error) {
	// First the token, then the data: a sync with a higher token also holds newer data.
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

// write brings what is new in the feed into the table: a payload as a whole, or patches one by one.
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
	b.compared(d, s.force) // before the guards: an operator wants to know what is held
	// A payload that LaunchDarkly's client brings after it connected again is judged like the first one.
	if whole && !s.force { // patches are not checked: a person made each of them
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

// announce logs that rows are about to be rewritten although their versions did not change: LaunchDarkly's SDKs, and
// earlier releases of warmflags, stored their own form of each item.
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
