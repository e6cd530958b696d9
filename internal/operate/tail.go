package operate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/subscriber"
)

// Passing is a change that passes, as [Tail] reports it.
type Passing struct {
	Time    time.Time `json:"time"`
	Prefix  string    `json:"prefix"`
	Kind    string    `json:"kind,omitempty"`
	Key     string    `json:"key,omitempty"`
	Version int       `json:"version"` // 0: not known
	Deleted bool      `json:"deleted"`
	// Everything is true if any item may have changed; then there is no kind and no key.
	Everything bool `json:"everything"`
	// SinceWrite is the number of seconds since the write, whose time the stream gives in whole seconds; nil: not
	// known.
	SinceWrite *float64 `json:"since_write_s"`
}

// TailOptions are for [Tail]. All functions are called one at a time.
type TailOptions struct {
	// Prefix selects an environment; nil: all.
	Prefix *string
	// Connected is called when the queue is subscribed, and again when it was lost and made again: then changes may
	// have been missed.
	Connected func(again bool)
	// Changed is called for each change.
	Changed func(Passing)
	// Warned is called for what fails after Connected, and is retried.
	Warned func(text string)
}

// Tail reports the changes that the topic announces, until ctx ends: then it removes its queue, and returns what could
// not be removed. It returns an error if it cannot subscribe.
func Tail(ctx context.Context, account Account, topicARN string, o TailOptions) error {
	return listen(ctx, account, topicARN, "warmflags tail", listener{
		connected: o.Connected, warned: o.Warned,
		message: func(m change.Message) {
			if o.Prefix != nil && *o.Prefix != m.Prefix {
				return
			}
			for _, p := range passing(m, time.Now()) {
				o.Changed(p)
			}
		},
	})
}

// passing are the changes of a message that was received at that time.
func passing(m change.Message, now time.Time) []Passing {
	if len(m.Changes) == 0 {
		return []Passing{{Time: now.UTC(), Prefix: m.Prefix, Everything: true}}
	}
	all := make([]Passing, 0, len(m.Changes))
	for _, c := range m.Changes {
		p := Passing{
			Time:    now.UTC(),
			Prefix:  m.Prefix,
			Kind:    c.Kind,
			Key:     c.Key,
			Version: c.Version,
			Deleted: c.Deleted,
		}
		if !c.Time.IsZero() {
			since := max(now.Sub(c.Time), 0).Seconds()
			p.SinceWrite = &since
		}
		all = append(all, p)
	}
	return all
}

// listener is what [listen] calls, one call at a time.
type listener struct {
	connected func(again bool)
	message   func(change.Message)
	warned    func(text string)
}

// listen runs a temporary queue on the topic until ctx ends, and removes it. A failure before the queue is subscribed
// ends it: waiting for a topic that does not exist has no end.
func listen(ctx context.Context, account Account, topicARN, owner string, l listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sink := &connection{listener: l, cancel: cancel}
	queue := subscriber.Queue(topicARN, sink, subscriber.SNSClient(account.SNS), subscriber.SQSClient(account.SQS),
		subscriber.Owner(owner), subscriber.Logger(slog.New(sink)), subscriber.OnMessage(l.message))
	sink.subscribed = func() int64 { return queue.Stats().Subscribed }
	err := queue.Run(ctx)
	return errors.Join(sink.failure, err)
}

// connection is the sink of a temporary queue, and its log: both show whether the queue is subscribed. The goroutine of
// the queue's Run calls all of its methods, so it needs no lock.
type connection struct {
	listener
	cancel     context.CancelFunc
	subscribed func() int64 // how many subscriptions the queue has made
	known      int64        // how many of them were reported
	failure    error        // why the queue cannot be subscribed
}

// Invalidate does nothing: messages come by OnMessage.
func (c *connection) Invalidate(...change.Change) {}

// InvalidateAll is called after each subscription, and once more when the queue's policy must have applied.
func (c *connection) InvalidateAll() {
	if n := c.subscribed(); n > c.known {
		again := c.known > 0
		c.known = n
		c.connected(again)
	}
}

// Enabled is true for warnings and errors.
func (c *connection) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

// Handle passes on what failed.
func (c *connection) Handle(_ context.Context, r slog.Record) error {
	text, err := r.Message, error(nil)
	r.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(error); ok && a.Key == "error" {
			err = e
			text += ": " + e.Error()
		}
		return true
	})
	if c.known == 0 && err != nil {
		c.failure = err
		c.cancel()
		return nil
	}
	c.warned(text)
	return nil
}

// WithAttrs and WithGroup are not used by package subscriber.
func (c *connection) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup returns the handler itself.
func (c *connection) WithGroup(string) slog.Handler { return c }
