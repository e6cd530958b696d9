package subscriber

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmflags/warmflags/change"
)

// complainEvery is how often one reason for dropping messages is logged.
const complainEvery = 10 * time.Minute

// Stats counts what a source has seen since it was made.
type Stats struct {
	// Messages were delivered to the sink.
	Messages int64
	// Changes were in those messages.
	Changes int64
	// InvalidatedAll is how often the source itself called InvalidateAll: it began, or may have missed something.
	InvalidatedAll int64
	// OtherPrefix messages were dropped: they are of another prefix than the source's.
	OtherPrefix int64
	// Foreign messages were dropped: they are not of warmflags.
	Foreign int64
	// Malformed messages were dropped: they cannot be read.
	Malformed int64
	// Refused requests, of an Endpoint, were not proved to be SNS's, or came in a wrong way.
	Refused int64
	// Subscribed counts subscriptions made (Queue) or confirmed (Endpoint). More than one says that one was lost.
	Subscribed int64
	// Errors counts what failed and is tried again: to receive, acknowledge, renew, confirm, fetch a certificate.
	Errors int64
}

// receiver is what all sources share: from a message's bytes to the sink, with the counts. It is safe for concurrent use, as
// HTTP requests are concurrent.
type receiver struct {
	prefix string
	sink   change.Sink
	logger *slog.Logger

	// Counts of Stats's fields; each is a counter of its own, read without the others.
	messages, changes, invalidatedAll, otherPrefix, foreign, malformed, refused, subscribed, errors atomic.Int64

	mu        sync.Mutex           // guards complaint
	complaint map[string]time.Time // when a reason was last logged; reasons are constants here, so it stays small
}

// outcome says what became of a message.
type outcome string

const (
	delivered   outcome = "delivered"
	otherPrefix outcome = "other prefix"
	foreign     outcome = "foreign"
	malformed   outcome = "malformed"
)

// newReceiver makes the receiver of one source. Sink may be nil where the options are wrong: then nothing is received.
func newReceiver(s settings, sink change.Sink) *receiver {
	return &receiver{prefix: s.prefix, sink: sink, logger: s.logger, complaint: map[string]time.Time{}}
}

// receive hands a message to the sink, or drops it. When it returns the message is done with in either case.
func (r *receiver) receive(body string) outcome {
	m, err := change.Parse([]byte(body))
	switch {
	case errors.Is(err, change.ErrForeign):
		r.drop(&r.foreign, foreign, "error", err)
		return foreign
	case err != nil:
		r.drop(&r.malformed, malformed, "error", err)
		return malformed
	case m.Prefix != r.prefix:
		r.drop(&r.otherPrefix, otherPrefix, "prefix", m.Prefix, "want", r.prefix)
		return otherPrefix
	}
	change.Deliver(m, r.sink)
	r.changes.Add(int64(len(m.Changes)))
	r.messages.Add(1)
	return delivered
}

// invalidateAll is for the source's own doubts.
func (r *receiver) invalidateAll(why string) {
	r.sink.InvalidateAll()
	r.invalidatedAll.Add(1)
	r.logger.Info("warmflags: invalidated everything", "reason", why)
}

// drop counts, and logs unless the same reason was logged lately.
func (r *receiver) drop(counter *atomic.Int64, why outcome, details ...any) {
	n := counter.Add(1)
	level := slog.LevelWarn
	if why == otherPrefix { // normal where environments share a topic
		level = slog.LevelInfo
	}
	r.complain(level, "warmflags: dropped message", string(why), append([]any{"dropped", n}, details...)...)
}

// complain logs a line, at most once every complainEvery for the same reason.
func (r *receiver) complain(level slog.Level, line, reason string, details ...any) {
	now := time.Now()
	r.mu.Lock()
	last, logged := r.complaint[reason]
	quiet := logged && now.Sub(last) < complainEvery
	if !quiet {
		r.complaint[reason] = now
	}
	r.mu.Unlock()
	if !quiet {
		r.logger.Log(context.Background(), level, line, append([]any{"reason", reason}, details...)...)
	}
}

// stats reads the counters one by one: while messages come, they need not be of the same moment.
func (r *receiver) stats() Stats {
	return Stats{
		Messages:       r.messages.Load(),
		Changes:        r.changes.Load(),
		InvalidatedAll: r.invalidatedAll.Load(),
		OtherPrefix:    r.otherPrefix.Load(),
		Foreign:        r.foreign.Load(),
		Malformed:      r.malformed.Load(),
		Refused:        r.refused.Load(),
		Subscribed:     r.subscribed.Load(),
		Errors:         r.errors.Load(),
	}
}
