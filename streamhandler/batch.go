package streamhandler

import (
	"math"
	"strings"
	"time"

	"github.com/warmflags/warmflags/change"
)

// Coalescing is what makes a sync of many changes one look a flag, and what makes a retry delicate: an item's change stands
// for all its records in the batch. So it is as new as the last of them, may claim only what all of them prove (record),
// and is undone from the first of them on (firstUndone).

// batch is what one invocation's records say, one entry for each item. It belongs to that invocation's goroutine, as its
// messages do.
type batch struct {
	source string    // the stream's ARN: all records of a batch are of one stream
	groups []*group  // by prefix, in the order of their first records
	stats  Stats     // of this batch alone
	strays []string  // sequence numbers of records that could not be read, a few of them
	oldest time.Time // when the first record was made; zero where unknown
}

// group is the items of one prefix, which is one LaunchDarkly environment. Each has consumers of its own, and gets
// messages of its own.
type group struct {
	prefix string
	items  []*item // in the order of their first records
}

// item is one row's changes, coalesced: the last record says what it is now.
type item struct {
	change change.Change
	// first and last are sequence numbers of the item's records in this batch. Retrying must begin at first, not
	// last: the earlier records are needed to tell again whether the version rose.
	first, last string
	// highest is the highest version that the item's records showed so far, before and after each.
	highest int
}

// itemID is a row's primary key.
type itemID struct{ namespace, key string }

// unknownVersion is higher than any: nothing rises above a version that was not seen.
const unknownVersion = math.MaxInt

// keptStrays bounds how many unreadable records a log line names.
const keptStrays = 5

// readBatch coalesces the records. The records of one item are in the order of its writes, because they are always
// in one shard; nothing here depends on the order of different items. Records that are passed over are in no group: where
// Lambda goes on from does not depend on them, and so none of them can hold up the shard.
func readBatch(records []record) *batch {
	b := &batch{}
	b.stats.Batches = 1
	b.stats.Records = len(records)
	all := make([]item, 0, len(records)) // never grows: items keep their places
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

// record takes in the next record of the item; what earlier ones said is forgotten, but for the highest version.
//
// A consumer that is told a version may expect to read that one or a later one, and ask again if it does not. So a
// version is told only where it rises above all that this batch showed before. After a reset, even one followed by
// an edit, the consumer must be told that nothing is known: it may expect more than there is now. Earlier
// batches need not be remembered: the one that went back told 0, or rose above all before.
func (it *item) record(row row, r *record) {
	it.last = r.sequence
	it.highest = max(it.highest, row.before)
	it.change = change.Change{Kind: row.kind, Key: row.id.key, Deleted: row.deleted, Time: row.time}
	if row.after != unknownVersion && row.after > it.highest {
		it.change.Version = row.after
	}
	it.highest = max(it.highest, row.after)
}

// skip counts a record that is passed over, and remembers the first few of those that nobody expects.
func (b *batch) skip(reason Reason, sequence string) {
	if b.stats.Skipped == nil {
		b.stats.Skipped = make(map[Reason]int, 1)
	}
	b.stats.Skipped[reason]++
	if reason == SkippedMalformed && len(b.strays) < keptStrays {
		b.strays = append(b.strays, sequence)
	}
}

// firstUndone is where Lambda must go on from: the lowest sequence number of all records of the items of messages
// that are not done. All records before it are covered by messages that are done, as each item has one entry in one
// message. Records after it that are covered too are announced twice.
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

// isSequence says whether s is a sequence number that Lambda can be answered with.
func isSequence(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// compareSequence compares sequence numbers: decimal numbers of up to 40 digits, too long for an int64. What is no
// number comes before all that are: where to go on from is then not known, and the whole batch is to come again.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
func compareSequence(a, b string) int {
	if ok := isSequence(a); ok != isSequence(b) {
		if ok {
			return 1
		}
		return -1
	}
	// Of two numbers without leading zeros the longer is the higher, and of equally long ones the text decides.
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
