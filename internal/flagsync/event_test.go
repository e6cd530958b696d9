package flagsync_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/flagsync"
	"github.com/warmflags/warmflags/internal/table"
)

// oddFlags are flags whose JSON LaunchDarkly's SDK for Go does not keep (big numbers, escapes, unknown fields), and
// one flag that it cannot parse.
var oddFlags = map[string]string{
	"big": `{"key":"big","version":1,"variations":[18446744073709551615,12345678901234567890,1.0,1e2],` +
		`"on":false,"offVariation":0,"salt":"s"}`,
	"emoji":       `{"key":"emoji","version":1,"variations":["\ud83d\ude00"],"on":false,"offVariation":0,"salt":"s"}`,
	"future":      `{"version":1,"salt":"s","newField":{"b":[1],"a":null},"key":"future"}`,
	"unparsable":  `{"key":"unparsable","version":1,"fallthrough":null,"salt":"s"}`,
	"spaced/path": `{ "key" : "spaced/path" , "version" : 1 }`,
}

func put(s sink, flags map[string]string) {
	var members []string
	for key, item := range flags {
		members = append(members, fmt.Sprintf("%q:%s", key, item))
	}
	s.put(strings.Join(members, ","), "")
}

// item returns the JSON of a flag's row, or "" if there is no row.
func (b *bench) item(t *testing.T, key string) string {
	t.Helper()
	r, err := b.environment("").ReadRow(t.Context(), "features", key)
	require.NoError(t, err)
	if r == nil {
		return ""
	}
	i, err := table.ParseRow(r)
	require.NoError(t, err)
	return i.JSON
}

func TestTheTableHoldsWhatLaunchDarklySent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(_ int, s sink) { put(s, oddFlags) })
		r, err := b.sync(t)
		require.NoError(t, err)
		for key, want := range oddFlags {
			assert.Equal(t, want, b.item(t, key), "byte for byte")
		}
		assert.Equal(t, []string{"unparsable"}, keys(r.Unparsable))
		line := b.log.lines(t, "flags synced")[0]
		assert.Equal(t, "WARN", line["level"])
		assert.Contains(t, line["unparsable"].([]any)[0], "features/unparsable: ")
		r, err = b.sync(t)
		require.NoError(t, err)
		assert.False(t, r.Changed())
		assert.Empty(t, r.Unparsable, "it is reported once")
	})
}

// An item without a key or a version is refused by name. Its old row stays, and all other items are written.
func TestItemsWithoutKeyOrVersionAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(n int, s sink) {
			if n == 1 {
				s.payload("noversion:1", "good:1")
				return
			}
			put(s, map[string]string{
				"noversion": `{"key":"noversion"}`, "nokey": `{"version":1}`, "emptykey": `{"version":1,"key":""}`,
				"text": `"x"`, "null": `null`,
				"fraction": `{"key":"fraction","version":1.5}`, "good": `{"key":"good","version":2}`,
				"": `{"key":"","version":1}`,
			})
		})
		_, err := b.sync(t)
		require.NoError(t, err)
		r, err := b.sync(t)
		require.NoError(t, err)
		reasons := map[string]string{}
		for _, e := range r.Refused {
			reasons[e.Key] = e.Reason
		}
		assert.Equal(t, map[string]string{
			"noversion": "it has no version", "nokey": "it has no key", "emptykey": "it has no key",
			"text": "it is not a JSON object",
			"null": "it is not a JSON object", "fraction": "its version 1.5 is not a whole number of at least 0",
			"": "it has no key",
		}, reasons)
		assert.Equal(t, map[string]int{"noversion": 1, "good": 2}, b.flags(t, ""))
	})
}

