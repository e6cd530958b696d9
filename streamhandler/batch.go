package streamhandler

import (
	"math"
	"strings"
	"time"

	"github.com/warmflags/warmflags/change"
)

// batch is the content of one invocation's records, with one entry for each item. Only the goroutine of that
// invocation uses it.
type batch struct {
	source    string    // the ARN of the stream, from which all records of a batch come
	groups    []*group  // by prefix, in the order of their first records
	stats     Stats     // of this batch alone
	malformed []string  // sequence numbers of malformed records, up to maxLoggedRecords
	oldest    time.Time // when the first record was written; zero if unknown
}

// group has the items of one prefix, which identifies one LaunchDarkly environment. A message has items of one group.
type group struct {
	prefix string
	items  []*item // in the order of their first records
}

// item is one row's changes, coalesced into one change. The change has the state of the last record, has a version only
// if all records prove that it rose, and is retried from the first record on.
type item struct {
	change change.Change
	// first and last are the sequence numbers of the item's first and last record in this batch. A retry must begin at
	// first, because all records are needed to decide again whether the version rose.
	first, last string
	// highest is the highest version in the item's records so far, in old and new images.
	highest int
}

// itemID is a row's primary key.
type itemID struct{ namespace, key string }

// unknownVersion is higher than any version, so that no version counts as a rise from an unknown one.
const unknownVersion = math.MaxInt

// maxLoggedRecords is the largest number of malformed records or lost positions in a log line.
const maxLoggedRecords = 5

// readBatch coalesces the records. Records of one item are in the order of its writes, because they are in one shard.
// The order of different items does not matter. Skipped records are in no group, so they never block the shard.
func readBatch(records []record) *batch {
	b := &batch{stats: Stats{Batches: 1, Records: len(records)}}
	all := make([]item, 0, len(records)) // never grows, so that pointers to items stay valid
	items := make(map[itemID]*item, len(records))
	groups := make(map[string]*group, 1)
	for i := range records {
		r := &records[i]
		if t := sendableTime(r.time); !t.IsZero() && (b.oldest.IsZero() || t.Before(b.oldest)) {
			b.oldest = t
		}
		row, reason := readRow(r)
		if reason != "" {
			b.skip(reason, r.sequence)
			continue
		}
		if b.source == "" {
			b.source = r.source
		}
		it := items[row.id]
		if it == nil {
			all = append(all, item{first: r.sequence})
			it = &all[len(all)-1]
			items[row.id] = it
			g := groups[row.prefix]
			if g == nil {
				g = &group{prefix: row.prefix}
				groups[row.prefix] = g
				b.groups = append(b.groups, g)
			}
			g.items = append(g.items, it)
		} else {
			b.stats.Coalesced++
		}
		it.record(row, r)
	}
	b.stats.Changes = len(items)
	return b
}

// record adds the item's next record. Of the earlier records it keeps only the highest version.
//
// A consumer that receives a version may expect to read that version or a later one. So a change has a version only if
// it rose above all earlier versions of the item in this batch. After a reset, even one followed by an edit, the
// version is unknown (0), because the table may have a lower version than the consumer. The handler does not keep
// state of earlier batches: the batch that contained the reset published 0.
func (it *item) record(row row, r *record) {
	it.last = r.sequence
	it.highest = max(it.highest, row.before)
	it.change = change.Change{Kind: row.kind, Key: row.id.key, Deleted: row.deleted, Time: row.time}
	if row.after != unknownVersion && row.after > it.highest {
		it.change.Version = row.after
	}
	it.highest = max(it.highest, row.after)
}

// skip counts a skipped record.
func (b *batch) skip(reason Reason, sequence string) {
	if b.stats.Skipped == nil {
		b.stats.Skipped = make(map[Reason]int, 1)
	}
	b.stats.Skipped[reason]++
	if reason == SkippedMalformed && len(b.malformed) < maxLoggedRecords {
		b.malformed = append(b.malformed, sequence)
	}
}

// firstUndone returns the sequence number from which Lambda must continue: the lowest one of the items in messages that
// are not done. All records before it are covered by messages that are done, because each item is in one message.
// Covered records after it are published twice.
func firstUndone(messages []*message) string {
	lowest, found := "", false
	for _, m := range messages {
		if m.done {
			continue
		}
		for _, it := range m.items {
			if !found || compareSequence(it.first, lowest) < 0 {
				lowest, found = it.first, true
			}
		}
	}
	return lowest
}

// isSequence reports whether Lambda accepts s as a sequence number in a response.
func isSequence(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// compareSequence compares sequence numbers, which are decimal numbers of up to 40 digits, too long for an int64. A
// text that is not a number sorts first, because the position to continue from is then unknown and the whole batch must
// be redelivered.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
func compareSequence(a, b string) int {
	if ok := isSequence(a); ok != isSequence(b) {
		if ok {
			return 1
		}
		return -1
	}
	// Without leading zeros, the longer number is higher, and numbers of equal length compare as text.
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
