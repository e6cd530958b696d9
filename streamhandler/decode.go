package streamhandler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/warmflags/warmflags/internal/table/layout"
)

// record has the parts of a stream record that the handler uses.
type record struct {
	source, sequence string // the stream's ARN; the sequence number
	event            string // the event's name: INSERT, MODIFY or REMOVE
	namespace, key   string // empty if the record does not have it as a string
	foreign          bool   // the record has keys that are not those of a flag table
	before, after    image
	time             time.Time
}

// image has the parts that the handler uses of a row before or after the change. It is empty if the stream's view type
// does not include the image.
type image struct {
	exists    bool // the row has any attribute
	hasItem   bool // the attribute item is a string; no SDK reads an item of another type
	tombstone bool
	version   int // 0 if unknown
}

// decodeEvent decodes the fields that record has from the JSON of a Lambda event. Decoding into events.DynamoDBEvent
// would create a map of boxed values for each row, and would take most of the handler's time.
//
// It returns an error only if the payload is not JSON or not an event. One bad record must not make the others fail, so
// a value of an unexpected type inside a record counts as missing. For the same reason invalid UTF-8 and duplicate
// names are accepted: invalid bytes become U+FFFD, and the last of several values is used.
func decodeEvent(payload []byte) ([]record, error) {
	d := newDecoder(payload)
	records := make([]record, 0, len(payload)/2048+1) // a record with two images of a flag has a few kilobytes
	isEvent := d.is('{', 'n')                         // null is an empty event, as it is for encoding/json
	for name := range d.members {
		if string(name) != "Records" {
			d.skip()
			continue
		}
		isEvent = isEvent && d.is('[', 'n')
		for range d.elements {
			records = append(records, d.record())
		}
	}
	if d.err == nil && !d.end() {
		d.err = errors.New("more JSON follows the event")
	}
	if d.err == nil && !isEvent {
		d.err = errors.New("it is not an object with a list of Records")
	}
	if d.err != nil {
		return nil, fmt.Errorf("read stream event: %w", d.err)
	}
	return records, nil
}

// decoder reads one JSON value after the other. It stores the first error; after an error every loop ends and every
// text is empty.
type decoder struct {
	*jsontext.Decoder
	err  error
	last record // the previous record, whose strings are reused if they are equal
}

