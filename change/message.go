package change

import (
	"bytes"
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

// The causes of [Parse]'s errors.
var (
	// ErrForeign is the cause if the text is not a message of warmflags. A consumer that shares its queue or endpoint
	// with other producers skips it.
	ErrForeign = errors.New("not a " + EventType + " event")
	// ErrUnreadable is the cause if a message of warmflags cannot be read completely, for example because it was cut
	// off. A consumer must handle it like a message without changes, for every prefix: any item may have changed.
	ErrUnreadable = errors.New("unreadable " + EventType + " event")
)

// Message is a published list of changes of one prefix. An empty list means that any item may have changed.
type Message struct {
	// ID identifies the message. A message that is published again usually has the same ID, but consumers must not rely
	// on it: after a partial failure, changes may be grouped differently in messages with other IDs.
	ID string
	// Prefix identifies the LaunchDarkly environment of the changes. It may be empty.
	Prefix string
	// Time is when the message was created. The zero time is omitted from the JSON.
	Time time.Time
	// Changes has at most one change per item.
	Changes []Change
}

// envelope is the part of a message that Parse reads.
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
	// encoding/json takes several times as long, and a batch can have 10,000 changes. A test compares the results.
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

// appendString appends s as encoding/json encodes it. It calls encoding/json only if s is not plain printable ASCII.
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

// appendTime appends the member "time". It appends nothing for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(b, `,"time":"`...)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// Parse reads a message. Its error wraps [ErrForeign] or [ErrUnreadable]. Text that is not JSON is unreadable if it
// contains [EventType], and foreign otherwise. Unknown fields are ignored, so that fields can be added later.
func Parse(b []byte) (Message, error) {
	var e envelope
	err := json.Unmarshal(b, &e)
	ours := e.Type == EventType
	if !isJSON(err) {
		ours = bytes.Contains(b, []byte(EventType))
	}
	if !ours {
		return Message{}, fmt.Errorf("parse message of type %q: %w", e.Type, ErrForeign)
	}
	m, err := e.message(err)
	if err != nil {
		return Message{}, fmt.Errorf("parse message %q: %w: %w", e.ID, ErrUnreadable, err)
	}
	return m, nil
}

// message converts an envelope. Err is the error from decoding the envelope, if any.
func (e envelope) message(err error) (Message, error) {
	if err != nil {
		return Message{}, err
	}
	if e.Data == nil || e.Data.Changes == nil {
		return Message{}, errors.New("data.changes is missing")
	}
	t, err := parseTime(e.Time)
	if err != nil {
		return Message{}, err
	}
	m := Message{ID: e.ID, Prefix: e.Data.Prefix, Time: t}
	for i, c := range e.Data.Changes {
		t, err := parseTime(c.Time)
		if err != nil {
			return Message{}, fmt.Errorf("change %d: %w", i, err)
		}
		if c.Kind == "" || c.Key == "" {
			return Message{}, fmt.Errorf("change %d: kind %q, key %q: neither may be empty", i, c.Kind, c.Key)
		}
		m.Changes = append(m.Changes, Change{c.Kind, c.Key, c.Version, c.Deleted, t})
	}
	return m, nil
}

// isJSON reports whether a text is valid JSON, given Unmarshal's error. If only a field's type is unexpected, Unmarshal
// has still read all other fields.
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
