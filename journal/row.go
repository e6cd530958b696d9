package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/warmflags/warmflags/change"
)

// The item's attributes.
const (
	attrNamespace = "namespace"
	attrKey       = "key"
	attrEpoch     = "epoch"
	attrSeq       = "seq"
	attrEntries   = "entries"
)

// maxBytes bounds the item, as DynamoDB counts: one eventually consistent read of it takes half a read unit
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
const maxBytes = 4096

// row is an item of the table.
type row = map[string]types.AttributeValue

// state is what a journal says. One that was read has encoded, and entries after decode; one that is to be written has
// entries. It never changes once a follower knows it.
type state struct {
	epoch   string
	seq     int64   // the number of the latest change in this epoch, the first being 1
	entries []entry // the latest ones, oldest first; the last has the number seq
	encoded string  // entries as they were read; decode makes entries of it
}

// entry is one change. Its time is left out: nobody who looks at the journal needs it.
type entry struct {
	Key     string `json:"n"`
	Kind    string `json:"k,omitempty"` // empty: features, which most are
	Version int    `json:"v,omitempty"`
	Deleted bool   `json:"d,omitempty"`
}

// newEntry makes the entry of a change; entry.change is its inverse, but for the time.
func newEntry(c change.Change) entry {
	e := entry{Key: c.Key, Kind: c.Kind, Version: c.Version, Deleted: c.Deleted}
	if e.Kind == change.KindFeatures {
		e.Kind = ""
	}
	return e
}

// change is the change of an entry, without a time.
func (e entry) change() change.Change {
	c := change.Change{Kind: e.Kind, Key: e.Key, Version: e.Version, Deleted: e.Deleted}
	if c.Kind == "" {
		c.Kind = change.KindFeatures
	}
	return c
}

// since are the changes after the number seq, oldest first. It is false when the oldest of them are not there any more. The
// state must be decoded, and seq be at most its own.
func (s *state) since(seq int64) ([]change.Change, bool) {
	missed := s.seq - seq
	if missed > int64(len(s.entries)) {
		return nil, false
	}
	changes := make([]change.Change, 0, missed)
	for _, e := range s.entries[int64(len(s.entries))-missed:] {
		changes = append(changes, e.change())
	}
	return changes, true
}

// name is the namespace, and the key, of a journal's copy.
func name(prefix, region string, copied int) string {
	n := "$journal/" + region + "/" + strconv.Itoa(copied)
	if prefix != "" {
		n = prefix + ":" + n
	}
	return n
}

func rowKey(name string) row {
	return row{attrNamespace: text(name), attrKey: text(name)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// makeRow makes the item of s under a name, with as many of the latest entries as fit. It counts as DynamoDB does: the bytes of
// all names and values
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html).
func makeRow(name string, s *state) row {
	r := rowKey(name)
	r[attrEpoch], r[attrSeq] = text(s.epoch), number(s.seq)
	room := maxBytes - len(attrNamespace+name+attrKey+name+attrEpoch+s.epoch+attrSeq+attrEntries)
	room -= len(strconv.FormatInt(s.seq, 10))/2 + 2 // a number's size, or a little more
	r[attrEntries] = text(encodeEntries(s.entries, room))
	return r
}

// encodeEntries encodes the latest entries that fit into so many bytes, oldest first, as a JSON array. It may be empty: then
// every follower has fallen behind, and invalidates all.
func encodeEntries(entries []entry, room int) string {
	encoded, first, size := make([][]byte, len(entries)), len(entries), len("[]")
	for i := len(entries) - 1; i >= 0; i-- {
		encoded[i], _ = json.Marshal(entries[i]) // strings, numbers and truths always encode
		if size += len(encoded[i]) + len(","); size > room {
			break
		}
		first = i
	}
	b := []byte{'['}
	for i := first; i < len(entries); i++ {
		if i > first {
			b = append(b, ',')
		}
		b = append(b, encoded[i]...)
	}
	return string(append(b, ']'))
}

// parseRow reads an item, all but its entries; nil for none. Somebody else may have written anything there.
func parseRow(r row) (*state, error) {
	if len(r) == 0 {
		return nil, nil
	}
	epoch, ok := r[attrEpoch].(*types.AttributeValueMemberS)
	seq, ok2 := r[attrSeq].(*types.AttributeValueMemberN)
	entries, ok3 := r[attrEntries].(*types.AttributeValueMemberS)
	if !ok || !ok2 || !ok3 || epoch.Value == "" {
		return nil, errors.New("epoch, seq or entries is missing, or of another type")
	}
	n, err := strconv.ParseInt(seq.Value, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("seq: %w", err)
	}
	return &state{epoch: epoch.Value, seq: n, encoded: entries.Value}, nil
}

// decode reads the entries of an item that was read. Most looks find nothing new, and are spared it. Each entry has a number
// in the epoch, and the first is 1: so there cannot be more of them than seq.
func (s *state) decode() error {
	if err := json.Unmarshal([]byte(s.encoded), &s.entries); err != nil {
		return fmt.Errorf("entries: %w", err)
	}
	if s.seq < int64(len(s.entries)) {
		return fmt.Errorf("seq %d is less than its %d entries", s.seq, len(s.entries))
	}
	return nil
}