func TestEventsOfTheStream(t *testing.T) {
	type versions = map[string]int
	same := versions{"a": 5, "b": 5}
	for name, c := range map[string]struct {
		events  func(s sink) // after a put of a:5 and b:5
		want    map[string]int
		ignored int
	}{
		"a repeated patch":         {func(s sink) { s.patch("a:6"); s.patch("a:6") }, versions{"a": 6, "b": 5}, 0},
		"a lower version":          {func(s sink) { s.patch("a:4"); s.remove("b:3") }, same, 0},
		"a late patch":             {func(s sink) { s.patch("a:7"); s.patch("a:6") }, versions{"a": 7, "b": 5}, 0},
		"a deletion":               {func(s sink) { s.remove("a:6") }, versions{"a": -6, "b": 5}, 0},
		"a deletion of an unknown": {func(s sink) { s.remove("x:3") }, versions{"a": 5, "b": 5, "x": -3}, 0},
		"a deletion, then a patch": {func(s sink) { s.remove("a:6"); s.patch("a:7") }, versions{"a": 7, "b": 5}, 0},
		"a repeated put": {
			func(s sink) { s.patch("a:6"); s.payload("a:6", "c:1") }, versions{"a": 6, "c": 1}, 0},
		"an unknown event":        {func(s sink) { s.Send("hello", "x") }, same, 1},
		"an unknown path":         {func(s sink) { s.Send("patch", `{"path":"/configs/a","data":{}}`) }, same, 1},
		"a put of something else": {func(s sink) { s.Send("put", `{"path":"/configs","data":{}}`) }, same, 1},
		"a put without a path": {func(s sink) { s.Send("put", `{"data":{"flags":{"a":`+flagJSON("a:6")+`}}}`) },
			versions{"a": 6}, 0},
		"a put without flags": {func(s sink) { s.Send("put", `{"path":"/","data":{"segments":{}}}`) }, same, 0},
		"a key with a slash": {
			func(s sink) { s.Send("patch", `{"path":"/flags/x/y%2F","data":{"key":"x/y%2F","version":1}}`) },
			versions{"a": 5, "b": 5, "x/y%2F": 1}, 0},
		"a patch without a version": {
			func(s sink) { s.Send("patch", `{"path":"/flags/a","data":{"key":"a"}}`) }, same, 0},
		"a comment and an empty event": {func(s sink) { s.SendText(":\n\n:hello\n\n"); s.patch("a:6") },
			versions{"a": 6, "b": 5}, 0},
		"an event of several lines": {func(s sink) {
			s.SendText("event:patch\r\ndata: {\"path\":\"/flags/a\",\r\ndata: \"data\":" +
				flagJSON("a:9") + "}\r\n\r\n")
		}, versions{"a": 9, "b": 5}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newStreamBench(t, func(_ int, s sink) {
					s.patch("a:9") // ignored, because it comes before the put
					s.payload("a:5", "b:5")
				})
				b.cloud.Intercept(func(_ context.Context, operation string, _ any) error {
					if operation == "TransactWriteItems" && b.cloud.Calls("TransactWriteItems") == 1 {
						c.events(b.stream.now())
						b.stream.now().Flush()
					}
					return nil
				})
				r, err := b.sync(t, flagsync.Linger(time.Second))
				if name == "a put without flags" {
					require.ErrorIs(t, err, flagsync.ErrGuard)
				} else {
					require.NoError(t, err)
				}
				assert.Equal(t, c.want, b.flags(t, ""))
				assert.Empty(t, r.HeldBack, "a late item is dropped, not held back")
				assert.Equal(t, c.ignored+1, r.Ignored)
				assert.Equal(t, 1, b.stream.connections())
			})
		})
	}
}

