package flagsync_test

import (
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	st "github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/internal/flagsync"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
)

// stream is LaunchDarkly in the place of the SDK's own data source: without a network, so that it runs in a bubble.
type stream struct {
	answer func(n int, s sink) // called at the n-th connection, from 1

	mu    sync.Mutex // guards what follows
	count int
	last  sink
}

// sink is the client's end of a connection.
type sink struct {
	subsystems.DataSourceUpdateSink
	key string // the SDK key
}

func (s *stream) Build(c subsystems.ClientContext) (subsystems.DataSource, error) {
	return &connection{stream: s, sink: sink{c.GetDataSourceUpdateSink(), c.GetSDKKey()}}, nil
}

func (s *stream) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// now is the client's end of the newest connection.
func (s *stream) now() sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

type connection struct {
	stream *stream
	sink   sink
	once   sync.Once
	ready  chan<- struct{}
}

func (c *connection) Start(ready chan<- struct{}) {
	c.ready = ready
	c.stream.mu.Lock()
	c.stream.count++
	n := c.stream.count
	c.stream.last = c.sink
	c.stream.mu.Unlock()
	c.stream.answer(n, c.sink)
}

func (c *connection) IsInitialized() bool { return true }

func (c *connection) Close() error {
	c.once.Do(func() { close(c.ready) })
	return nil
}

// payload sends flags by "flag:version" words, and a segment.
func (s sink) payload(words ...string) {
	segment := ldbuilders.NewSegmentBuilder("everyone").Version(1).Build()
	flags := st.Collection{Kind: ldstoreimpl.Features()}
	for _, word := range words {
		key, item := flag(word)
		flags.Items = append(flags.Items, st.KeyedItemDescriptor{Key: key, Item: item})
	}
	s.Init([]st.Collection{flags, {Kind: ldstoreimpl.Segments(), Items: []st.KeyedItemDescriptor{
		{Key: "everyone", Item: st.ItemDescriptor{Version: 1, Item: &segment}},
	}}})
	s.UpdateStatus(interfaces.DataSourceStateValid, interfaces.DataSourceErrorInfo{})
}

func (s sink) patch(word string) {
	key, item := flag(word)
	s.Upsert(ldstoreimpl.Features(), key, item)
}

func (s sink) remove(word string) {
	key, item := flag(word)
	item.Item = nil
	s.Upsert(ldstoreimpl.Features(), key, item)
}

// refuse is what the SDK does when LaunchDarkly answers 401: it gives up.
func (s sink) refuse() {
	s.UpdateStatus(interfaces.DataSourceStateOff, interfaces.DataSourceErrorInfo{
		Kind: interfaces.DataSourceErrorKindErrorResponse, StatusCode: http.StatusUnauthorized,
	})
}

// fail is what the SDK does when LaunchDarkly answers 503: it tries again.
func (s sink) fail() {
	s.UpdateStatus(interfaces.DataSourceStateInterrupted, interfaces.DataSourceErrorInfo{
		Kind: interfaces.DataSourceErrorKindErrorResponse, StatusCode: http.StatusServiceUnavailable,
	})
}

func flag(word string) (string, st.ItemDescriptor) {
	key, version := split(word)
	f := ldbuilders.NewFlagBuilder(key).Version(version).On(true).Build()
	return key, st.ItemDescriptor{Version: version, Item: &f}
}

// streamBench is a bench for a bubble.
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
		flagsync.LaunchDarkly(ld.Config{DataSource: b.stream}), flagsync.Linger(-1),
		flagsync.Logger(slog.New(slog.NewJSONHandler(b.log, nil))),
	}, more...)
}
