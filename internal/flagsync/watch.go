package flagsync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/warmflags/warmflags/internal/table"
)

// A watch is a row of sessions. Each has a fence and a connection of its own, takes them as a sync does, and ends with
// the first error, because then it does not know any more what the table holds. The next session compares all, so
// nothing that was missed between two sessions stays missed.

// A watch that fails begins again after a pause, which doubles from the first to the last while it goes on failing.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Watch keeps the table equal to the environment until ctx ends, and then returns nil: it writes LaunchDarkly's
// payload as Sync does, and each patch when it comes. It logs a line and calls report (which may be nil) for the
// payload and for each write after it that changed something; report's Result is of that write alone.
//
// When the connection breaks, LaunchDarkly's client connects again, and its next payload is written whole. That is
// under the same fence, which was taken before the payload was asked for. When the fence is lost to another sync, or
// anything else fails, Watch begins again with a new fence and a new connection, at first after a second, later after
// up to a minute; so a guard that holds is logged once a minute. It returns an error only when LaunchDarkly refuses the
// key, or before it has written its first payload: then somebody is there who can look. [Force] and [DryRun] are errors:
// a watch without guards would be one for good.
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
	// Once a payload was written, the key, the table and the permissions were right: what fails later will heal, or
	// wants somebody who reads the log. Until then it is more likely a mistake in the call.
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
		wait := time.NewTimer(pause/2 + rand.N(pause/2)) // two watches that take the fence from each other must not do it in step
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// session is a watch on one connection, under one fence. It ends with an error, which it has logged, unless it is ctx's:
// to be stopped is no failure.
func (s *Syncer) session(ctx context.Context, key string, report func(Result)) error {
	t := newTally()
	err := s.watch(ctx, key, &t, report)
	if ctx.Err() == nil {
		s.log(ctx, t, s.named(err))
	}
	return err
}

// watch writes payloads and patches as they come, until something fails. It leaves the tally of the latest write in t, from
// which session logs what failed.
func (s *Syncer) watch(ctx context.Context, key string, t **tally, report func(Result)) error {
	f, err := s.begin(ctx, key, *t)
	if err != nil {
		return err
	}
	defer f.close()
	for first := true; ; first = false {
		if err := s.write(ctx, f, *t); err != nil {
			return err
		}
		// A patch that changed nothing came a second time, or was in the table already: nobody needs a line for it.
		if r := (*t).result(); first || r.Changed() || len(r.Refused)+len(r.HeldBack) > 0 {
			s.log(ctx, *t, nil)
			report(r)
		}
		if _, err := f.wait(ctx, nil); err != nil {
			return err
		}
		// The next write has a tally of its own, so that reports do not repeat each other.
		token := (*t).token
		*t = newTally()
		(*t).token = token
	}
}
