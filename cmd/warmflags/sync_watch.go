package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
)

// silence is how long a watch prints nothing until a line on the terminal shows that it is running.
const silence = time.Minute

// watch prints what happens during sync --watch: each change on out, and on stderr when it is connected and up to date.
type watch struct {
	json        bool
	out, stderr io.Writer
	log         *notices

	mu     sync.Mutex // guards the following, and the order of what is printed
	latest time.Time  // of the latest line
}

func newWatch(watching, asJSON bool, out, stderr io.Writer) *watch {
	return &watch{json: asJSON, out: out, stderr: stderr, log: &notices{w: stderr, watch: watching}}
}

// run watches until ctx ends, and then returns nil.
func (w *watch) run(ctx context.Context, syncer *flagsync.Syncer) error {
	if isTerminal(w.stderr) {
		ended := make(chan struct{})
		ctx, stop := context.WithCancel(ctx)
		go func() { defer close(ended); w.breakSilence(ctx) }()
		defer func() { stop(); <-ended; _, _ = fmt.Fprint(w.stderr, clearLine) }()
	}
	return syncer.Watch(ctx, w.report)
}

// report prints a write of the watch.
func (w *watch) report(r flagsync.Result) {
	w.log.goesOn.Store(true) // later failures do not end the watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest = time.Now()
	if isTerminal(w.stderr) {
		_, _ = fmt.Fprint(w.stderr, clearLine)
	}
	for _, l := range lines(r, false) {
		if w.json {
			l.Time = &w.latest
			_ = json.NewEncoder(w.out).Encode(l) // an error means that the reader is gone; the watch goes on
			continue
		}
		text := fmt.Sprintf("%s %s %s/%s %s -> %s", w.latest.Format(time.TimeOnly), words[l.Change], l.Kind, l.Key,
			orDash(l.From), orDash(l.To))
		if l.Reason != "" {
			text += " (" + l.Reason + ")"
		}
		_, _ = fmt.Fprintln(w.out, text)
	}
	if r.Whole {
		state := "the table is equal to LaunchDarkly"
		if n := len(r.HeldBack) + len(r.Refused) + len(r.Kept); n > 0 {
			state = fmt.Sprintf("the table is equal to LaunchDarkly, except for %d items that were not written", n)
		}
		_, _ = fmt.Fprintf(w.stderr, "%s connected: %s; waiting for changes\n", w.latest.Format(time.TimeOnly), state)
	}
}

// breakSilence shows each minute without a line that the watch is running, in a line that the next one replaces.
func (w *watch) breakSilence(ctx context.Context) {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		w.mu.Lock()
		next := silence
		switch quiet := time.Since(w.latest); {
		case w.latest.IsZero():
			_, _ = fmt.Fprintf(w.stderr, "\rstill connecting%s", clearRest)
		case quiet < silence: // a line was printed meanwhile
			next -= quiet
		default:
			_, _ = fmt.Fprintf(w.stderr, "\r%s no change for %v%s",
				time.Now().Format(time.TimeOnly), quiet.Round(time.Minute), clearRest)
		}
		w.mu.Unlock()
		timer.Reset(next)
	}
}

// notices is a log for a person: warnings and errors, without the metrics. A sync's own failure is only in it when
// the command goes on; otherwise the command returns it.
type notices struct {
	w      io.Writer
	watch  bool
	goesOn atomic.Bool // set once a watch has begun; read by each Handle
}

// Enabled implements [slog.Handler].
func (n *notices) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements [slog.Handler].
func (n *notices) Handle(_ context.Context, r slog.Record) error {
	text := []string{"warning: " + r.Message}
	ofSync := false
	r.Attrs(func(a slog.Attr) bool {
		ofSync = ofSync || a.Key == "fencing_token"
		if a.Key == "error" {
			text = append(text, a.Value.String())
		}
		return true
	})
	line := strings.Join(text, ": ")
	goesOn := n.goesOn.Load() || n.watch && strings.Contains(line, table.ErrTokenLost.Error()) // which ends no watch
	if ofSync && (!goesOn || r.Level < slog.LevelError) {
		return nil
	}
	if isTerminal(n.w) {
		line = clearLine + line
	}
	_, err := fmt.Fprintln(n.w, line)
	return err
}

// WithAttrs and WithGroup are not used by the packages that log here.
func (n *notices) WithAttrs([]slog.Attr) slog.Handler { return n }

// WithGroup returns the handler itself.
func (n *notices) WithGroup(string) slog.Handler { return n }
