package change_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/change"
)

func ExampleParse() {
	m, err := change.Parse([]byte(`{"specversion": "1.0", "type": "warmflags.changed.v1", "id": "1",
		"source": "/warmflags/streamhandler",
		"data": {"prefix": "production", "changes": [{"kind": "features", "key": "checkout", "version": 7}]}}`))
	fmt.Println(m.Prefix, m.Changes[0].Key, m.Changes[0].Version, err)
	// Output: production checkout 7 <nil>
}

var when = time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)

func TestAMessageIsACloudEvent(t *testing.T) {
	b, err := json.Marshal(change.Message{ID: "a-1", Prefix: "staging", Time: when, Changes: []change.Change{
		{Kind: change.KindFeatures, Key: "x", Version: 3, Time: when},
		{Kind: change.KindSegments, Key: "s", Deleted: true},
	}})
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"specversion": "1.0", "id": "a-1", "source": "/warmflags/streamhandler", "type": "warmflags.changed.v1",
		"time": "2026-11-23T01:02:03Z", "datacontenttype": "application/json",
		"data": {"prefix": "staging", "changes": [
			{"kind": "features", "key": "x", "version": 3, "deleted": false, "time": "2026-11-23T01:02:03Z"},
			{"kind": "segments", "key": "s", "version": 0, "deleted": true}]}}`, string(b))
}

// MarshalJSON does not use encoding/json. Its output must be the same.
func TestMarshalWritesTheSameAsEncodingJSON(t *testing.T) {
	type entry struct {
		Kind    string `json:"kind"`
		Key     string `json:"key"`
		Version int    `json:"version"`
		Deleted bool   `json:"deleted"`
		Time    string `json:"time,omitempty"`
	}
	type data struct {
		Prefix  string  `json:"prefix"`
		Changes []entry `json:"changes"`
	}
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("a<>&\"\\\x00\n\x7f\u2028é\ufffd😀/"))),
		rapid.StringMatching(`[a-z-]*`),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		m := change.Message{ID: text.Draw(t, "id"), Prefix: text.Draw(t, "prefix"),
			Time: when.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ns")))}
		want := data{m.Prefix, []entry{}}
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			c := change.Change{Kind: text.Draw(t, "kind"), Key: text.Draw(t, "key"),
				Version: rapid.Int().Draw(t, "version"),
				Deleted: rapid.Bool().Draw(t, "deleted")}
			e := entry{c.Kind, c.Key, c.Version, c.Deleted, ""}
			if rapid.Bool().Draw(t, "timed") {
				c.Time = when.In(time.FixedZone("", 3600))
				e.Time = "2026-11-23T01:02:03Z"
			}
			m.Changes, want.Changes = append(m.Changes, c), append(want.Changes, e)
		}
		expected, err := json.Marshal(struct {
			SpecVersion     string `json:"specversion"`
			ID              string `json:"id"`
			Source          string `json:"source"`
			Type            string `json:"type"`
			Time            string `json:"time"`
			DataContentType string `json:"datacontenttype"`
			Data            data   `json:"data"`
		}{"1.0", m.ID, change.EventSource, change.EventType, m.Time.Format(time.RFC3339Nano), "application/json", want})
		require.NoError(t, err)
		got, err := m.MarshalJSON()
		require.NoError(t, err)
		assert.Equal(t, string(expected), string(got))
	})
}

func TestParseReadsWhatMarshalWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := change.Message{ID: rapid.String().Draw(t, "id"), Prefix: rapid.String().Draw(t, "prefix")}
		if rapid.Bool().Draw(t, "timed") {
			want.Time = when
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "changes") {
			want.Changes = append(want.Changes, change.Change{
				Kind: change.KindFeatures, Key: fmt.Sprint("k", i), Version: rapid.Int().Draw(t, "version"),
				Deleted: rapid.Bool().Draw(t, "deleted"), Time: want.Time,
			})
		}
		b, err := json.Marshal(want)
		require.NoError(t, err)
		got, err := change.Parse(b)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	})
}

// Each error has one of two causes: a consumer skips a foreign message, and invalidates everything for an unreadable
// one.
func TestParseErrors(t *testing.T) {
	const envelope = `{"type":"warmflags.changed.v1","id":"m1","data":%s}`
	foreign, unreadable := change.ErrForeign, change.ErrUnreadable
	cases := []struct {
		name, body, want string
		kind             error
	}{
		{"not JSON", `hello`, "parse message", foreign},
		{"empty", ``, "parse message", foreign},
		{"another event", `{"type":"order.created"}`, `"order.created"`, foreign},
		{"another event, cut off", `{"type":"order.created"`, `parse message`, foreign},
		{"no event", `{}`, `type ""`, foreign},
		{"another event with other data", `{"type":"order.created","data":"x"}`, `"order.created"`, foreign},
		{"another event with another id", `{"id":7,"type":"order.created"}`, `"order.created"`, foreign},
		{"a later event of warmflags", `{"data":{"changes":{"a":1}},"type":"warmflags.changed.v2"}`,
			`"warmflags.changed.v2"`,
			foreign},
		{"a type that is not a string", `{"type":7}`, `type ""`, foreign},
		{"not an object", `["order.created"]`, `type ""`, foreign},
		{"cut off", `{"type":"warmflags.changed.v1","id":"m1","data":{"chan`, "unexpected end", unreadable},
		{"an id that is not a string", `{"type":"warmflags.changed.v1","id":7,"data":{"changes":[]}}`, "id",
			unreadable},
		{"no data", `{"type":"warmflags.changed.v1","id":"m1"}`, `data.changes is missing`, unreadable},
		{"data of another type", `{"type":"warmflags.changed.v1","id":"m1","data":[]}`, `parse message "m1"`,
			unreadable},
		{"null changes", fmt.Sprintf(envelope, `{"prefix":"","changes":null}`), "data.changes is missing", unreadable},
		{"a change without a key", fmt.Sprintf(envelope, `{"changes":[{"kind":"features"}]}`),
			`change 0: kind "features", key ""`, unreadable},
		{"a change without a kind", fmt.Sprintf(envelope, `{"changes":[{"kind":"features","key":"a"},{"key":"b"}]}`),
			"change 1", unreadable},
		{"a version that is not a number",
			fmt.Sprintf(envelope, `{"changes":[{"kind":"features","key":"a","version":"7"}]}`),
			"version", unreadable},
		{"a version that is too large",
			fmt.Sprintf(envelope, `{"changes":[{"kind":"features","key":"a","version":1e30}]}`),
			"version", unreadable},
		{"a time that is not one", fmt.Sprintf(envelope, `{"changes":[{"kind":"features","key":"a","time":"today"}]}`),
			"change 0: parse time", unreadable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := change.Parse([]byte(c.body))
			require.ErrorContains(t, err, c.want)
			require.ErrorIs(t, err, c.kind)
			assert.NotEqual(t, errors.Is(err, foreign), errors.Is(err, unreadable))
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	m, err := change.Parse([]byte(`{"type":"warmflags.changed.v1","traceparent":"x",
		"data":{"changes":[{"kind":"features","key":"a","actor":"ada"}],"more":1}}`))
	require.NoError(t, err)
	assert.Equal(t, []change.Change{{Kind: "features", Key: "a"}}, m.Changes)
}

type sink struct {
	changes []change.Change
	all     int
}

func (s *sink) Invalidate(changes ...change.Change) { s.changes = append(s.changes, changes...) }
func (s *sink) InvalidateAll()                      { s.all++ }

func TestAnEmptyMessageInvalidatesEverything(t *testing.T) {
	var s sink
	change.Deliver(change.Message{Changes: []change.Change{{Kind: "features", Key: "a"}}}, &s)
	assert.Len(t, s.changes, 1)
	assert.Zero(t, s.all)
	change.Deliver(change.Message{}, &s)
	assert.Len(t, s.changes, 1)
	assert.Equal(t, 1, s.all)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"warmflags.changed.v1","data":{"changes":[]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := change.Parse(b)
		if err != nil {
			assert.NotEqual(t, errors.Is(err, change.ErrForeign), errors.Is(err, change.ErrUnreadable))
			return
		}
		again, err := json.Marshal(m)
		require.NoError(t, err)
		parsed, err := change.Parse(again)
		require.NoError(t, err)
		assert.Equal(t, m.Changes, parsed.Changes)
	})
}

// BenchmarkMarshal writes a message of 100 changes.
func BenchmarkMarshal(b *testing.B) {
	m := change.Message{ID: "0123456789abcdef0123456789abcdef", Prefix: "production", Time: when}
	for i := range 100 {
		m.Changes = append(m.Changes, change.Change{Kind: change.KindFeatures, Key: fmt.Sprint("release-checkout-", i),
			Version: i, Time: when})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
	}
}
