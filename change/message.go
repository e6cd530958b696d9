package change

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A message is a CloudEvents 1.0 event in its JSON format
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
const (
	// EventType is the CloudEvents type of a message.
	EventType = "warmflags.changed.v1"
	// EventSource is the CloudEvents source of a message.
	EventSource = "/warmflags/streamhandler"

	specVersion     = "1.0"
	dataContentType = "application/json"
)

// ErrForeign is the cause of [Parse]'s error for a well-formed document that is not a message of warmflags:
// a consumer whose queue or endpoint serves several producers passes over it.
var ErrForeign = errors.New("not a " + EventType + " event")

// Message is the changes of one prefix, as they are published. No changes means that anything may have changed.
type Message struct {
	// ID identifies the message among all of its source. A message that is published again usually keeps its ID. Do
	// not rely on it: after a failure in part, changes may come again in other groups, which have other IDs.
	ID string
	// Prefix is the LaunchDarkly environment that the changes belong to; may be empty.
	Prefix string
	// Time is when the message was made. Zero is left out of the JSON.
	Time time.Time
	// Changes are what changed, at most one for each item.
	Changes []Change
}

// envelope is what Parse reads of a message.
type envelope struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Time string `json:"time"`
	Data *data  `json:"data"`
}

type data struct {
	Prefix  string       `json:"prefix"`
	Changes []changeJSON `json:"changes"`
}

type changeJSON struct {
	Kind    string `json:"kind"`
	Key     string `json:"key"`
	Version int    `json:"version"`
	Deleted bool   `json:"deleted"`
	Time    string `json:"time"`
}

// MarshalJSON writes the message as a CloudEvents 1.0 JSON object.
func (m Message) MarshalJSON() ([]byte, error) {
	// Written by hand: a busy stream makes hundreds of thousands of changes a second, and encoding/json is several
	// times as slow. A test holds it to what encoding/json writes.
	b := make([]byte, 0, 256+len(m.Prefix)+128*len(m.Changes))
	b = append(b, `{"specversion":"`+specVersion+`","id":`...)
	b = appendString(b, m.ID)
	b = append(b, `,"source":"`+EventSource+`","type":"`+EventType+`"`...)
	b = appendTime(b, m.Time)
	b = append(b, `,"datacontenttype":"`+dataContentType+`","data":{"prefix":`...)
	b = appendString(b, m.Prefix)
	b = append(b, `,"changes":[`...)
	for i, c := range m.Changes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"kind":`...)
		b = appendString(b, c.Kind)
		b = append(b, `,"key":`...)
		b = appendString(b, c.Key)
		b = append(b, `,"version":`...)
		b = strconv.AppendInt(b, int64(c.Version), 10)
		b = append(b, `,"deleted":`...)
		b = strconv.AppendBool(b, c.Deleted)
		b = appendTime(b, c.Time)
		b = append(b, '}')
	}
	return append(b, `]}}`...), nil
}

// appendString appends s as encoding/json writes it; that is asked only for what is not plain.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendTime appends the member "time", or nothing for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, `,"time":"`...)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// Parse reads a message. Its error names what is wrong, and wraps [ErrForeign] when b is JSON that is not of
// [EventType], whatever else is in it. Fields that it does not know are ignored, so that messages can grow.
func Parse(b []byte) (Message, error) {
	var e envelope
	err := json.Unmarshal(b, &e)
	if e.Type != EventType && isJSON(err) {
		return Message{}, fmt.Errorf("parse message of type %q: %w", e.Type, ErrForeign)
	}
	if err != nil {
		return Message{}, fmt.Errorf("parse message: %w", err)
	}
	if e.Data == nil || e.Data.Changes == nil {
		// Without this check, a truncated message would mean "anything may have changed".
		return Message{}, fmt.Errorf("parse message %q: data.changes is missing", e.ID)
	}
	t, err := parseTime(e.Time)
	if err != nil {
		return Message{}, fmt.Errorf("parse message %q: %w", e.ID, err)
	}
	m := Message{ID: e.ID, Prefix: e.Data.Prefix, Time: t}
	for i, c := range e.Data.Changes {
		t, err := parseTime(c.Time)
		if err != nil {
			return Message{}, fmt.Errorf("parse message %q: change %d: %w", e.ID, i, err)
		}
		if c.Kind == "" || c.Key == "" {
			return Message{}, fmt.Errorf("parse message %q: change %d: kind %q, key %q: neither may be empty", e.ID, i, c.Kind, c.Key)
		}
		m.Changes = append(m.Changes, Change{c.Kind, c.Key, c.Version, c.Deleted, t})
	}
	return m, nil
}

// isJSON says whether what Unmarshal returned err for is JSON. Where only fields are of other types than was thought,
// Unmarshal has read all others.
func isJSON(err error) bool {
	var mismatch *json.UnmarshalTypeError
	return err == nil || errors.As(err, &mismatch)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("parse time: %w", err)
	}
	return t, nil
}
