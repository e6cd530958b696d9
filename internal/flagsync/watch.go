package flagsync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/warmflags/warmflags/internal/table"
)

// A watch is one session after the other. Each has a fencing token and a feed of its own, as a sync does, and ends
// with the first error, because then it no longer knows what the table holds. The next session compares everything,
// so nothing that was missed between two sessions stays missed.

// A watch that fails starts again after a pause, which doubles from the first to the last while it keeps failing.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Watch keeps the table equal to the environment until ctx ends, and then returns nil: it writes LaunchDarkly's
// payload as Sync does, and each patch when it comes. It logs a line and calls report (which may be nil) for the
// payload and for each write after it that changed something; report's Result is of that write alone.
//
// When the connection breaks, the feed connects again, and the next payload is compared and written whole, under the
// same token: it was taken before that payload was requested. When the token is lost to another sync, or anything
// else fails, Watch starts again with a new token and a new feed, after a second at first and up to a minute later;
// so a guard that holds is logged once a minute. It returns an error only when LaunchDarkly refuses the key, or
// before it has written its first payload, when a person is still looking. [Force] and [DryRun] are errors: a watch
// with Force would have no guards for as long as it runs.
func (s *Syncer) Watch(ctx context.Context, report func(Result)) error {
	problems := errors.Join(s.problems...)
	if s.force || s.dryRun {
		problems = errors.Join(problems, errors.New("options Force and DryRun are for Sync: a watch has neither"))
	}
	if problems != nil {
		return s.named(problems)
	}
	if report == nil {
		report = func(Result) {}
	}
	// Once a payload was written, the key, the table and the permissions were right: later failures pass, or need an
	// operator who reads the log. Until then a failure is more likely a mistake in the call.
	began := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := s.withKey(ctx, func(key string) error {
			return s.session(ctx, key, func(r Result) { began, pause = true, firstPause; report(r) })
		})
		if ctx.Err() != nil {
			return nil
		}
		refused := errors.Is(err, ErrUnauthorized) && !errors.Is(err, errKeyUnread)
		if refused || !began && !errors.Is(err, table.ErrTokenLost) {
			return s.named(err)
		}
		// so that two watches do not take the token from each other in step
		wait := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// session is a watch on one feed, under one token. It ends with an error, which it has logged unless ctx ended.
func (s *Syncer) session(ctx context.Context, key string, report func(Result)) error {
	b := newResultBuilder()
	err := s.watch(ctx, key, &b, report)
	if ctx.Err() == nil {
		s.log(ctx, b, s.named(err))
	}
	return err
}

// watch writes payloads and patches as they come, until something fails. It leaves the result of the latest write in
// b, from which session logs what failed.
func (s *Syncer) watch(ctx context.Context, key string, b **resultBuilder, report func(Result)) error {
	f, err := s.begin(ctx, key, *b)
	if err != nil {
		return err
	}
	defer f.close()
	for first := true; ; first = false {
		if err := s.write(ctx, f, *b); err != nil {
			return err
		}
		// A patch that changed nothing was in the table already: it needs no line.
		if r := (*b).result(); first || r.Changed() || len(r.Refused)+len(r.HeldBack) > 0 {
			s.log(ctx, *b, nil)
			report(r)
		}
		if _, err := f.wait(ctx, nil); err != nil {
			return err
		}
		// The next write has a result of its own, so that reports do not repeat each other.
		token := (*b).token
		*b = newResultBuilder()
		(*b).token = token
	}
}
