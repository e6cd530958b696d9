package streamhandler

import (
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
// Names are taken as AWS writes them, in their case. Records share nothing with the payload: their texts are copied.
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

// record reads one of the event's records, in any order of its members. It is kept in d.last, as the next record's stream,
// event name and namespace are most likely the same.
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
			// The new item alone is searched, and still in its quotes: most of an event is items.
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
	// Whole seconds are what AWS sends. Up to some size they are the same as the library's, which goes through a float.
	if seconds, err := strconv.ParseInt(string(number), 10, 64); err == nil && seconds < 1<<40 {
		return time.Unix(seconds, 0)
	}
	var t events.SecondsEpochTime
	if number == nil || t.UnmarshalJSON(number) != nil {
		return time.Time{}
	}
	return t.Time
}

// keys reads a row's primary key. Keys of other names are those of another kind of table; keys of these names whose values
// are no strings leave the text empty, which readRow then finds malformed.
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

// image reads a row, and the literal of its item, which is not decoded here: of most items only a search is needed.
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

// attribute reads an attribute's value, {"<type>": <value>}, where it is a string and its type the wanted one. A number
// ("N") is a string in DynamoDB's JSON as well. All else, and what has more or less than one type, is an empty literal.
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
