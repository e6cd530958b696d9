package streamhandler

import (
	"encoding/json"
	"fmt"
)

// This is a JSON reader that makes nothing of what nobody asks for. A fuzz test holds it to encoding/json: what is no
// JSON is an error, and what both can read they read alike. Objects and lists are loops:
//
//	for name := range d.members { switch string(name) { case "Keys": d.keys(r); default: d.skip() } }
//
// The body must read the member's value, or skip it, and must not leave the loop: the text goes on where it stands.

// decoder walks over one JSON text. Each of its methods that reads a value reads all of it, whatever it is. After
// the first error it is at the end of the text, so that every loop ends. It is for one goroutine, and one text.
type decoder struct {
	b     []byte
	i     int // what is read next
	depth int // of objects and lists
	err   error
	last  record // the one before, whose texts are used again where they are the same
}

// maxDepth is encoding/json's.
const maxDepth = 10_000

// fail keeps the first error, and goes to the end.
func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("at byte %d: %s", d.i, what)
	}
	d.i = len(d.b)
}

// next is the byte that the next token begins with, or 0 at the end. It passes over white space and does not take the byte.
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

// word passes over true, false or null.
func (d *decoder) word(want string) {
	if end := d.i + len(want); end <= len(d.b) && string(d.b[d.i:end]) == want {
		d.i = end
		return
	}
	d.fail("want " + want)
}

// number passes over a number and returns it as it is written; nil after an error. It holds to JSON's grammar, as what it
// returns may be given to encoding/json.
func (d *decoder) number() []byte {
	start := d.i
	if d.at() == '-' {
		d.i++
	}
	if d.at() == '0' { // after which no digit may come: 01 is no number
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

// digits passes over one digit or more.
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

// classes says what each byte is. All of UTF-8 beyond ASCII is taken as it is: encoding/json looks at it when the text is
// wanted.
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
		c := classes[b[i]]
		if c == ordinary {
			continue
		}
		switch c {
		case quote:
			l.quoted = b[d.i : i+1]
			d.i = i + 1
			return l
		case escape:
			l.plain = false
			if i+1 < len(b) && b[i+1] == '"' { // nearly all are
				i++
				continue
			}
			n := escaped(b[i:])
			if n == 0 {
				d.fail("wrong escape in a string")
				return literal{}
			}
			// Two backslashes are one in the item's own JSON, in which an escape by code may follow.
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
			if hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'; !hex {
				return 0
			}
		}
		return 6
	}
	return 0
}

// text is what the literal stands for; it may be a part of the event, and must be copied to be kept. No literal is nil.
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