// A malformed event may have been about any item, so the stream is restarted: the next put has all of them.
func TestAMalformedEventRestartsTheStream(t *testing.T) {
	for _, event := range []string{
		"put\ndata: {", "put\ndata: {}", "put\ndata: {\"data\":[]}", "put\ndata: {\"data\":{\"flags\":[]}}",
		"patch\ndata: x", "patch\ndata: {}", "patch\ndata: {\"path\":\"/flags/a\"}",
		"delete\ndata: {\"path\":\"/flags/a\"}", "delete\ndata: {\"version\":1}",
	} {
		t.Run(event, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newStreamBench(t, func(n int, s sink) {
					if n > 1 {
						s.payload("a:2", "c:1")
						return
					}
					s.payload("a:1", "b:1")
					s.SendText("event: " + event + "\n\n:\n")
				})
				_, err := b.sync(t, flagsync.Linger(time.Second))
				require.NoError(t, err)
				assert.Equal(t, map[string]int{"a": 2, "c": 1}, b.flags(t, ""))
				assert.Equal(t, 2, b.stream.connections())
			})
		})
	}
}

// A connection that breaks in the middle of an event is replaced, and the incomplete event is dropped.
func TestTheStreamBreaksInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(n int, s sink) {
			switch n {
			case 1:
				s.SendText(`event: put` + "\n" + `data: {"path":"/","data":{"flags":{"a":{"key":"a","ver`)
				s.Break()
			case 2:
				s.payload("a:1")
				s.patch("a:2")
				s.Break()
			default:
				assert.Empty(t, s.Request.Header.Get("Last-Event-ID"))
				s.payload("a:3")
			}
		})
		_, err := b.sync(t, flagsync.Linger(time.Second))
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"a": 3}, b.flags(t, ""))
		assert.Equal(t, 3, b.stream.connections())
	})
}

func TestTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(_ int, s sink) { s.payload("a:1") })
		_, err := b.sync(t, flagsync.StreamURI("https://relay.example/base/"), flagsync.PayloadFilter("team a"))
		require.NoError(t, err)
		r := b.stream.now().Request
		assert.Equal(t, "https://relay.example/base/all?filter=team+a", r.URL.String())
		assert.Equal(t, sdkKey, r.Header.Get("Authorization"))
		assert.Equal(t, "text/event-stream", r.Header.Get("Accept"))
		assert.Equal(t, "warmflags-flagsync", r.Header.Get("User-Agent"))
	})
	for _, uri := range []string{"notaurl", "ftp://x", "https://", "://"} {
		_, err := newStreamBench(t, nil).sync(t, flagsync.StreamURI(uri))
		require.ErrorContains(t, err, "stream URI", uri)
	}
}

// A status that no retry can fix ends a sync at once. Other errors are retried until the timeout.
func TestStatus(t *testing.T) {
	for code, want := range map[int]struct {
		final bool
		text  string
	}{
		401: {true, "refused the SDK key"}, 403: {true, "refused the SDK key"},
		404: {true, "404 Not Found: check the stream URI"}, 410: {true, "410 Gone"},
		400: {false, "last error: HTTP status 400"}, 408: {false, "408"}, 429: {false, "429"}, 500: {false, "500"},
		503: {false, "503"}, 302: {false, "302"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newStreamBench(t, func(_ int, s sink) { s.Refuse(code) })
			began := time.Now()
			_, err := b.sync(t)
			require.ErrorContains(t, err, want.text)
			assert.Equal(t, want.final, time.Since(began) == 0, code)
			if !want.final {
				assert.Equal(t, 10*time.Second, time.Since(began))
				assert.Greater(t, b.stream.connections(), 4)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t,
			func(_ int, s sink) { s.Header = http.Header{"Content-Type": {"text/html; charset=utf-8"}} })
		_, err := b.sync(t)
		require.ErrorContains(t, err, `the response has the type "text/html; charset=utf-8" and is not an event stream`)
	})
}

// A large payload can take a small function longer than the time limit, which is for silence.
func TestASlowPayloadIsWrittenWhileDataArrives(t *testing.T) {
	slow := func(pieces int) (time.Duration, error) {
		var took time.Duration
		var failed error
		synctest.Test(t, func(t *testing.T) {
			b := newStreamBench(t, func(_ int, s sink) {
				go func() {
					for range pieces {
						s.SendText("data: {\n")
						time.Sleep(9 * time.Second) // virtual
					}
					s.SendText("\n") // an event without a name, which is ignored
					s.payload("a:1")
				}()
			})
			began := time.Now()
			_, failed = b.sync(t)
			took = time.Since(began)
			s := b.stream.now()
			s.Break()
			time.Sleep(time.Hour)
		})
		return took, failed
	}
	took, err := slow(6)
	require.NoError(t, err)
	assert.Equal(t, 54*time.Second, took)
	took, err = slow(7)
	require.ErrorContains(t, err, "connected, but received no flags within 10s")
	assert.Equal(t, time.Minute, took, "six times the limit")
}

