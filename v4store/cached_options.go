package v4store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/warmflags/warmflags/internal/clock"
	"github.com/warmflags/warmflags/internal/lambdaenv"
)

// DefaultTTL is how long an item is served without a read of the table if no message about it arrives.
const DefaultTTL = 5 * time.Minute

// The defaults of [ReadLimit].
const (
	DefaultReadLimit       = 3 * time.Second
	DefaultReadLimitLambda = time.Second // in a Lambda function that handles one invocation at a time
)

// DefaultShortWait is how long a Get waits for the read of an item that expired.
const DefaultShortWait = 250 * time.Millisecond

const (
	maxUnknown = 10_000 // keys that are remembered although the table does not have them
	manyStale  = 25     // items that an All reads one by one; for more it reads the whole kind
)

// CacheOption is an option of [Cached].
type CacheOption func(*cacheOptions)

type cacheOptions struct {
	ttl       time.Duration
	maxStale  time.Duration
	readLimit time.Duration
	shortWait time.Duration
	logger    *slog.Logger

	// What tests replace.
	onOutage func(down bool)      // called with the lock held
	unknown  int                  // maxUnknown
	stale    int                  // manyStale
	clock    func() clock.Instant // the only clock, except for timers
}

func defaultCacheOptions() cacheOptions {
	o := cacheOptions{
		ttl: DefaultTTL, logger: slog.Default(), readLimit: DefaultReadLimit, shortWait: DefaultShortWait,
		unknown: maxUnknown, stale: manyStale, clock: clock.Now,
	}
	if lambdaenv.Freezes() {
		o.readLimit = DefaultReadLimitLambda
	}
	return o
}

// TTL sets how long an item is served without a read of the table. The default is 5 minutes ([DefaultTTL]). 0 means no
// cache: every Get begins a read, or waits for one that begins after it. A negative value means that an item never
// expires: only a message makes it read again.
func TTL(d time.Duration) CacheOption { return func(o *cacheOptions) { o.ttl = d } }

// MaxStale limits for how long, counted from when it was read, a last known value is served while the table cannot be
// reached; after that Get returns the error. The default, 0, is no limit; a negative value never serves a last
// known value. A positive value below the TTL is an error.
func MaxStale(d time.Duration) CacheOption { return func(o *cacheOptions) { o.maxStale = d } }

// ReadLimit sets how long a Get waits for one read of the table, and an All for a whole kind. A read that takes longer
// is abandoned. The default is 3 seconds ([DefaultReadLimit]), and 1 second in a Lambda function
// ([DefaultReadLimitLambda]). It must be positive. Raise it if All of thousands of flags takes longer on a small Lambda
// function.
func ReadLimit(d time.Duration) CacheOption { return func(o *cacheOptions) { o.readLimit = d } }

// ShortWait sets how long a Get or All waits for the read of an item that merely expired, before it returns the last
// known value. The default is 250 ms ([DefaultShortWait]). A negative value waits for the whole [ReadLimit], and 0 does
// not wait. It does not apply to an item that was invalidated.
func ShortWait(d time.Duration) CacheOption { return func(o *cacheOptions) { o.shortWait = d } }

// Logger sets the logger for failed reads, once per failing period, for rows that cannot be decoded, at most once a
// minute, and for unknown keys that are forgotten. The default is [slog.Default]. Nil is an error.
func Logger(logger *slog.Logger) CacheOption { return func(o *cacheOptions) { o.logger = logger } }

// validate returns all wrong options in one error.
func (o *cacheOptions) validate(inner bool) error {
	var errs []error
	if !inner {
		errs = append(errs, errors.New("no inner store: pass one to Cached, such as DynamoDB(table)"))
	}
	if o.maxStale > 0 && o.ttl > o.maxStale {
		errs = append(errs, fmt.Errorf("option MaxStale(%v): is below the TTL of %v", o.maxStale, o.ttl))
	}
	if o.readLimit <= 0 {
		errs = append(errs, fmt.Errorf("option ReadLimit(%v): must be positive", o.readLimit))
	}
	if o.logger == nil {
		errs = append(errs, errors.New("option Logger: is nil; leave it out for slog.Default"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("configure cache: %w", errors.Join(errs...))
	}
	return nil
}

// CacheStats are the counts of a [Cache] since it was created.
type CacheStats struct {
	Hits          int // Gets and Alls that read nothing
	Misses        int // Gets and Alls that were no hit
	Reads         int // reads of the inner store that began: items and whole kinds
	Errors        int // reads that failed, including those that took too long
	Discarded     int // reads that were kept only as last known values, because of an invalidation or a freeze
	StaleServes   int // answers with a last known value because the table could not be read
	Invalidations int // changes that were delivered
	InvalidateAll int // times that everything was invalidated
	Forgotten     int // unknown keys that were forgotten to bound memory
	Items         int // keys in the cache now, including those that the table does not have
}
