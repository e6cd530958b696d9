package flagsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	ld "github.com/launchdarkly/go-server-sdk/v7"

	"github.com/warmflags/warmflags/dynamostore"
)

const (
	defaultTimeout = 10 * time.Second
	defaultLinger  = 2 * time.Second
)

// Option configures a [Syncer] or a [Handler].
type Option func(*options)

type options struct {
	timeout, linger time.Duration
	base            ld.Config
	force, dryRun   bool
	logger          *slog.Logger
	problems        []error
}

func newOptions(list []Option) options {
	o := options{timeout: defaultTimeout, linger: defaultLinger, logger: slog.Default()}
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

// LaunchDarkly is the configuration that the LaunchDarkly client starts from: service endpoints, a Relay Proxy,
// HTTP settings, another data source. Its data store, events, diagnostics and logging are set by the sync.
// Default: the zero Config, LaunchDarkly's own service.
func LaunchDarkly(base ld.Config) Option { return func(o *options) { o.base = base } }

// Force lifts the guards: an empty payload, many removals and lower versions are written. Default: no.
func Force() Option { return func(o *options) { o.force = true } }

// DryRun fetches and compares, but takes no fence and writes nothing. Default: no.
func DryRun() Option { return func(o *options) { o.dryRun = true } }

// Logger gets one line a sync, and the warnings of LaunchDarkly's client. Default: [slog.Default].
func Logger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// Syncer syncs one LaunchDarkly environment to its rows in a table. It is safe for concurrent use: of two syncs
// at once, the one that began later wins.
type Syncer struct {
	store  *dynamostore.Store
	sdkKey string
	options
}

// New makes a syncer of the environment that a server-side SDK key belongs to. Wrong options are reported by Sync.
func New(store *dynamostore.Store, sdkKey string, options ...Option) *Syncer {
	s := &Syncer{store: store, sdkKey: sdkKey, options: newOptions(options)}
	if sdkKey == "" {
		s.problems = append(s.problems, errors.New("the SDK key is empty"))
	}
	return s
}

// Sync makes the table equal to the environment, as the package's comment says, and logs one line.
//
// Its error wraps [ErrUnauthorized] when LaunchDarkly refuses the key, [ErrGuard] when the payload looks wrong
// and nothing of it was written, or [dynamostore.ErrFenceLost] when a newer sync has begun. The Result of a sync
// that failed says what was found to differ, as far as it came.
func (s *Syncer) Sync(ctx context.Context) (Result, error) {
	start := time.Now()
	t := newTally()
	err := errors.Join(s.problems...)
	if err == nil {
		err = s.sync(ctx, t)
	}
	result := t.result()
	if err != nil {
		err = fmt.Errorf("sync prefix %q of table %q: %w", s.store.Prefix(), s.store.Table(), err)
	}
	s.log(ctx, result, time.Since(start), err)
	return result, err
}

func (s *Syncer) sync(ctx context.Context, t *tally) (err error) {
	// First the fence, then the data: whoever takes a higher fence also holds newer data.
	if !s.dryRun {
		if t.fence, err = s.store.TakeFence(ctx); err != nil {
			return err
		}
	}
	f, err := listen(ctx, s.sdkKey, s.base, s.logger)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.first(ctx, s.timeout); err != nil {
		return err
	}
	if err := s.write(ctx, f, t); err != nil || s.dryRun || s.linger < 0 {
		return err
	}
	// LaunchDarkly's webhook can be faster than its stream: then the payload does not have the change yet that the
	// webhook told of. It comes as a patch in a moment, and waiting for it here is cheaper than being called again.
	end := time.NewTimer(s.linger)
	defer end.Stop()
	for {
		select {
		case <-f.news:
			if err := s.write(ctx, f, t); err != nil {
				return err
			}
		case <-end.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("listen for late changes: %w", context.Cause(ctx))
		}
	}
}

// write brings what the feed holds into the table: all of it, also when only a patch is new, because comparing all
// needs no second way of deciding what is safe to write.
func (s *Syncer) write(ctx context.Context, f *feed, t *tally) error {
	data := f.snapshot()
	d, err := s.store.Compare(ctx, data)
	if err != nil {
		return err
	}
	t.compared(d, s.force) // before the guards: who is held up wants to know by what
	if !s.force {
		if err := guard(data, d); err != nil {
			return err
		}
	}
	if s.dryRun {
		return nil
	}
	written, err := s.store.Write(ctx, d, dynamostore.WriteOptions{Fence: t.fence, Lower: s.force})
	t.written(written)
	return err
}
