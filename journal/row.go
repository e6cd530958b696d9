package journal

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/table/layout"
)

// The row's own attributes.
const (
	attrEpoch   = "epoch"
	attrSeq     = "seq"
	attrEntries = "entries"
	attrMarks   = "marks"
)

// maxBytes is the largest size of the row, in bytes as DynamoDB counts them: up to this size, an eventually consistent
// read takes half a read unit
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
const maxBytes = 4096

// markBytes is the length of an entry's mark: 20 random bits.
const markBytes = 4

// row is an item of the table.
type row = map[string]types.AttributeValue

// state is a journal's content. A state that was read has encoded, and has entries after decode. A state to be written
// has entries. It does not change after a follower has stored it.
type state struct {
	epoch      string
	seq        int64   // sequence number of the latest change in this epoch; the first one is 1
	entries    []entry // the latest changes, oldest first; the last one has the sequence number seq
	encoded    string  // the entries as they were read
	marks      string  // the marks of the entries; empty in a row of an older release
	consistent bool    // the read was strongly consistent
}

// entry is one change without its time, which no follower needs.
type entry struct {
	Key     string `json:"n"`
	Kind    string `json:"k,omitempty"` // empty means features
	Version int    `json:"v,omitempty"`
	Deleted bool   `json:"d,omitempty"`

	mark string // random, so that it differs in two histories with the same epoch and sequence number
}

// newEntry returns the entry of a change, with a new mark.
func newEntry(c change.Change) entry {
	e := entry{Key: c.Key, Kind: c.Kind, Version: c.Version, Deleted: c.Deleted, mark: rand.Text()[:markBytes]}
	if e.Kind == change.KindFeatures {
		e.Kind = ""
	}
	return e
}

// change returns the entry as a change without a time.
func (e entry) change() change.Change {
	c := change.Change{Kind: e.Kind, Key: e.Key, Version: e.Version, Deleted: e.Deleted}
	if c.Kind == "" {
		c.Kind = change.KindFeatures
	}
	return c
}

// since returns the changes after sequence number seq, oldest first, and false if the oldest of them are no longer in
// the journal. The state must be decoded, and seq must not be larger than the state's own.
func (j *state) since(seq int64) ([]change.Change, bool) {
	missed := j.seq - seq
	if missed > int64(len(j.entries)) {
		return nil, false
	}
	changes := make([]change.Change, 0, missed)
	for _, e := range j.entries[int64(len(j.entries))-missed:] {
		changes = append(changes, e.change())
	}
	return changes, true
}

// mark returns the mark of the change with sequence number seq, or "" if the state does not contain that change.
func (j *state) mark(seq int64) string {
	end := int64(len(j.marks)) - (j.seq-seq)*markBytes
	if end < markBytes || seq > j.seq {
		return ""
	}
	return j.marks[end-markBytes : end]
}

// diverges reports whether two states of the same epoch belong to different histories: the latest sequence number in
// both has different marks. Then one of the two was written after the table had been restored.
func (j *state) diverges(other *state) bool {
	seq := min(j.seq, other.seq)
	a, b := j.mark(seq), other.mark(seq)
	return a != "" && b != "" && a != b
}

// name returns the namespace of a copy of the journal, which is also its key.
func name(prefix, region string, number int) string {
	return layout.Namespace(prefix, layout.MarkerJournal+"/"+region+"/"+strconv.Itoa(number))
}

func rowKey(name string) row {
	return row{layout.AttrNamespace: text(name), layout.AttrKey: text(name)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// makeRow returns the row of a state under a name, with as many of the latest entries as fit. The size is counted as
// DynamoDB does: the bytes of all names and values
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func makeRow(name string, j *state) row {
	r := rowKey(name)
	r[attrEpoch], r[attrSeq] = text(j.epoch), number(j.seq)
	free := maxBytes - len(layout.AttrNamespace+name+layout.AttrKey+name)
	free -= len(attrEpoch + j.epoch + attrSeq + attrEntries + attrMarks)
	free -= len(strconv.FormatInt(j.seq, 10))/2 + 2 // at least DynamoDB's size of the number
	entries, marks := encodeEntries(j.entries, free)
	r[attrEntries], r[attrMarks] = text(entries), text(marks)
	return r
}

// encodeEntries encodes as many of the latest entries as fit, with their marks, into free bytes: the entries as a JSON
// array, oldest first, and the marks one after the other. If not even the latest entry fits, both are empty, and every
// follower invalidates everything.
func encodeEntries(entries []entry, free int) (encoded, marks string) {
	texts, first, size := make([][]byte, len(entries)), len(entries), len("[]")
	for i := len(entries) - 1; i >= 0; i-- {
		texts[i], _ = json.Marshal(entries[i]) // strings, numbers and booleans always encode
		if size += len(texts[i]) + len(",") + markBytes; size > free {
			break
		}
		first = i
	}
	b := []byte{'['}
	for i := first; i < len(entries); i++ {
		if i > first {
			b = append(b, ',')
		}
		b = append(b, texts[i]...)
		marks += entries[i].mark
	}
	return string(append(b, ']')), marks
}

// parseRow reads a row except its entries. It returns nil if there is no row.
func parseRow(r row) (*state, error) {
	if len(r) == 0 {
		return nil, nil
	}
	epoch, ok := r[attrEpoch].(*types.AttributeValueMemberS)
	seq, ok2 := r[attrSeq].(*types.AttributeValueMemberN)
	entries, ok3 := r[attrEntries].(*types.AttributeValueMemberS)
	if !ok || !ok2 || !ok3 || epoch.Value == "" {
		return nil, errors.New("epoch, seq or entries is missing or of another type")
	}
	n, err := strconv.ParseInt(seq.Value, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("seq: %w", err)
	}
	j := &state{epoch: epoch.Value, seq: n, encoded: entries.Value}
	if marks, ok := r[attrMarks].(*types.AttributeValueMemberS); ok {
		j.marks = marks.Value
	}
	return j, nil
}

// decode decodes the entries of a state that was read. Most polls find nothing new and do not need them. The first
// change of an epoch has sequence number 1, so there cannot be more entries than seq.
func (j *state) decode() error {
	if err := json.Unmarshal([]byte(j.encoded), &j.entries); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	if j.seq < int64(len(j.entries)) {
		return fmt.Errorf("seq %d is less than its %d entries", j.seq, len(j.entries))
	}
	if j.marks == "" { // written by an older release
		return nil
	}
	if len(j.marks) != markBytes*len(j.entries) {
		return fmt.Errorf("%d bytes of marks for %d entries", len(j.marks), len(j.entries))
	}
	for i := range j.entries {
		j.entries[i].mark = j.marks[markBytes*i : markBytes*(i+1)]
	}
	return nil
}
