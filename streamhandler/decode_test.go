package streamhandler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/streamhandler"
)

var _ lambda.Handler = (*streamhandler.Handler)(nil)

// result is everything that a handler does with an event.
type result struct {
	response string
	err      string
	messages []change.Message
	stats    streamhandler.Stats
}

func resultOf(t rapid.TB, fail []int, handle func(*streamhandler.Handler) ([]byte, error)) result {
	topic := &topic{before: failOn(fail...)}
	h := newHandler(topic)
	response, err := handle(h)
	r := result{response: string(response), messages: topic.messages(t), stats: h.Stats()}
	if err != nil {
		r.err = err.Error()
	}
	for i := range r.messages {
		r.messages[i].Time = time.Time{}
	}
	r.stats.Bytes = 0 // the time's fraction has no fixed length
	return r
}

func invoked(t rapid.TB, payload []byte, fail ...int) result {
	return resultOf(t, fail, func(h *streamhandler.Handler) ([]byte, error) {
		return h.Invoke(context.Background(), payload)
	})
}

func handled(t rapid.TB, e events.DynamoDBEvent, fail ...int) result {
	return resultOf(t, fail, func(h *streamhandler.Handler) ([]byte, error) {
		response, err := h.Handle(context.Background(), e)
		if err != nil {
			return nil, err
		}
		return json.Marshal(response)
	})
}

// decodeByLibrary decodes with encoding/json and Lambda's types. Lambda's library panics on some inputs.
func decodeByLibrary(payload []byte) (e events.DynamoDBEvent, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return e, json.Unmarshal(payload, &e)
}

// requireAgreement compares Invoke with encoding/json and Handle for the same event. For events that encoding/json
// reads differently, it checks only that every record is counted.
func requireAgreement(t rapid.TB, payload []byte, fail ...int) {
	t.Helper()
	got := invoked(t, payload, fail...)
	if !json.Valid(payload) {
		require.NotEmpty(t, got.err, "invalid JSON is an error")
		return
	}
	e, err := decodeByLibrary(payload)
	if err != nil || hasOddNames(payload) || !canBeEncoded(e) {
		skipped := 0
		for _, n := range got.stats.Skipped {
			skipped += n
		}
		require.Equal(t, got.stats.Records, skipped+got.stats.Coalesced+got.stats.Changes)
		return
	}
	require.Equal(t, handled(t, e, fail...), got)
}

// canBeEncoded reports whether Lambda's library encodes the event as it has read it. It counts nanoseconds in 64 bits,
// so it changes early and late times.
func canBeEncoded(e events.DynamoDBEvent) bool {
	for _, r := range e.Records {
		if at := r.Change.ApproximateCreationDateTime.Time; !at.IsZero() && (at.Year() < 1700 || at.Year() > 2200) {
			return false
		}
	}
	_, err := json.Marshal(e)
	return err == nil
}

// hasOddNames reports whether an object in the event has a name twice, or one of AWS's names in another case.
// encoding/json mixes the values of such names, and AWS does not send them.
func hasOddNames(payload []byte) bool {
	known := []string{"Records", "dynamodb", "eventName", "eventSourceARN", "ApproximateCreationDateTime", "Keys",
		"NewImage", "OldImage", "SequenceNumber"}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	var odd func() bool
	odd = func() (found bool) {
		token, _ := decoder.Token()
		seen := map[string]bool{}
		for delim, _ := token.(json.Delim); delim != 0 && decoder.More(); {
			if delim == '{' {
				token, _ := decoder.Token()
				name, _ := token.(string)
				found = found || seen[name]
				seen[name] = true
				for _, k := range known {
					found = found || name != k && strings.EqualFold(name, k)
				}
			}
			found = odd() || found
		}
		if _, isDelim := token.(json.Delim); isDelim {
			_, _ = decoder.Token() // the end
		}
		return found
	}
	return odd()
}

// drawn generates events as JSON. It varies spaces, escapes and the order of members, which JSON allows.
type drawn struct {
	*rapid.T
	strings.Builder
}

func (d *drawn) one(of ...string) string { return rapid.SampledFrom(of).Draw(d.T, "one") }
func (d *drawn) chance(n int) bool       { return rapid.IntRange(0, n-1).Draw(d.T, "chance") == 0 }

func (d *drawn) space() { d.WriteString(d.one("", "", "", "", " ", "\n\t", "\r\n  ")) }