func newDecoder(json []byte) *decoder {
	return &decoder{Decoder: jsontext.NewDecoder(bytes.NewBuffer(json),
		jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
}

// end reports whether the input has ended.
func (d *decoder) end() bool {
	_, err := d.ReadToken()
	return errors.Is(err, io.EOF)
}

// is reports whether the next value has one of the kinds.
func (d *decoder) is(kinds ...jsontext.Kind) bool { return slices.Contains(kinds, d.PeekKind()) }

// members yields the names of an object. The loop's body must read or skip each value, and must not leave the loop. A
// value that is not an object is skipped.
func (d *decoder) members(yield func(name []byte) bool) {
	if !d.is('{') {
		d.skip()
		return
	}
	d.token()
	for d.err == nil && d.is('"') {
		name := d.text()
		if d.err != nil || !yield(name) {
			return
		}
	}
	d.token() // the end of the object, or the error
}

// elements yields once for each element of a list. The rules of members apply.
func (d *decoder) elements(yield func() bool) {
	if !d.is('[') {
		d.skip()
		return
	}
	d.token()
	for d.err == nil && !d.is(']', 0) { // 0: there is no next value, because the JSON is broken
		if !yield() {
			return
		}
	}
	d.token()
}

// token reads a brace or bracket.
func (d *decoder) token() {
	if _, err := d.ReadToken(); d.err == nil {
		d.err = err
	}
}

// skip skips a value.
func (d *decoder) skip() {
	if err := d.SkipValue(); d.err == nil {
		d.err = err
	}
}

// value returns a value's JSON, which must not be used after the next read.
func (d *decoder) value() jsontext.Value {
	v, err := d.ReadValue()
	if d.err == nil {
		d.err = err
	}
	return v
}

// text returns a string, which must not be used after the next read. It skips other values and returns nil for them.
func (d *decoder) text() []byte {
	if !d.is('"') {
		d.skip()
		return nil
	}
	return unquote(d.value())
}

// unquote returns the text of a JSON string. It copies only if something must be replaced.
func unquote(quoted jsontext.Value) []byte {
	if len(quoted) >= 2 && bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return quoted[1 : len(quoted)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // the only error is invalid UTF-8, which it replaces
	return text
}

// record reads one of the event's records.
func (d *decoder) record() record {
	var r record
	for name := range d.members {
		switch string(name) {
		case "eventName":
			r.event = reuse(d.last.event, d.text())
		case "eventSourceARN":
			r.source = reuse(d.last.source, d.text())
		case "dynamodb":
			d.change(&r)
		default:
			d.skip()
		}
	}
	d.last = r
	return r
}

// change reads the part of a record that AWS calls StreamRecord.
func (d *decoder) change(r *record) {
	for name := range d.members {
		switch string(name) {
		case "ApproximateCreationDateTime":
			r.time = parseTime(string(d.value()))
		case "Keys":
			d.keys(r)
		case "NewImage":
			r.after = d.image(isTombstone)
		case "OldImage":
			r.before = d.image(nil)
		case "SequenceNumber":
			r.sequence = string(d.text())
		default:
			d.skip()
		}
	}
}

// parseTime returns the time for a number of seconds since 1970, truncated to whole seconds, or the zero time if the
// text is not a number.
func parseTime(number string) time.Time {
	seconds, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// keys reads a row's primary key. If the keys have other names, the table is not a flag table. A key that is not a
// string stays empty.
func (d *decoder) keys(r *record) {
	n, named := 0, 0
	for name := range d.members {
		n++
		switch string(name) {
		case layout.AttrNamespace:
			named++
			r.namespace = reuse(d.last.namespace, d.attribute('S'))
		case layout.AttrKey:
			named++
			r.key = string(d.attribute('S'))
		default:
			d.skip()
		}
	}
	r.foreign = n > 0 && named < 2
}

// attribute reads an attribute's value, {"<type>": <value>}, as text. It returns nil if the type is not want.
func (d *decoder) attribute(want byte) (text []byte) {
	for name := range d.members {
		if len(name) == 1 && name[0] == want {
			text = d.text()
		} else {
			d.skip()
		}
	}
	return text
}

// image reads a row. isTombstone is nil for an old image, because only a new image can announce a deletion.
func (d *decoder) image(isTombstone func(jsontext.Value) bool) image {
	var i image
	for name := range d.members {
		i.exists = true
		switch string(name) {
		case layout.AttrVersion:
			i.version = parseVersion(string(d.attribute('N')))
		case layout.AttrItem:
			for kind := range d.members {
				i.hasItem = string(kind) == "S" && d.is('"')
				if i.hasItem && isTombstone != nil {
					i.tombstone = isTombstone(d.value())
				} else {
					d.skip()
				}
			}
		default:
			d.skip()
		}
	}
	return i
}

// reuse returns b as a string. If old is equal it returns old, which saves an allocation.
func reuse(old string, b []byte) string {
	if string(b) == old {
		return old
	}
	return string(b)
}

// isTombstone reports whether an item, still quoted as in the event, marks a deletion: it has "deleted":true at its top
// level, or it is null, which LaunchDarkly's stores for Java and .NET write for a deleted item. An item that is not
// JSON is not a tombstone.
//
// Most items are not parsed. All of LaunchDarkly's SDKs write "deleted":false into each live item. So an item is live
// if the name occurs in this form and in no other. An escape such as \u0064 could hide a letter of the name, so an item
// with such an escape is parsed.
func isTombstone(quoted jsontext.Value) bool {
	named := bytes.Count(quoted, []byte(`deleted`))
	if named > 0 && named == bytes.Count(quoted, []byte(`\"deleted\":false`)) && !bytes.Contains(quoted, []byte(`\u`)) {
		return false
	}
	item := unquote(quoted)
	if string(bytes.Trim(item, " \t\r\n")) == "null" {
		return true
	}
	d := newDecoder(item)
	deleted := false
	for name := range d.members {
		if string(name) == "deleted" {
			deleted = d.value().Kind() == 't'
		} else {
			d.skip()
		}
	}
	return deleted && d.err == nil && d.end()
}
