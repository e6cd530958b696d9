package change

import "time"

// Kinds of LaunchDarkly data, as used in the table's namespaces and in [Change].Kind. Changes of kinds that
// LaunchDarkly may add are published too.
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
	// Version is the item's version after the change, or 0 if it is unknown: after a removal, a reset to an older
	// version, or an edit that keeps the version.
	Version int
	// Deleted is true if the item does not exist, or is a tombstone.
	Deleted bool
	// Time is when the table changed according to its stream, with a resolution of one second. Zero if unknown.
	Time time.Time
}

// Sink receives changes. Its methods are safe for concurrent use. They return soon, because they do not read the table,
// and have taken effect when they return: a read through the sink that starts later returns what the table held then or
// later.
type Sink interface {
	// Invalidate reports that these items may have changed.
	Invalidate(changes ...Change)
	// InvalidateAll reports that any item may have changed.
	InvalidateAll()
}

// Waker is an optional interface of a [Sink], for processes that can be frozen, such as Lambda functions.
type Waker interface {
	// Wake reports the start of an invocation. Time may have passed that the process's monotonic clock and timers did
	// not measure.
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
