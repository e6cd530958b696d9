package cachedstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/lambdaenv"
)

// The options' defaults.
const (
	DefaultTTL             = 5 * time.Minute
	DefaultReadLimit       = 3 * time.Second
	DefaultLambdaReadLimit = time.Second // in a Lambda function, whose timeout is 3 seconds by default
	DefaultShortWait       = 250 * time.Millisecond
)

// Option changes a [Store]. Wrong options are reported together by [Store.Build].
type Option func(*options)

// options are the settings of a store. They never change after New.
type options struct {
	ttl          time.Duration
	maxStale     time.Duration
	readLimit    time.Duration
	shortWait    time.Duration
	preload      bool
	strict       bool
	refreshAhead bool
	freezes      bool // the process is a Lambda function that is frozen between invocations
	manyStale    int  // GetAll reads this many stale keys one by one; for more, it reads the collection
	maxUnknown   int  // keys that the table does not have are forgotten when a Get has added this many
	clock        func() clock.Instant
}

func defaults() options {
	opts := options{
		ttl: DefaultTTL, readLimit: DefaultReadLimit, shortWait: DefaultShortWait,
		freezes: lambdaenv.Freezes(), manyStale: 25, maxUnknown: 10_000, clock: clock.Now,
	}
	if opts.freezes {
		opts.readLimit = DefaultLambdaReadLimit
	}
	return opts
}

// TTL sets how long an item is served without a read of the table; the default is 5 minutes ([DefaultTTL]). As in
// LaunchDarkly's own builder, 0 disables the cache (every Get begins a read, or waits for one that begins after it),
// and with a negative value an item never expires: only an invalidation has it read again.
//
// The TTL ends when the monotonic or the wall clock shows it. A sweeper removes an item up to 200 ms before, so that
// a hit need not read a clock. It is served longer only if the whole process stands still without [Store.Wake]: for
// at most 100 ms (one sweep) after the process runs again; or after a step of the wall clock: until the next sweep.
// With a TTL below one second, and with [StrictClock], hits read the clock and there is no such exception.
func TTL(d time.Duration) Option { return func(opts *options) { opts.ttl = d } }

// MaxStale limits for how long, counted from when it was read, a last known value is served while the table cannot be
// reached; after that Get returns the error. The default, 0, is no limit; a negative value never serves a last known
// value. A positive value below the TTL is an error.
func MaxStale(d time.Duration) Option { return func(opts *options) { opts.maxStale = d } }

// ReadLimit sets how long a Get waits for one read of the table, and a GetAll for a whole Query with all its pages.
// The default is 3 seconds ([DefaultReadLimit]), in a Lambda function 1 second ([DefaultLambdaReadLimit]). A read
// that takes longer is abandoned: what it finds later is neither kept nor returned. Zero and negative values are
// errors. Raise it where a GetAll of thousands of flags takes longer on a small Lambda function.
func ReadLimit(d time.Duration) Option { return func(opts *options) { opts.readLimit = d } }

// ShortWait sets how long a Get waits for the read of an item that has merely expired, before it returns the expired
// value; the default is 250 ms ([DefaultShortWait]). After the first such wait the table is checked, and until it has
// answered other Gets of expired items do not wait. It does not apply to items that were invalidated, nor to the
// first read after a [Store.Wake] or a freeze. With 0 an expired value is returned at once while it is read again; a
// negative value disables the short wait: the Get waits for [ReadLimit].
func ShortWait(d time.Duration) Option { return func(opts *options) { opts.shortWait = d } }

// Preload reads the whole table, one Query for each kind of data, when the client is built, which waits for them, for
// [ReadLimit] at most. A Query that fails is logged, and its flags are read when they are asked for: [Store.Ready]
// tells whether the table can be read. The default is to read each item when it is first asked for.
func Preload() Option { return func(opts *options) { opts.preload = true } }

// RefreshAhead reads what is cached again in the background in the last tenth of its TTL, so that no Get waits for
// the read: by one Query per TTL if the whole collection is cached, item by item otherwise. It costs these reads also
// for flags that are not used any more. The default is to read when a Get asks. In Lambda, and without a positive
// TTL, it does nothing. It needs a TTL of a few seconds: the last tenth must hold the sweeper's interval (100 ms), a
// random pause and the read.
func RefreshAhead() Option { return func(opts *options) { opts.refreshAhead = true } }

// StrictClock reads the clock at each Get, so that an item is never served past its TTL, not even after the whole
// process stood still. See [TTL] for the default.
func StrictClock() Option { return func(opts *options) { opts.strict = true } }

// InLambda sets whether this process is a Lambda function that is frozen between invocations: then the store starts no
// goroutines of its own. The default is what Lambda's environment variables show; it is false on Lambda Managed
// Instances. Other options' defaults stay those of the environment.
func InLambda(yes bool) Option { return func(opts *options) { opts.freezes = yes } }

// validate returns all problems at once, or nil.
func (opts *options) validate() error {
	var errs []error
	if opts.readLimit <= 0 {
		errs = append(errs, fmt.Errorf("option ReadLimit(%v): must be positive", opts.readLimit))
	}
	if opts.maxStale > 0 && opts.ttl > opts.maxStale {
		errs = append(errs, fmt.Errorf("option MaxStale(%v): is below the TTL of %v", opts.maxStale, opts.ttl))
	}
	return errors.Join(errs...)
}