// An event that would not fit into the function's memory ends the sync with an error that says so.
func TestAnEventIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer flagsync.SetMaxEventBytes(10_000)()
		b := newStreamBench(t, func(_ int, s sink) {
			s.payload("a:1")
			s.payload(many(9)...)
			s.payload(many(1000)...)
		})
		_, err := b.sync(t, flagsync.Linger(time.Second))
		require.ErrorContains(t, err, "an event has more than")
		assert.Equal(t, 1, b.stream.connections())
	})
}

// An SDK's Init and syncs alternate on a table: after the first round, neither rewrites the other's rows.
func TestInitAndSyncInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		readable := map[string]string{}
		for key, item := range oddFlags {
			if key != "unparsable" { // this flag breaks the SDK's stream, so the SDK would never call Init
				readable[key] = item
			}
		}
		b := newStreamBench(t, func(_ int, s sink) { put(s, readable) })
		store, err := dynamostore.DataStore(tableName).Client(b.cloud.DynamoDB).Open(t.Context())
		require.NoError(t, err)
		features := ldstoreimpl.Features()
		all := []st.SerializedCollection{{Kind: features}, {Kind: ldstoreimpl.Segments()}}
		for key, item := range readable { // as the SDK parses and serializes its stream
			parsed, err := features.Deserialize([]byte(item))
			require.NoError(t, err)
			all[0].Items = append(all[0].Items,
				st.KeyedSerializedItemDescriptor{Key: key, Item: st.SerializedItemDescriptor{
					Version: parsed.Version, SerializedItem: features.Serialize(parsed),
				}})
		}
		require.NoError(t, store.Init(all))
		r, err := b.sync(t)
		require.NoError(t, err)
		assert.Len(t, r.Updated, len(readable), "a sync after an SDK rewrites the rows, once")
		lines := b.log.lines(t,
			"rewriting rows in the form in which LaunchDarkly sent them; their versions do not change")
		require.Len(t, lines, 1, "the sync announces the rewrite")
		assert.EqualValues(t, len(readable), lines[0]["rows"])
		before := b.cloud.Calls("TransactWriteItems")
		for range 3 {
			require.NoError(t, store.Init(all))
			_, err = b.sync(t)
			require.NoError(t, err)
		}
		assert.Equal(t, before, b.cloud.Calls("TransactWriteItems"))
		assert.True(t, json.Valid([]byte(b.item(t, "big"))))
		assert.Equal(t, oddFlags["big"], b.item(t, "big"))
	})
}

// If items do not fit into one transaction, each flag is written after its prerequisites, and after all segments.
func TestFlagsComeAfterTheirPrerequisites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newStreamBench(t, func(_ int, s sink) {
			var flags []string
			for i := range 150 { // each needs the next
				flags = append(flags,
					fmt.Sprintf(`"f%d":{"key":"f%d","version":1,"prerequisites":[{"key":"f%d","variation":0},`+
						`{"key":"none"}]}`, i, i, (i+1)%150))
			}
			s.put(strings.Join(flags, ","), `"s":{"key":"s","version":1}`)
		})
		order := b.order(t)
		_, err := b.sync(t)
		require.NoError(t, err)
		assert.Equal(t, "s", (*order)[0])
		for i := 1; i < 149; i++ { // f149 needs f0, which is being visited
			assert.Equal(t, fmt.Sprintf("f%d", 150-i), (*order)[i])
		}
	})
}