// text writes a string and may escape some of its characters.
func (d *drawn) text(s string) {
	style := rapid.IntRange(0, 3).Draw(d.T, "style")
	d.WriteByte('"')
	for _, c := range s {
		switch {
		case c < ' ' || style == 3 && c < 0x10000:
			fmt.Fprintf(d, `\u%04x`, c)
		case c == '"' || c == '\\':
			d.WriteString(`\` + string(c))
		case style == 2 && c == '/':
			d.WriteString(`\/`)
		default:
			d.WriteRune(c)
		}
	}
	d.WriteByte('"')
}

// object writes members in random order, with up to two unknown members.
func (d *drawn) object(members map[string]func()) {
	names := make([]string, 0, len(members)+2)
	for name := range members {
		names = append(names, name)
	}
	for i := range rapid.IntRange(0, 2).Draw(d.T, "unknown") {
		names = append(names, fmt.Sprint("unknown", i))
	}
	names = rapid.Permutation(sorted(names)).Draw(d.T, "order")
	d.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			d.WriteByte(',')
		}
		d.space()
		d.text(name)
		d.space()
		d.WriteByte(':')
		d.space()
		if write, ok := members[name]; ok {
			write()
		} else {
			d.WriteString(d.one("null", "true", "-0.5e+3", `"\"}]{"`, `[1,[{"a":[]}],"x"]`,
				`{"Keys":{"S":"x"},"Records":[]}`, `""`))
		}
		d.space()
	}
	d.WriteByte('}')
}

// exactly writes an attribute value, which has one member.
func (d *drawn) exactly(kind string, value func()) {
	d.WriteByte('{')
	d.space()
	d.text(kind)
	d.space()
	d.WriteByte(':')
	d.space()
	value()
	d.space()
	d.WriteByte('}')
}

func (d *drawn) attributes(members map[string]func()) {
	if d.chance(3) {
		members["other"] = func() {
			d.WriteString(d.one(`{"NULL":true}`, `{"SS":["a"]}`, `{"M":{"item":{"S":"x"}}}`, `{"L":[{"N":"1"}]}`,
				`{"B":"AAE="}`, `{"BOOL":false}`))
		}
	}
	names := []string{}
	for name := range members {
		names = append(names, name)
	}
	d.WriteByte('{')
	for i, name := range rapid.Permutation(sorted(names)).Draw(d.T, "order") {
		if i > 0 {
			d.WriteByte(',')
		}
		d.space()
		d.text(name)
		d.WriteByte(':')
		members[name]()
	}
	d.WriteByte('}')
}

func (d *drawn) image() {
	if d.chance(6) {
		d.WriteString(d.one("null", "{}"))
		return
	}
	members := map[string]func(){}
	if !d.chance(5) {
		version := d.one("1", "2", "3", "10", "-1", "1.5", "x", "99999999999999999999")
		members["version"] = func() { d.exactly(d.one("N", "N", "N", "S"), func() { d.text(version) }) }
	}
	if !d.chance(5) {
		item := d.one(`{"key":"a","deleted":false}`, `{"deleted":true}`, `{"\u0064eleted":true}`,
			`{"x":"é☃😀\u2028","deleted" : true}`,
			`{"x":{"deleted":true}}`, `{"deleted":`, `{"deleted":false,"deleted":true}`, "", `"\\deleted\\u0064"`,
			"deleted\nu006")
		members["item"] = func() { d.exactly(d.one("S", "S", "S", "N"), func() { d.text(item) }) }
	}
	d.attributes(members)
}

func (d *drawn) record() {
	if d.chance(20) {
		d.WriteString(d.one("null", "{}", `{"dynamodb":null}`, `{"dynamodb":{"Keys":null}}`))
		return
	}
	change := map[string]func(){}
	maybe := func(name string, write func()) {
		if !d.chance(8) {
			change[name] = write
		}
	}
	maybe("Keys", func() {
		d.attributes(map[string]func(){
			"namespace": func() {
				d.exactly(d.one("S", "S", "S", "S", "N"), func() {
					d.text(d.one("p:features", "p:features", "segments", "é:features", "$inited",
						"p:big_segments_user", "a:", ":a", "", "\x01:x", "\ufffd:x"))
				})
			},
			d.one("key", "key", "key", "key", "id"): func() {
				d.exactly("S", func() { d.text(d.one("a", "a", "b", `"quoted\"`, "<&>", "ключ", "", "\ufffe")) })
			},
		})
	})
	maybe("NewImage", d.image)
	maybe("OldImage", d.image)
	maybe("SequenceNumber", func() {
		d.text(d.one("1", "2", "99", "100", "1234567890123456789012345678901234567890", "x", ""))
	})
	maybe("ApproximateCreationDateTime", func() {
		d.WriteString(d.one("1479499740", "1.479499740E9", "1479499740.25", "0", "-5", "null"))
	})
	d.object(map[string]func(){
		"dynamodb": func() { d.object(change) },
		"eventName": func() {
			d.WriteString(d.one(`"INSERT"`, `"MODIFY"`, `"REMOVE"`, `"R\u0045MOVE"`, `"x"`, "null"))
		},
		"eventSourceARN": func() { d.text(streamARN) },
		"eventVersion":   func() { d.text("1.1") },
	})
}

