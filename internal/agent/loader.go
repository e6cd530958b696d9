package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The pause between attempts to load the flags doubles from firstPause to longestPause. A request waits at most
// loadWaitLimit for the first attempt.
const (
	firstPause    = time.Second
	longestPause  = 30 * time.Second
	loadWaitLimit = 2 * time.Second
)

// errLoading is the error until the first attempt to load the flags ends.
var errLoading = errors.New("they are being loaded")

// loader loads the flags and retries until it succeeds. If the table is filled or becomes reachable later, the agent
// therefore needs no restart.
type loader struct {
	open   func(ctx context.Context) (Opened, error)
	logger *slog.Logger
	tried  chan struct{} // closed when the first attempt has ended

	mu     sync.Mutex // guards the fields below
	opened Opened     // nil until the flags are loaded
	err    error      // the error of the last attempt
}

func newLoader(open func(ctx context.Context) (Opened, error), logger *slog.Logger) *loader {
	return &loader{open: open, logger: logger, tried: make(chan struct{}), err: errLoading}
}

// run loads the flags. It returns when they are loaded or when ctx ends.
func (l *loader) run(ctx context.Context) {
	for attempt, pause := 0, firstPause; ; attempt, pause = attempt+1, min(2*pause, longestPause) {
		opened, err := l.attempt(ctx)
		l.mu.Lock()
		again := attempt > 0 && err != nil && l.err != nil && err.Error() == l.err.Error()
		l.opened, l.err = opened, err
		l.mu.Unlock()
		if attempt == 0 {
			close(l.tried)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if !again {
			l.logger.Error("the flags are not loaded; the agent retries", "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// attempt opens the flags once. It returns a panic as an error, because an extension that exits ends the function.
func (l *loader) attempt(ctx context.Context) (opened Opened, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			opened, err = nil, fmt.Errorf("load flags: panic: %v", cause)
		}
	}()
	return l.open(ctx)
}

// current returns the loaded flags, or an error if they are not loaded.
func (l *loader) current() (Opened, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened, l.err
}

// Flags implements [Loader].
func (l *loader) Flags(ctx context.Context) (Flags, error) {
	l.await(ctx, loadWaitLimit)
	opened, err := l.current()
	return opened, err
}

// await waits for the end of the first attempt, but not longer than until ctx ends or for the limit.
func (l *loader) await(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-l.tried:
	case <-ctx.Done():
	}
}

// Status implements [Loader].
func (l *loader) Status(ctx context.Context) Status {
	opened, err := l.current()
	if err != nil {
		return Status{Reason: "the flags are not loaded: " + err.Error()}
	}
	return opened.Status(ctx)
}
