package streamhandler

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// decodeEvent reads the JSON of a Lambda event. It goes over the bytes once and takes only what a record needs:
// decoding into events.DynamoDBEvent makes a map of boxed values of every row, and takes most of the handler's time.
//
// It returns an error only for what is no JSON, or no event. What has an unexpected type inside of a record is as
// if it were not there, so that the record is judged by itself, and no record can make the others fail with it.
// Names are taken as AWS writes them, in their case.
func decodeEvent(payload []byte) ([]record, error) {
	d := &decoder{b: payload}
	records := make([]record, 0, len(payload)/2048+1) // a record with two flags has some kilobytes
	isEvent := d.next() == '{' || d.next() == 'n'     // null is an empty event, as for encoding/json
	for name := range d.members {
		if string(name) != "Records" {
			d.skip()
			continue
		}
		isEvent = isEvent && (d.next() == '[' || d.next() == 'n')
		for range d.elements {
			records = append(records, d.record())
		}
	}
	if d.err == nil && d.next() != 0 {
		d.fail("text after the event")
	}
	if d.err == nil && !isEvent {
		d.err = errors.New("it is not an object with a list of Records")
	}
	if d.err != nil {
		return nil, fmt.Errorf("read stream event: %w", d.err)
	}
	return records, nil
}

// decoder walks over one JSON text. Each of its methods that reads a value reads all of it, whatever it is. After
// the first error it is at the end of the text, so that every loop ends.
type decoder struct {
	b     []byte
	i     int // what is read next
	depth int // of objects and lists
	err   error
	last  record // of which texts that come in every record are used again
}

// maxDepth is encoding/json's.
const maxDepth = 10_000

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("at byte %d: %s", d.i, what)
	}
	d.i = len(d.b)
}

// next is the byte that the next token begins with, or 0 at the end.
func (d *decoder) next() byte {
	for ; d.i < len(d.b); d.i++ {
		switch c := d.b[d.i]; c {
		case ' ', '\t', '\n', '\r':
		case 0: // which must not look like the end
			d.fail("unexpected byte 0")
		default:
			return c
		}
	}
	return 0
}

// members yields the names of an object, of which each value is then to be read. Other values are passed over.
func (d *decoder) members(yield func(name []byte) bool) {
	if d.next() != '{' {
		d.skip()
		return
	}
	if d.enter('}') {
		return
	}
	for {
		if d.next() != '"' {
			d.fail("want a name")
			return
		}
		name := d.text()
		if d.next() != ':' {
			d.fail("want a colon")
			return
		}
		d.i++
		if !yield(name) || !d.more('}') {
			return
		}
	}
}

// elements yields for each element of a list, which is then to be read. Other values are passed over.
func (d *decoder) elements(yield func() bool) {
	if d.next() != '[' {
		d.skip()
		return
	}
	if d.enter(']') {
		return
	}
	for yield() && d.more(']') {
		continue
	}
}

// enter begins an object or a list, and says whether it is already over.
func (d *decoder) enter(closing byte) bool {
	if d.depth++; d.depth > maxDepth {
		d.fail("too many levels")
		return true
	}
	d.i++
	if d.next() != closing {
		return false
	}
	d.i++
	d.depth--
	return true
}

// more says whether another member or element follows, and ends the object or list if not.
func (d *decoder) more(closing byte) bool {
	switch d.next() {
	case ',':
		d.i++
		return true
	case closing:
		d.i++
		d.depth--
	default:
		d.fail("want a comma, or the end of the object or list")
	}
	return false
}

// skip passes over a value.
func (d *decoder) skip() {
	switch c := d.next(); {
	case c == '{':
		for range d.members {
			d.skip()
		}
	case c == '[':
		for range d.elements {
			d.skip()
		}
	case c == '"':
		d.literal()
	case c == '-' || '0' <= c && c <= '9':
		d.number()
	case c == 't':
		d.word("true")
	case c == 'f':
		d.word("false")
	case c == 'n':
		d.word("null")
	default:
		d.fail("want a value")
	}
}

func (d *decoder) word(want string) {
	if end := d.i + len(want); end <= len(d.b) && string(d.b[d.i:end]) == want {
		d.i = end
		return
	}
	d.fail("want " + want)
}

// number passes over a number and returns it.
func (d *decoder) number() []byte {
	start := d.i
	if d.at() == '-' {
		d.i++
	}
	if d.at() == '0' {
		d.i++
	} else {
		d.digits()
	}
	if d.at() == '.' {
		d.i++
		d.digits()
	}
	if c := d.at(); c == 'e' || c == 'E' {
		d.i++
		if c := d.at(); c == '+' || c == '-' {
			d.i++
		}
		d.digits()
	}
	if d.err != nil {
		return nil
	}
	return d.b[start:d.i]
}