func TestInvokeAgreesWithTheLibrary(t *testing.T) {
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t}
		d.space()
		d.object(map[string]func(){"Records": func() {
			d.WriteByte('[')
			for i := range rapid.IntRange(0, 8).Draw(t, "records") {
				if i > 0 {
					d.WriteByte(',')
				}
				d.space()
				d.record()
				d.space()
			}
			d.WriteByte(']')
		}})
		d.space()
		payload := []byte(d.String())
		require.True(t, json.Valid(payload), d.String())
		require.False(t, hasOddNames(payload), d.String())
		if _, err := decodeByLibrary(payload); err == nil {
			read++
		}
		requireAgreement(t, payload, rapid.SliceOfN(rapid.IntRange(1, 3), 0, 2).Draw(t, "fail")...)
	})
	assert.Positive(t, read, "the library can read some of the events")
}

func TestInvokeReadsUnusualEvents(t *testing.T) {
	ordinary := `{"eventName":"INSERT","dynamodb":{"Keys":{"namespace":{"S":"features"},"key":{"S":"a"}},` +
		`"SequenceNumber":"1"}}`
	nested := func(depth int) string {
		return `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
	}
	tests := []struct {
		name, payload, err string
		changes, skipped   int
	}{
		{"no records", `{"Records":[]}`, "", 0, 0},
		{"null", `null`, "", 0, 0},
		{"null records", ` {"Records":null} `, "", 0, 0},
		{"one", `{"Records":[` + ordinary + `]}`, "", 1, 0},
		{"records of unexpected types", `{"Records":[1,"x",[],null,{"dynamodb":[]},` + ordinary + `]}`, "", 1, 5},
		{"fields of unexpected types",
			`{"Records":[{"eventName":{},"dynamodb":{"Keys":{"namespace":{"S":7},"key":"a"},"NewImage":[1],
			"SequenceNumber":{},"ApproximateCreationDateTime":"today"}},` + ordinary + `]}`, "", 1, 1},
		{"an unknown attribute type", strings.Replace(`{"Records":[`+ordinary+`]}`, `"Keys"`,
			`"NewImage":{"item":{"XS":"x"},"version":{"N":"1","S":"2"}},"Keys"`, 1), "", 0, 1},
		{"nothing", ``, "EOF", 0, 0},
		{"cut off", `{"Records":[` + ordinary, "unexpected EOF", 0, 0},
		{"text after it", `{"Records":[]}{}`, "more JSON follows the event", 0, 0},
		{"a list", `[` + ordinary + `]`, "not an object with a list of Records", 0, 0},
		{"records are not a list", `{"Records":{"a":1}}`, "not an object with a list of Records", 0, 0},
		{"no colon", `{"Records"[]}`, "expecting ':'", 0, 0},
		{"no name", `{Records:[]}`, "invalid character 'R'", 0, 0},
		{"wrong word", `{"a":nul}`, "in literal null", 0, 0},
		{"wrong number", `{"a":01}`, "expecting ',' or '}'", 0, 0},
		{"wrong escape", `{"a":"\x"}`, "invalid escape sequence", 0, 0},
		{"incomplete escape", `{"a":"\u12"}`, "invalid escape sequence", 0, 0},
		{"ends in an escape", `{"a":"\`, "unexpected EOF", 0, 0},
		{"line break in a string", "{\"a\":\"\n\"}", "invalid character '\\n' in string", 0, 0},
		{"zero byte", "{\"Records\":[]}\x00", "more JSON follows the event", 0, 0},
		{"at the depth limit", nested(9_999), "", 0, 0},
		{"too deep", nested(10_000), "exceeded max depth", 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := invoked(t, []byte(test.payload))
			if test.err != "" {
				assert.Contains(t, got.err, test.err)
				assert.Contains(t, got.err, "read stream event")
			} else {
				assert.Empty(t, got.err)
				assert.JSONEq(t, `{"batchItemFailures":null}`, got.response)
				assert.Equal(t, test.changes, got.stats.Changes)
				assert.Equal(t, test.changes+test.skipped, got.stats.Records)
			}
			requireAgreement(t, []byte(test.payload))
		})
	}
}
