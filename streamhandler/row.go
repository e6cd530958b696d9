package streamhandler

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// row is what one record says of one row of the table.
type row struct {
	id           itemID
	prefix, kind string
	// before and after are the row's versions: 0 where there was or is no row, unknownVersion where the record
	// does not say. A rise from the one to the other is a rise only if both are known.
	before, after int
	deleted       bool      // there is no row any more, or it is a tombstone
	time          time.Time // when it was written, to the second; zero where unknown
}

// Names of the table's attributes, which are LaunchDarkly's.
const (
	attrNamespace = "namespace"
	attrKey       = "key"
	attrVersion   = "version"
	attrItem      = "item"
)

// bigSegments begins the kinds of LaunchDarkly's big segments: their rows are users in segments, and no items.
const bigSegments = "big_segments_"

// record is what is read of a stream record, however it came: decoded by Lambda's library, or by [decodeEvent]. Both make
// the same of the same event, which a test compares.
type record struct {
	source, sequence string // the stream's ARN; the sequence number
	event            string // its name: what was done to the row
	namespace, key   string // empty where the keys have no such text
	foreign          bool   // it has keys, and they are not those of a flag table
	before, after    image
	time             time.Time
}

// image is what is read of a row as it was before or after, if it was and if the stream's view type tells.
type image struct {
	exists    bool // has any attribute
	hasItem   bool
	version   int  // 0 where it does not tell
	tombstone bool // told of new images only
}

// attributes are a row's as Lambda's library has them, each boxed in an interface.
type attributes = map[string]events.DynamoDBAttributeValue

// fromEvent reads what Lambda's library decoded.
func fromEvent(e *events.DynamoDBEventRecord) record {
	_, hasNamespace := e.Change.Keys[attrNamespace]
	_, hasKey := e.Change.Keys[attrKey]
	r := record{
		source: e.EventSourceArn, sequence: e.Change.SequenceNumber, event: e.EventName,
		namespace: text(e.Change.Keys, attrNamespace), key: text(e.Change.Keys, attrKey),
		foreign: len(e.Change.Keys) > 0 && (!hasNamespace || !hasKey),
		before:  imageOf(e.Change.OldImage), after: imageOf(e.Change.NewImage),
		time: e.Change.ApproximateCreationDateTime.Time,
	}
	r.after.tombstone = isTombstone([]byte(text(e.Change.NewImage, attrItem)))
	return r
}

// imageOf reads one image but for the tombstone, which is asked of new images only.
func imageOf(row attributes) image {
	_, hasItem := row[attrItem]
	i := image{exists: len(row) > 0, hasItem: hasItem}
	if value, ok := row[attrVersion]; ok && value.DataType() == events.DataTypeNumber {
		i.version = parseVersion(value.Number())
	}
	return i
}

// readRow reads a record, or says why it is passed over. What it cannot judge (no images, because the stream's view
// type leaves them out; a broken version; an event name of the future) it announces without a version: a look too
// many costs a read, a look too few is a stale flag. The stack's event source filter keeps most of our own rows away, but
// that is only to save invocations: what is right is decided here, in the order of the cases.
func readRow(r *record) (row, Reason) {
	if r.foreign {
		return row{}, SkippedForeign
	}
	prefix, kind, ok := splitNamespace(r.namespace)
	if !ok || r.key == "" || !sendable(r.namespace) || !sendable(r.key) {
		return row{}, SkippedMalformed
	}
	switch {
	case kind[0] == '$':
		return row{}, SkippedOwn
	case strings.HasPrefix(kind, bigSegments):
		return row{}, SkippedForeign
	}
	before, after := r.before, r.after
	// A stream that has no images, KEYS_ONLY, cannot tell what is an item: then everything is.
	if !before.hasItem && !after.hasItem && (before.exists || after.exists) {
		return row{}, SkippedNoItem
	}

	read := row{
		id: itemID{r.namespace, r.key}, prefix: prefix, kind: kind,
		before: before.told(), after: after.told(), time: sendableTime(r.time),
	}
	// What the record's kind says, where the images say nothing. That there was no row is known then, and any version is a
	// rise from 0; that there is none any more is no version at all.
	switch events.DynamoDBOperationType(r.event) {
	case events.DynamoDBOperationTypeInsert:
		read.before = 0
	case events.DynamoDBOperationTypeRemove:
		read.after, read.deleted = 0, true
	}
	switch {
	case after.hasItem:
		read.deleted = after.tombstone
	case before.hasItem && after.exists: // the row has lost its item: for readers it is gone
		read.after, read.deleted = 0, true
	}
	return read, ""
}

