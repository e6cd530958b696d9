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
	DefaultReadLimitLambda = time.Second // in a Lambda function with one invocation at a time
)

// DefaultShortWait is how long a Get waits for the read of an expired item.
const DefaultShortWait = 250 * time.Millisecond

const (
	maxUnknown = 10_000 // keys that are kept in memory although the table does not have them
	manyStale  = 25     // an All reads up to this many items one by one; for more it reads the whole kind
)

// CacheOption is an option of [Cached].
type CacheOption func(*cacheOptions)

type cacheOptions struct {
	ttl       time.Duration
	maxStale  time.Duration
	readLimit time.Duration
	shortWait time.Duration
	logger    *slog.Logger

	// Only tests change these.
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
// cache: a Get starts a read, or waits for one that starts after the Get. With a negative value an item never expires,
// and is read again only after an invalidation.
func TTL(d time.Duration) CacheOption { return func(o *cacheOptions) { o.ttl = d } }

// MaxStale limits the age up to which a last known value is served while the table cannot be reached. The age counts
// from the read of the value. After that Get returns the error. The default, 0, is no limit. With a negative value no
// last known value is served. A positive value below the TTL is an error.
func MaxStale(d time.Duration) CacheOption { return func(o *cacheOptions) { o.maxStale = d } }

// ReadLimit sets how long a Get waits for one read of the table, and an All for a whole kind. A read that takes longer
// is abandoned. The default is 3 seconds ([DefaultReadLimit]), and 1 second in a Lambda function
// ([DefaultReadLimitLambda]). It must be positive. Raise it if All of thousands of flags takes longer on a small Lambda
// function.
func ReadLimit(d time.Duration) CacheOption { return func(o *cacheOptions) { o.readLimit = d } }

// ShortWait sets how long a Get or All waits for the read of an expired item before it returns the last known value.
// The default is 250 ms ([DefaultShortWait]). With a negative value it waits for the whole [ReadLimit], and with 0 it
// does not wait. It does not apply to invalidated items.
func ShortWait(d time.Duration) CacheOption { return func(o *cacheOptions) { o.shortWait = d } }

// Logger sets the logger. It receives failed reads, once per failing period; rows that cannot be decoded, at most once
// a minute; and unknown keys that are removed from memory. The default is [slog.Default]. Nil is an error.
func Logger(logger *slog.Logger) CacheOption { return func(o *cacheOptions) { o.logger = logger } }

// validate returns all invalid options in one error.
func (o *cacheOptions) validate(inner bool) error {
	var errs []error
	if !inner {
		errs = append(errs, errors.New("no inner store; pass one to Cached, such as DynamoDB(table)"))
	}
	if o.maxStale > 0 && o.ttl > o.maxStale {
		errs = append(errs, fmt.Errorf("option MaxStale(%v): is below the TTL of %v", o.maxStale, o.ttl))
	}
	if o.readLimit <= 0 {
		errs = append(errs, fmt.Errorf("option ReadLimit(%v): must be positive", o.readLimit))
	}
	if o.logger == nil {
		errs = append(errs, errors.New("option Logger: is nil; omit it to use slog.Default"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("configure cache: %w", errors.Join(errs...))
	}
	return nil
}

// CacheStats are the counts of a [Cache] since it was created.
type CacheStats struct {
	Hits          int // Gets and Alls that read nothing
	Misses        int // Gets and Alls that were not a hit
	Reads         int // reads of the inner store that were started: items and whole kinds
	Errors        int // reads that failed, including those that took longer than ReadLimit
	Discarded     int // reads that were not fresh when they ended: an invalidation, a Wake, a freeze, or the TTL
	StaleServes   int // Gets and Alls that returned a last known value because the table could not be read in time
	Invalidations int // changes passed to Invalidate
	InvalidateAll int // calls of InvalidateAll and Init
	Forgotten     int // unknown keys that were removed to limit memory
	Items         int // keys in the cache now, including those that the table does not have
}
