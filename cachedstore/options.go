package cachedstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/lambdaenv"
)

// Defaults of the options.
const (
	DefaultTTL             = 5 * time.Minute
	DefaultReadLimit       = 3 * time.Second
	DefaultLambdaReadLimit = time.Second // in a Lambda function, whose default timeout is 3 seconds
	DefaultShortWait       = 250 * time.Millisecond
)

// Option configures a [Store]. [Store.Build] reports all invalid options together.
type Option func(*options)

// options are the settings of a store. They do not change after New.
type options struct {
	ttl          time.Duration
	maxStale     time.Duration
	readLimit    time.Duration
	shortWait    time.Duration
	preload      bool
	strict       bool
	refreshAhead bool
	freezes      bool // the process is a Lambda function that is frozen between invocations
	manyStale    int  // GetAll reads up to this many stale keys one by one, and more by a Query
	maxUnknown   int  // keys that the table does not have are removed each time Gets have added this many keys
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

// TTL sets how long an item is served without a read of the table. The default is 5 minutes ([DefaultTTL]). As in
// LaunchDarkly's own builder, 0 disables the cache: a Get starts a read, or waits for one that starts after the Get.
// With a negative value an item never expires, and is read again only after an invalidation.
//
// The TTL ends when either the monotonic or the wall clock has advanced by it. A sweeper removes an item up to 200 ms
// earlier, so that a hit need not read a clock. An item is served longer than the TTL in two cases: after the whole
// process was frozen and continues without [Store.Wake], for at most 100 ms (one sweep) plus the time until the sweeper
// is scheduled; and after the wall clock was set forward, until the next sweep. Neither applies with [StrictClock] or a
// TTL below one second, because hits then read the clock.
func TTL(d time.Duration) Option { return func(opts *options) { opts.ttl = d } }

// MaxStale limits the age up to which a last known value is served while the table cannot be reached. The age counts
// from the read of the value. After that Get returns the error. The default, 0, is no limit. With a negative value no
// last known value is served. A positive value below the TTL is an error.
func MaxStale(d time.Duration) Option { return func(opts *options) { opts.maxStale = d } }

// ReadLimit sets how long a Get waits for one read of the table, and a GetAll for a whole Query with all its pages. The
// default is 3 seconds ([DefaultReadLimit]), and 1 second in a Lambda function ([DefaultLambdaReadLimit]). A read that
// takes longer is abandoned, and its result is ignored. Zero and negative values are errors. Raise the limit if a
// GetAll of thousands of flags takes longer on a small Lambda function.
func ReadLimit(d time.Duration) Option { return func(opts *options) { opts.readLimit = d } }

// ShortWait sets how long a Get waits for the read of an expired item before it returns the expired value. The default
// is 250 ms ([DefaultShortWait]). After the first such wait the table is checked, and until the check has succeeded
// other Gets of expired items do not wait. ShortWait does not apply to invalidated items, nor to the first read after a
// [Store.Wake] or a freeze. With 0 an expired value is returned at once and read again in the meantime. A negative
// value disables the short wait, so that the Get waits for [ReadLimit].
func ShortWait(d time.Duration) Option { return func(opts *options) { opts.shortWait = d } }

// Preload reads the whole table when the client is built, with one Query for each kind of data. Building the client
// waits for the Queries, at most [ReadLimit]. A Query that fails is logged, and its flags are read when they are first
// used; [Store.Ready] reports whether the table can be read. The default is to read each item when it is first used.
func Preload() Option { return func(opts *options) { opts.preload = true } }

// RefreshAhead reads cached data again in the background, in the last tenth of its TTL, so that no Get waits for the
// read. It uses one Query per TTL if the whole collection is cached, and one read per item otherwise. Flags that are no
// longer used are read too. The default is to read when a Get needs the item. In Lambda, and without a positive TTL, it
// does nothing. It needs a TTL of at least 5 seconds: the last tenth must be longer than the 200 ms by which the
// sweeper removes values early, its interval (100 ms), a random pause and the read.
func RefreshAhead() Option { return func(opts *options) { opts.refreshAhead = true } }

// StrictClock makes each Get read the clock, so that an item is never served past its TTL, not even after the whole
// process was frozen. See [TTL] for the default.
func StrictClock() Option { return func(opts *options) { opts.strict = true } }

// InLambda sets whether this process is a Lambda function that is frozen between invocations. If so, the store reads
// nothing in the background, and starts its sweeper at the first [Store.Wake]. The default is determined from Lambda's
// environment variables; it is false on Lambda Managed Instances. The default of [ReadLimit] depends on the
// environment, not on InLambda.
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