// at is the next byte, or 0 at the end.
func (d *decoder) at() byte {
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

func (d *decoder) digits() {
	start := d.i
	for c := d.at(); '0' <= c && c <= '9'; c = d.at() {
		d.i++
	}
	if d.i == start {
		d.fail("want a digit")
	}
}

// literal is a string as it stands in the JSON.
type literal struct {
	quoted  []byte // with its quotes; nil if there is no string
	plain   bool   // printable ASCII without escapes
	unicode bool   // it has escapes by code, or stands for a JSON text that may have some
}

// What a byte is in a string.
const (
	ordinary = iota
	quote
	escape
	notASCII
	control // not allowed
)

var classes = func() (c [256]byte) {
	for i := range c {
		switch {
		case i < ' ':
			c[i] = control
		case i >= 0x7f:
			c[i] = notASCII
		}
	}
	c['"'], c['\\'] = quote, escape
	return c
}()

// literal reads a string. Most of an event is rows' items, whose every quote is escaped: this loop is its speed.
func (d *decoder) literal() literal {
	l := literal{plain: true}
	b, i := d.b, d.i+1
	for ; i < len(b); i++ {
		switch classes[b[i]] {
		case ordinary:
		case quote:
			l.quoted = b[d.i : i+1]
			d.i = i + 1
			return l
		case escape:
			l.plain = false
			n := escaped(b[i:])
			if n == 0 {
				d.fail("wrong escape in a string")
				return literal{}
			}
			l.unicode = l.unicode || n > 2 || b[i+1] == '\\' && i+2 < len(b) && b[i+2] == 'u'
			i += n - 1
		case notASCII:
			l.plain = false
		case control:
			d.fail("control character in a string")
			return literal{}
		}
	}
	d.fail("want the end of the string")
	return literal{}
}

// escaped is the length of the escape that b begins with, or 0 if it is none.
func escaped(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// text is what the literal stands for; it may be a part of the event.
func (l literal) text() []byte {
	switch {
	case l.quoted == nil:
		return nil
	case l.plain:
		return l.quoted[1 : len(l.quoted)-1]
	}
	var s string
	_ = json.Unmarshal(l.quoted, &s) // it is a JSON string
	return []byte(s)
}

// text reads a string. Other values are passed over, and nil.
func (d *decoder) text() []byte {
	if d.next() != '"' {
		d.skip()
		return nil
	}
	return d.literal().text()
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

// change reads what AWS calls a StreamRecord.
func (d *decoder) change(r *record) {
	for name := range d.members {
		switch string(name) {
		case "ApproximateCreationDateTime":
			r.time = d.time()
		case "Keys":
			d.keys(r)
		case "NewImage":
			var item literal
			r.after, item = d.image()
			r.after.tombstone = item.isTombstone()
		case "OldImage":
			r.before, _ = d.image()
		case "SequenceNumber":
			r.sequence = string(d.text())
		default:
			d.skip()
		}
	}
}

// time reads seconds since 1970, as [events.SecondsEpochTime] does.
func (d *decoder) time() time.Time {
	if c := d.next(); c != '-' && (c < '0' || c > '9') {
		d.skip()
		return time.Time{}
	}
	number := d.number()
	if seconds, err := strconv.ParseInt(string(number), 10, 64); err == nil && seconds < 1<<40 {
		return time.Unix(seconds, 0)
	}
	var t events.SecondsEpochTime
	if number == nil || t.UnmarshalJSON(number) != nil {
		return time.Time{}
	}
	return t.Time
}

func (d *decoder) keys(r *record) {
	n, named := 0, 0
	for name := range d.members {
		n++
		switch string(name) {
		case attrNamespace:
			named++
			r.namespace = reuse(d.last.namespace, d.attribute('S').text())
		case attrKey:
			named++
			r.key = string(d.attribute('S').text())
		default:
			d.skip()
		}
	}
	r.foreign = n > 0 && named < 2
}

// image reads a row, and the literal of its item.
func (d *decoder) image() (image, literal) {
	var row image
	var item literal
	for name := range d.members {
		row.exists = true
		switch string(name) {
		case attrVersion:
			row.version = parseVersion(string(d.attribute('N').text()))
		case attrItem:
			row.hasItem = true
			item = d.attribute('S')
		default:
			d.skip()
		}
	}
	return row, item
}

// attribute reads an attribute's value, {"<type>": <value>}, where it is a string and its type the wanted one.
func (d *decoder) attribute(want byte) literal {
	var value literal
	n := 0
	for name := range d.members {
		n++
		if len(name) == 1 && name[0] == want && d.next() == '"' {
			value = d.literal()
		} else {
			d.skip()
		}
	}
	if n != 1 {
		return literal{}
	}
	return value
}

// reuse is b as a string: old, if that is equal, which spares an allocation.
func reuse(old string, b []byte) string {
	if string(b) == old {
		return old
	}
	return string(b)
}
