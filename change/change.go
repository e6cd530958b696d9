package change

import "time"

// Kinds of LaunchDarkly data, as they stand in the table's namespaces and in [Change].Kind. LaunchDarkly's
// SDK may add others; they are carried all the same.
const (
	KindFeatures = "features"
	KindSegments = "segments"
)

// Change says that one item of the table may have changed.
type Change struct {
	// Kind is LaunchDarkly's data kind, such as [KindFeatures]; never empty in a change that was parsed.
	Kind string
	// Key is the flag's or segment's key; never empty in a change that was parsed.
	Key string
	// Version is the item's version after the change, or 0 when it is unknown: after a removal, a
	// reset to an older version, or an edit under the same version.
	Version int
	// Deleted is true when the item is gone, or is now a tombstone.
	Deleted bool
	// Time is when the table changed, as its stream says (to the second in AWS). Zero when unknown.
	Time time.Time
}

// Sink is what changes are delivered to. Its methods are safe for concurrent use, return soon (they do not
// read the table), and have taken effect when they return: a read of the sink that starts later sees what the
// table held then or later.
type Sink interface {
	// Invalidate says that these items may have changed.
	Invalidate(changes ...Change)
	// InvalidateAll says that anything may have changed.
	InvalidateAll()
}

// Waker is an optional interface of a [Sink], for processes that can be frozen, such as Lambda's.
type Waker interface {
	// Wake says that an invocation begins: time may have passed that no clock or timer in this process saw.
	Wake()
}

// Deliver hands a message's changes to sink: an empty message means that anything may have changed.
func Deliver(m Message, sink Sink) {
	if len(m.Changes) == 0 {
		sink.InvalidateAll()
		return
	}
	sink.Invalidate(m.Changes...)
}
