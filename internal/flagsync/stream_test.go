package flagsync_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/internal/proof/ldstream"
)

// stream is LaunchDarkly's stream without a network, so that it runs in a bubble.
type stream struct {
	answer func(n int, s sink) // called at the n-th connection, from 1

	mu      sync.Mutex // guards the fields below
	count   int        // connections that were not refused
	last    sink
	revoked string // the key that is refused
}

// sink is LaunchDarkly's end of a connection.
type sink struct {
	*ldstream.Connection
	stream *stream
	key    string // the SDK key
}

func (s *stream) client() *http.Client {
	return &http.Client{Transport: ldstream.Transport{Answer: func(c *ldstream.Connection) {
		s.mu.Lock()
		key := c.Request.Header.Get("Authorization")
		if key == s.revoked {
			s.mu.Unlock()
			c.Refuse(http.StatusUnauthorized)
			return
		}
		s.count++
		n := s.count
		s.last = sink{c, s, key}
		s.mu.Unlock()
		s.answer(n, sink{c, s, key})
	}}}
}

func (s *stream) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// now returns LaunchDarkly's end of the newest connection.
func (s *stream) now() sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// payload sends a put of flags, as "flag:version" words, and a segment.
func (s sink) payload(words ...string) {
	flags := make([]string, len(words))
	for i, word := range words {
		key, _ := split(word)
		flags[i] = fmt.Sprintf("%q:%s", key, flagJSON(word))
	}
	s.put(strings.Join(flags, ","), `"everyone":{"key":"everyone","version":1}`)
}

// put sends a put with the JSON of the members of flags and segments.
func (s sink) put(flags, segments string) {
	s.Send("put", fmt.Sprintf(`{"path":"/","data":{"flags":{%s},"segments":{%s}}}`, flags, segments))
}

func (s sink) patch(word string) {
	key, _ := split(word)
	s.Send("patch", fmt.Sprintf(`{"path":"/flags/%s","data":%s}`, key, flagJSON(word)))
}

func (s sink) remove(word string) {
	key, version := split(word)
	s.Send("delete", fmt.Sprintf(`{"path":"/flags/%s","version":%d}`, key, version))
}

// refuse revokes the connection's key: the connection breaks, or is answered with 401 if it has no response yet.
// Later connections with the key are refused.
func (s sink) refuse() {
	s.stream.mu.Lock()
	s.stream.revoked = s.key
	s.stream.mu.Unlock()
	s.Refuse(http.StatusUnauthorized)
}

// fail answers with status 503.
func (s sink) fail() { s.Refuse(http.StatusServiceUnavailable) }

// flagJSON returns the JSON of a "flag:version" word.
func flagJSON(word string) string {
	key, version := split(word)
	return fmt.Sprintf(`{"key":%q,"version":%d,"on":true}`, key, version)
}

// streamBench is a bench that runs in a bubble.
type streamBench struct {
	bench
	stream *stream
}

func newStreamBench(t *testing.T, answer func(n int, s sink)) *streamBench {
	b := &streamBench{bench{cloud: localaws.New(), log: &buffer{}}, &stream{answer: answer}}
	b.cloud.CreateFlagTable(tableName)
	t.Cleanup(b.cloud.Close)
	return b
}

func (b *streamBench) options(more ...flagsync.Option) []flagsync.Option {
	return append([]flagsync.Option{
		flagsync.HTTPClient(b.stream.client()), flagsync.Linger(-1),
		flagsync.Logger(slog.New(slog.NewJSONHandler(b.log, nil))),
	}, more...)
}

func (b *streamBench) sync(t *testing.T, more ...flagsync.Option) (flagsync.Result, error) {
	t.Helper()
	return flagsync.New(b.environment(""), oneKey(sdkKey), b.options(more...)...).Sync(t.Context())
}
