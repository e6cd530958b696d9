package streamhandler

import (
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

type image = map[string]events.DynamoDBAttributeValue

// readRow reads a record, or says why it is passed over. What it cannot judge (no images, because the stream's view
// type leaves them out; a broken version; an event name of the future) it announces without a version: a look too
// many costs a read, a look too few is a stale flag.
func readRow(r *events.DynamoDBEventRecord) (row, Reason) {
	namespace, key := text(r.Change.Keys, attrNamespace), text(r.Change.Keys, attrKey)
	prefix, kind, ok := splitNamespace(namespace)
	if !ok || key == "" || !sendable(namespace) || !sendable(key) {
		return row{}, SkippedMalformed
	}
	if kind[0] == '$' {
		return row{}, SkippedOwn
	}
	before, after := r.Change.OldImage, r.Change.NewImage
	// A stream that has no images, KEYS_ONLY, cannot tell what is an item: then everything is.
	_, hadItem := before[attrItem]
	_, hasItem := after[attrItem]
	if !hadItem && !hasItem && (len(before) > 0 || len(after) > 0) {
		return row{}, SkippedNoItem
	}

	read := row{
		id: itemID{namespace, key}, prefix: prefix, kind: kind,
		before: version(before), after: version(after), time: recordTime(r),
	}
	// What the record's kind says, where the images say nothing.
	switch events.DynamoDBOperationType(r.EventName) {
	case events.DynamoDBOperationTypeInsert:
		read.before = 0
	case events.DynamoDBOperationTypeRemove:
		read.after, read.deleted = 0, true
	}
	switch {
	case hasItem:
		read.deleted = isTombstone(text(after, attrItem))
	case hadItem && len(after) > 0: // the row has lost its item: for readers it is gone
		read.after, read.deleted = 0, true
	}
	return read, ""
}

// splitNamespace splits "[prefix:]kind". A kind has no colon; a prefix may have.
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
func text(attributes image, name string) string {
	value, ok := attributes[name]
	if !ok || value.DataType() != events.DataTypeString {
		return ""
	}
	return value.String()
}

// version is the version in an image, or unknownVersion where there is none, or none that a change can carry. What
// the SDKs write is a whole number above 0.
func version(attributes image) int {
	value, ok := attributes[attrVersion]
	if !ok || value.DataType() != events.DataTypeNumber {
		return unknownVersion
	}
	n, err := strconv.Atoi(value.Number())
	if err != nil || n < 1 {
		return unknownVersion
	}
	return n
}

// recordTime is zero where the record has no time, or one that could not be written in a message.
func recordTime(r *events.DynamoDBEventRecord) time.Time {
	t := r.Change.ApproximateCreationDateTime.UTC()
	if year := t.Year(); year < 1970 || year > 9999 {
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
// search: without that text anywhere, or an escape that could hide its letters, they are not deleted. The few
// others are parsed. (LaunchDarkly's SDKs write "deleted":false into every item, and a tombstone is short.)
func isTombstone(item string) bool {
	if !mayBeTombstone(item) {
		return false
	}
	var fields map[string]json.RawMessage // a struct would take "Deleted" too
	if json.Unmarshal([]byte(item), &fields) != nil {
		return false // broken; whoever reads the row will say so
	}
	return string(fields["deleted"]) == "true"
}

// mayBeTombstone is true for every item with "deleted":true at its top level, and for few others: those that have
// it further down, or in a text.
func mayBeTombstone(item string) bool {
	const name = `deleted"`
	for rest := item; ; {
		at := strings.Index(rest, name)
		if at < 0 {
			break
		}
		rest = rest[at+len(name):]
		value := strings.TrimLeft(rest, " \t\r\n:")
		if strings.HasPrefix(value, "true") {
			return true
		}
	}
	// The letters of "deleted" lie between U+0064 and U+0074.
	return strings.Contains(item, `\u006`) || strings.Contains(item, `\u007`)
}
