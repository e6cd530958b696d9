package change

import "time"

// Kinds of LaunchDarkly data, as in the table's namespaces and in [Change].Kind. Kinds that LaunchDarkly adds are
// announced too.
const (
	KindFeatures = "features"
	KindSegments = "segments"
)

// Change means that one item of the table may have changed.
type Change struct {
	// Kind is LaunchDarkly's data kind, such as [KindFeatures]; never empty in a change that was parsed.
	Kind string
	// Key is the flag's or segment's key; never empty in a change that was parsed.
	Key string
	// Version is the item's version after the change, or 0 if it is unknown: after a removal, a
	// reset to an older version, or an edit under the same version.
	Version int
	// Deleted is true if the item does not exist, or is a tombstone.
	Deleted bool
	// Time is when the table changed, by its stream, to the second. Zero if unknown.
	Time time.Time
}

// Sink receives changes. Its methods are safe for concurrent use, return soon (they do not read the table), and have
// taken effect when they return: a read of the sink that starts later sees what the table held then or later.
type Sink interface {
	// Invalidate means that these items may have changed.
	Invalidate(changes ...Change)
	// InvalidateAll means that anything may have changed.
	InvalidateAll()
}

// Waker is an optional interface of a [Sink], for processes that can be frozen, such as Lambda's.
type Waker interface {
	// Wake means that an invocation begins: time may have passed that no clock or timer in this process noticed.
	Wake()
}

// Deliver passes a message's changes to sink. A message without changes invalidates everything.
func Deliver(m Message, sink Sink) {
	if len(m.Changes) == 0 {
		sink.InvalidateAll()
		return
	}
	sink.Invalidate(m.Changes...)
}
