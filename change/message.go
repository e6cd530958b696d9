package change

import (
	"encoding/json"
	"errors"
	"fmt"
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
	// ID identifies the message among all of its source. A message that is published again keeps its ID.
	ID string
	// Prefix is the LaunchDarkly environment that the changes belong to; may be empty.
	Prefix string
	// Time is when the message was made. Zero is left out of the JSON.
	Time time.Time
	// Changes are what changed, at most one for each item.
	Changes []Change
}

type envelope struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Time            string `json:"time,omitempty"`
	DataContentType string `json:"datacontenttype,omitempty"`
	Data            *data  `json:"data"`
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
	Time    string `json:"time,omitempty"`
}

// MarshalJSON writes the message as a CloudEvents 1.0 JSON object.
func (m Message) MarshalJSON() ([]byte, error) {
	e := envelope{
		SpecVersion: specVersion, ID: m.ID, Source: EventSource, Type: EventType,
		Time: formatTime(m.Time), DataContentType: dataContentType,
		Data: &data{Prefix: m.Prefix, Changes: make([]changeJSON, len(m.Changes))},
	}
	for i, c := range m.Changes {
		e.Data.Changes[i] = changeJSON{c.Kind, c.Key, c.Version, c.Deleted, formatTime(c.Time)}
	}
	return json.Marshal(e)
}

// Parse reads a message. Its error names what is wrong, and wraps [ErrForeign] when b is a JSON object
// that is not of [EventType]. Fields that it does not know are ignored, so that messages can grow.
func Parse(b []byte) (Message, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return Message{}, fmt.Errorf("parse message: %w", err)
	}
	if e.Type != EventType {
		return Message{}, fmt.Errorf("parse message of type %q: %w", e.Type, ErrForeign)
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

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
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
