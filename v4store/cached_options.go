package v4store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// DefaultTTL is how long an item is served without a look at the table, when no message about it came.
const DefaultTTL = 5 * time.Minute

// DefaultReadLimit is how long a Get waits for one read of the table.
const DefaultReadLimit = 3 * time.Second

// maxUnknown is how many keys are remembered that the table does not have.
const maxUnknown = 10_000

// CacheOption is an option of [Cached].
type CacheOption func(*cacheOptions)

type cacheOptions struct {
	ttl       time.Duration
	maxStale  time.Duration
	readLimit time.Duration
	logger    *slog.Logger

	// What tests replace.
	unknown int            // how many unknown keys are remembered
	clock   func() instant // the only clock, but for timers
}

func defaultCacheOptions() cacheOptions {
	return cacheOptions{
		ttl: DefaultTTL, logger: slog.Default(), readLimit: DefaultReadLimit, unknown: maxUnknown, clock: systemClock,
	}
}

// TTL sets how long an item is served without a look at the table; the default is 5 minutes ([DefaultTTL]). 0 means no
// cache (every Get begins a read, or waits for one that begins after it), and a negative value means that an item
// never expires: only a message makes it read again.
func TTL(d time.Duration) CacheOption { return func(o *cacheOptions) { o.ttl = d } }

// MaxStale limits for how long, counted from when it was read, a last known value is served while the table cannot be
// reached; after that Get returns the error. The default, 0, is no limit; a negative value never serves a last
// known value. A positive one below the TTL is an error.
func MaxStale(d time.Duration) CacheOption { return func(o *cacheOptions) { o.maxStale = d } }

// ReadLimit sets how long a Get waits for one read of the table, and an All for a whole kind; the default is 3 seconds
// ([DefaultReadLimit]). A read that takes longer is abandoned. It must be positive. Raise it where All of thousands of
// flags takes longer on a small Lambda.
func ReadLimit(d time.Duration) CacheOption { return func(o *cacheOptions) { o.readLimit = d } }

// Logger gets what goes wrong: reads that fail, at most one a minute, and unknown keys that are forgotten. Default:
// [slog.Default]. Nil is an error.
func Logger(logger *slog.Logger) CacheOption { return func(o *cacheOptions) { o.logger = logger } }

// validate returns all that is wrong.
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

// CacheStats are a [Cache]'s counts since it was made.
type CacheStats struct {
	Hits          int // Gets and Alls that read nothing
	Misses        int // Gets and Alls that were no hit
	Reads         int // reads of the inner store that began: items and whole kinds
	Errors        int // reads that failed, those that took too long included
	Discarded     int // reads that were kept as last known only: an invalidation or a freeze came meanwhile
	StaleServes   int // answers with a last known value because the table could not be read
	Invalidations int // changes that were delivered
	InvalidateAll int // times that all was invalidated
	Forgotten     int // unknown keys that were forgotten to bound memory
	Items         int // keys at hand now, those that the table does not have included
}
