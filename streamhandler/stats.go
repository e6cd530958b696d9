package streamhandler

import "maps"

// Reason is the reason why a record was skipped.
type Reason string

// Reasons to skip a record.
const (
	// SkippedOwn is a marker, which is a row whose kind begins with "$": LaunchDarkly's $inited or a row of warmflags.
	SkippedOwn Reason = "own"
	// SkippedNoItem is a row whose attribute "item" is known not to be a string, both before and after the change. No
	// SDK reads it.
	SkippedNoItem Reason = "no_item"
	// SkippedForeign is a row of another kind of table, or a row of LaunchDarkly's big segments.
	SkippedForeign Reason = "foreign"
	// SkippedMalformed is a record whose namespace or key is not a non-empty string or has characters that no message
	// can contain, whose namespace is not "[prefix:]kind", or whose prefix has more than 512 bytes.
	SkippedMalformed Reason = "malformed"
)

// Stats counts what a [Handler] has done. Records = skipped + Coalesced + Changes.
type Stats struct {
	Batches     int            // batches handled
	Failures    int            // batches that failed completely or in part; Lambda redelivers them
	Records     int            // stream records, including skipped and redelivered ones
	Skipped     map[Reason]int // skipped records; nil if there are none
	Changes     int            // items in the records, counted once for each batch
	Coalesced   int            // records covered by a later record of the same item in their batch
	Unknown     int            // published changes without a version
	Messages    int            // published messages
	Refused     int            // published empty messages that replaced a message that SNS refused
	NotPassedOn int            // published messages that OnPublished refused as invalid
	Bytes       int            // published bytes, including attributes
}

// add adds a batch's counts under one lock, so that no batch is visible in part.
func (h *Handler) add(s Stats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := &h.stats
	sum.Batches += s.Batches
	sum.Failures += s.Failures
	sum.Records += s.Records
	sum.Changes += s.Changes
	sum.Coalesced += s.Coalesced
	sum.Unknown += s.Unknown
	sum.Messages += s.Messages
	sum.Refused += s.Refused
	sum.NotPassedOn += s.NotPassedOn
	sum.Bytes += s.Bytes
	for reason, n := range s.Skipped {
		if sum.Skipped == nil {
			sum.Skipped = map[Reason]int{}
		}
		sum.Skipped[reason] += n
	}
}

// Stats returns a copy of the counts so far.
func (h *Handler) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Skipped = maps.Clone(s.Skipped)
	return s
}

// count adds the batch's outcome to its stats. Published messages count even if OnPublished failed.
func (b *batch) count(messages []*message, failure error) {
	if failure != nil {
		b.stats.Failures++
	}
	for _, m := range messages {
		if !m.published {
			continue
		}
		b.stats.Messages++
		if m.refusal != nil {
			b.stats.Refused++
		}
		if m.notPassedOn != nil {
			b.stats.NotPassedOn++
		}
		b.stats.Bytes += m.size()
		for _, c := range m.Changes {
			if c.Version == 0 {
				b.stats.Unknown++
			}
		}
	}
}
