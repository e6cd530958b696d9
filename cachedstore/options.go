package cachedstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/warmflags/warmflags/internal/lambdaenv"
)

// DefaultTTL is how long an item is served without a look at the table, when no message about it came.
const DefaultTTL = 5 * time.Minute

// DefaultReadLimit is how long a Get waits for one read of the table.
const DefaultReadLimit = 3 * time.Second

// maxUnknown is how many keys are remembered that the table does not have.
const maxUnknown = 10_000

// Option changes a [Store]. Wrong options are reported together by [Store.Build].
type Option func(*options)

// options are what the options say, and what the environment says: they never change after New.
type options struct {
	ttl       time.Duration
	maxStale  time.Duration
	readLimit time.Duration
	preload   bool
	strict    bool
	// refreshAhead and background: see refresh.go. Background is false in Lambda.
	refreshAhead, background bool
	clock                    func() instant
}

func defaults() options {
	return options{
		ttl: DefaultTTL, readLimit: DefaultReadLimit, clock: systemClock,
		background: !lambdaenv.Freezes(),
	}
}

// TTL sets how long an item is served without a look at the table; the default is 5 minutes ([DefaultTTL]). As
// in LaunchDarkly's own builder, 0 means no cache (every Get begins a read, or waits for one that begins after
// it), and a negative value means that an item never expires: only a message makes it read again.
func TTL(d time.Duration) Option { return func(o *options) { o.ttl = d } }

// MaxStale limits for how long, counted from when it was read, a last known value is served while the table
// cannot be reached; after that Get returns the error. The default, 0, is no limit; a negative value never
// serves a last known value. A positive one below the TTL is an error.
func MaxStale(d time.Duration) Option { return func(o *options) { o.maxStale = d } }

// ReadLimit sets how long a Get waits for one read of the table, and a GetAll for a whole Query with all its pages; the
// default is 3 seconds ([DefaultReadLimit]). A read that takes longer is abandoned: what it finds in the end is neither
// kept nor returned. It must be positive. Raise it where GetAll of thousands of flags takes longer on a small Lambda.
func ReadLimit(d time.Duration) Option { return func(o *options) { o.readLimit = d } }

// Preload reads the whole table, one Query for each kind of data, when the client is built, which waits for them,
// [ReadLimit] at most. One that fails is logged, and its flags are read when they are asked for: [Store.Ready] says
// whether the table is well. The default is to read each item when it is first asked for.
func Preload() Option { return func(o *options) { o.preload = true } }

// RefreshAhead reads what is cached again in the background before its TTL is over, in the TTL's last tenth, so that
// nobody waits for a read: by one Query a TTL where the whole collection is cached, item by item otherwise. It
// costs these reads also for flags that nobody asks for any more. The default is to read when somebody asks. In
// Lambda, and without a positive TTL, it does nothing; it needs a TTL of a few seconds, because the last tenth must
// hold the timekeeper's pause (100 ms), a random pause and the read.
func RefreshAhead() Option { return func(o *options) { o.refreshAhead = true } }

// StrictClock looks at the clock at each Get. The default spares a hit the clock, as the package's comment says:
// after the whole process was stopped, what has expired may be served until the timekeeper runs again.
func StrictClock() Option { return func(o *options) { o.strict = true } }

// Err returns what is wrong with the options, as [Store.Build] does, without building anything; nil if nothing is.
func (s *Store) Err() error { return s.options.validate() }

// validate says all that is wrong at once; nil if nothing is.
func (o *options) validate() error {
	var errs []error
	if o.readLimit <= 0 {
		errs = append(errs, fmt.Errorf("option ReadLimit(%v): must be positive", o.readLimit))
	}
	if o.maxStale > 0 && o.ttl > o.maxStale {
		errs = append(errs, fmt.Errorf("option MaxStale(%v): is below the TTL of %v", o.maxStale, o.ttl))
	}
	return errors.Join(errs...)
}
