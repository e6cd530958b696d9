package streamhandler

import (
	"maps"
	"sync"
)

// Reason says why a record was passed over.
type Reason string

// Reasons to pass over a record.
const (
	// SkippedOwn is a row whose kind begins with "$": LaunchDarkly's $inited, and warmflags' own.
	SkippedOwn Reason = "own"
	// SkippedNoItem is a row that neither has nor had the attribute "item": not a flag or a segment.
	SkippedNoItem Reason = "no_item"
	// SkippedForeign is a row of another kind of table, or of LaunchDarkly's big segments.
	SkippedForeign Reason = "foreign"
	// SkippedMalformed is a record whose namespace or key cannot be read (both are strings that are not empty), or
	// has characters that no message can carry.
	SkippedMalformed Reason = "malformed"
)

// Stats counts what a [Handler] did since it was made. Records = skipped + coalesced + changes.
type Stats struct {
	Batches   int            // batches handled
	Failures  int            // batches that failed, in part or as a whole; Lambda delivers them again
	Records   int            // stream records, those skipped and those delivered again included
	Skipped   map[Reason]int // records passed over; nil if none
	Changes   int            // items that records told of, counted once for each batch
	Coalesced int            // records covered by a later record of the same item in their batch
	Unknown   int            // changes published without a version
	Messages  int            // messages published
	Refused   int            // of these, empty ones in the place of one that SNS refused
	Bytes     int            // published bytes, attributes included
}

// totals adds up batches. The zero value is ready.
type totals struct {
	mu    sync.Mutex
	stats Stats // guarded by mu
}

// add adds a batch's counts, all under one lock, so that nobody sees it in part.
func (t *totals) add(s Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := &t.stats
	sum.Batches += s.Batches
	sum.Failures += s.Failures
	sum.Records += s.Records
	sum.Changes += s.Changes
	sum.Coalesced += s.Coalesced
	sum.Unknown += s.Unknown
	sum.Messages += s.Messages
	sum.Refused += s.Refused
	sum.Bytes += s.Bytes
	for reason, n := range s.Skipped {
		if sum.Skipped == nil {
			sum.Skipped = map[Reason]int{}
		}
		sum.Skipped[reason] += n
	}
}

// Stats returns the counts so far: a copy, in which no batch is counted in part.
func (h *Handler) Stats() Stats {
	h.totals.mu.Lock()
	defer h.totals.mu.Unlock()
	s := h.totals.stats
	s.Skipped = maps.Clone(s.Skipped)
	return s
}

// count counts what became of the batch: what Messages, Bytes and Unknown count was published even if After failed. An
// empty message that stands for a refused one has no changes, and so adds nothing to Unknown.
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
		b.stats.Bytes += m.size()
		for _, c := range m.Changes {
			if c.Version == 0 {
				b.stats.Unknown++
			}
		}
	}
}
