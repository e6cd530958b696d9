package flagsync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/warmflags/warmflags/internal/table"
)

// A watch is a sequence of sessions. Each session has its own fencing token and feed, like a sync. It ends with the
// first error, because the content of the table is then unknown. The next session compares everything, so changes
// between two sessions are not lost.

// After a failed session, a watch waits. The pause doubles from firstPause to lastPause while sessions keep failing.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// Watch keeps the table equal to the environment until ctx ends, and then returns nil. It writes LaunchDarkly's
// payload as Sync does, and each patch as it arrives. It logs a line and calls report (which may be nil) for the
// payload of each connection (Result.Whole), and for each patch that changed something. The Result is that of this
// write only.
//
// If the connection breaks, the feed reconnects. The next payload is compared and written as a whole, under the same
// token, which was taken before that payload was requested. If another sync takes a newer token, or if anything else
// fails, Watch starts again with a new token and a new feed. It waits a second at first and a minute at most, so a
// guard that holds a payload is logged about once a minute. Watch returns an error only if LaunchDarkly refuses the
// SDK key, or if it fails before its first payload was written, because then a person is still watching. [Force] and
// [DryRun] are errors: a watch with Force would run without guards.
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
	// After the first payload was written, the key, the table and the permissions are known to be right. Later
	// failures are temporary or are fixed by an operator who reads the log. Earlier failures are probably mistakes in
	// the call.
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
		// The jitter keeps two watches from taking each other's token again and again.
		wait := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// session watches one feed under one token. It always returns an error, which it logs unless ctx ended.
func (s *Syncer) session(ctx context.Context, key string, report func(Result)) error {
	b := newResultBuilder()
	err := s.watch(ctx, key, &b, report)
	if ctx.Err() == nil {
		s.log(ctx, b, s.named(err))
	}
	return err
}

// watch writes payloads and patches as they arrive, until something fails. It leaves the result of the last write in
// b, for the line that session logs.
func (s *Syncer) watch(ctx context.Context, key string, b **resultBuilder, report func(Result)) error {
	f, err := s.begin(ctx, key, *b)
	if err != nil {
		return err
	}
	defer f.close()
	for {
		if err := s.write(ctx, f, *b); err != nil {
			return err
		}
		// A patch that was already in the table needs no line.
		if r := (*b).result(); r.Whole || r.Changed() || len(r.Refused)+len(r.HeldBack) > 0 {
			s.log(ctx, *b, nil)
			report(r)
		}
		if _, err := f.wait(ctx, nil); err != nil {
			return err
		}
		// Each write has a result of its own, so that no item is reported twice.
		token := (*b).token
		*b = newResultBuilder()
		(*b).token = token
	}
}
