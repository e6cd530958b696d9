package subscriber

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/clock"
)

// logEvery is the shortest time between two log lines with the same reason.
const logEvery = 10 * time.Minute

// Stats counts what a source has done since it was created.
type Stats struct {
	// Messages counts messages delivered to the sink.
	Messages int64
	// Changes counts the changes in those messages.
	Changes int64
	// InvalidatedAll counts calls of InvalidateAll that the source made because it may have missed changes.
	InvalidatedAll int64
	// OtherPrefix counts dropped messages for a prefix other than the source's.
	OtherPrefix int64
	// Foreign counts dropped messages that are not from warmflags.
	Foreign int64
	// Unreadable counts messages from warmflags that could not be read completely. Each one invalidated everything.
	Unreadable int64
	// Refused counts requests that an Endpoint answered with 4xx: they were invalid or not proved to be from SNS.
	Refused int64
	// Subscribed counts subscriptions that a Queue created or an Endpoint confirmed.
	Subscribed int64
	// Lost counts subscriptions that no longer delivered. A Queue replaces them; an Endpoint must be subscribed again.
	Lost int64
	// Errors counts failures that are retried: to subscribe, check, receive, acknowledge, confirm, fetch a certificate.
	Errors int64
}

// receiver is the part that all sources share: it parses messages, delivers them to the sink, and counts. It is safe
// for concurrent use.
type receiver struct {
	prefix string
	sink   change.Sink
	logger *slog.Logger
	// onMessage is called with each message that can be read; may be nil.
	onMessage func(change.Message)

	// The fields of Stats. Each is read and written independently of the others.
	messages, changes, invalidatedAll, otherPrefix, foreign, unreadable, refused, subscribed, lost, errors atomic.Int64

	mu     sync.Mutex               // guards logged
	logged map[string]clock.Instant // when a reason was last logged; there are few reasons
}

// newReceiver returns the receiver of a source. The sink may be nil if the options are wrong, because then nothing is
// received.
func newReceiver(s settings, sink change.Sink) *receiver {
	return &receiver{
		prefix: s.prefix, sink: sink, logger: s.logger, onMessage: s.onMessage, logged: map[string]clock.Instant{},
	}
}

// receive delivers a message to the sink or drops it, and reports whether it was delivered. In both cases the message
// can be acknowledged. A warmflags message that cannot be read may have named any item, so it invalidates everything.
func (r *receiver) receive(body string) (delivered bool) {
	m, err := change.Parse([]byte(body))
	if err == nil && r.onMessage != nil {
		r.onMessage(m)
	}
	switch {
	case errors.Is(err, change.ErrForeign):
		r.drop(&r.foreign, slog.LevelWarn, "it is not from warmflags", "error", err)
	case err != nil:
		n := r.unreadable.Add(1)
		r.log(slog.LevelError, "warmflags: a message cannot be read", "unreadable message",
			"unreadable", n, "error", err)
		r.invalidateAll("a message cannot be read")
		return true
	case m.Prefix != r.prefix: // normal if environments share a topic
		r.drop(&r.otherPrefix, slog.LevelInfo, "it is for another prefix", "prefix", m.Prefix, "want", r.prefix)
	default:
		change.Deliver(m, r.sink)
		r.changes.Add(int64(len(m.Changes)))
		r.messages.Add(1)
		return true
	}
	return false
}

// invalidateAll invalidates the sink when the source may have missed changes.
func (r *receiver) invalidateAll(reason string) {
	r.sink.InvalidateAll()
	r.invalidatedAll.Add(1)
	r.log(slog.LevelInfo, "warmflags: invalidated everything", reason)
}

// drop counts and logs a dropped message.
func (r *receiver) drop(counter *atomic.Int64, level slog.Level, reason string, details ...any) {
	r.log(level, "warmflags: dropped a message", reason, append([]any{"dropped", counter.Add(1)}, details...)...)
}

// log writes a line, at most once in logEvery for the same reason.
func (r *receiver) log(level slog.Level, line, reason string, details ...any) {
	now := clock.Now()
	r.mu.Lock()
	last, found := r.logged[reason]
	quiet := found && last.Age(now) < logEvery
	if !quiet {
		r.logged[reason] = now
	}
	r.mu.Unlock()
	if !quiet {
		r.logger.Log(context.Background(), level, line, append([]any{"reason", reason}, details...)...)
	}
}

// stats reads the counters one by one, so while messages arrive, they may differ by the messages in between.
func (r *receiver) stats() Stats {
	return Stats{
		Messages:       r.messages.Load(),
		Changes:        r.changes.Load(),
		InvalidatedAll: r.invalidatedAll.Load(),
		OtherPrefix:    r.otherPrefix.Load(),
		Foreign:        r.foreign.Load(),
		Unreadable:     r.unreadable.Load(),
		Refused:        r.refused.Load(),
		Subscribed:     r.subscribed.Load(),
		Lost:           r.lost.Load(),
		Errors:         r.errors.Load(),
	}
}