// splitNamespace splits "[prefix:]kind". A kind has no colon; a prefix may have. It is the inverse of dynamostore's, and false
// for what that never writes.
func splitNamespace(namespace string) (prefix, kind string, ok bool) {
	colon := strings.LastIndexByte(namespace, ':')
	if colon == 0 { // not how an empty prefix is written
		return "", "", false
	}
	if colon > 0 {
		prefix = namespace[:colon]
	}
	kind = namespace[colon+1:]
	return prefix, kind, kind != ""
}

// text is a string attribute, or "" where there is none of that type.
func text(row attributes, name string) string {
	value, ok := row[name]
	if !ok || value.DataType() != events.DataTypeString {
		return ""
	}
	return value.String()
}

// parseVersion reads a version, or returns 0 where it is none that a change can carry. What the SDKs write is a whole
// number above 0.
func parseVersion(number string) int {
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// told is the image's version, or unknownVersion where it does not tell.
func (i image) told() int {
	if i.version == 0 {
		return unknownVersion
	}
	return i.version
}

// sendableTime is zero where the record has no time, or one that could not be written in a message.
func sendableTime(t time.Time) time.Time {
	t = t.UTC()
	if t.Unix() <= 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// sendable says whether SNS takes s in a message or an attribute: the characters of XML 1.0, which are also SQS's
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html). One refused
// character would block the shard.
func sendable(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf {
			return sendableRunes(s)
		}
	}
	return true
}

// sendableRunes is sendable for text that is not plain ASCII.
func sendableRunes(s string) bool {
	for _, c := range s {
		switch {
		case c == '\t' || c == '\n' || c == '\r':
		case c < ' ' || c == utf8.RuneError || c == 0xFFFE || c == 0xFFFF:
			return false
		}
	}
	return true
}

// isTombstone says whether an item's JSON has "deleted":true at its top level. Nearly all items are told by a
// search: LaunchDarkly's SDKs write "deleted":false into each, and a tombstone is short. The others are parsed. In three steps:
//
//  1. escapes by code could hide the name from a search: where there are any that could, parse;
//  2. search for the name with anything but false behind it: nearly no flag has that, and is done here;
//  3. parse, since the name may stand further down, or in a text.
func isTombstone(item []byte) bool {
	// The letters of "deleted" lie between U+0064 and U+0074.
	hidden := bytes.Contains(item, []byte(`\u006`)) || bytes.Contains(item, []byte(`\u007`))
	return (hidden || mayBeTombstone(item, `":false`)) && parseTombstone(item)
}

// isTombstone is the same of an item that is still in the event's JSON.
func (l literal) isTombstone() bool {
	if l.unicode {
		return isTombstone(l.text())
	}
	return mayBeTombstone(l.quoted, `\":false`) && parseTombstone(l.text())
}

// mayBeTombstone is true for every item that has the name "deleted" at its top level and something else in the place
// of false, and for few others: those that have that further down, or in a text.
func mayBeTombstone(item []byte, isFalse string) bool {
	const name = "deleted"
	for rest := item; ; {
		at := bytes.Index(rest, []byte(name))
		if at < 0 {
			return false
		}
		rest = rest[at+len(name):]
		if !bytes.HasPrefix(rest, []byte(isFalse)) {
			return true
		}
	}
}

// parseTombstone reads the item's top level for certain. LaunchDarkly's names are in this case.
func parseTombstone(item []byte) bool {
	var fields map[string]json.RawMessage // a struct would take "Deleted" too
	if json.Unmarshal(item, &fields) != nil {
		return false // broken; whoever reads the row will say so
	}
	return string(fields["deleted"]) == "true"
}
