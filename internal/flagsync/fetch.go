package flagsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// ErrUnauthorized is the cause of [Syncer.Sync]'s error when LaunchDarkly refuses the SDK key: it was rotated,
// mistyped, or is a mobile or API key.
var ErrUnauthorized = errors.New("LaunchDarkly refused the SDK key: it must be the environment's current server-side SDK key")

// firstRetry is when a connection that failed is tried again, at first: soon, because somebody waits. The SDK
// doubles it up to 30s.
const firstRetry = 100 * time.Millisecond

// feed is a running LaunchDarkly client whose data store is a capture. Listen makes it, one sync or one session of a watch
// owns it, and its close ends all its goroutines: the SDK's own, and the one that looks at the client's status.
type feed struct {
	*capture
	client  *ld.LDClient
	stop    context.CancelFunc
	off     chan error     // gets why the client will not try again
	watched sync.WaitGroup // the goroutine that looks at the client's status
}

// listen starts the client. Its caller closes the feed.
func listen(ctx context.Context, sdkKey string, base ld.Config, logger *slog.Logger) (*feed, error) {
	ctx, stop := context.WithCancel(ctx)
	c := newCapture()
	// What is the caller's to say (endpoints, HTTP, data source) is in base; the rest is ours: nothing is evaluated,
	// so there are no events, and what the client's stream brings goes into the capture and nowhere else.
	config := base
	config.DataStore = c
	if config.DataSource == nil {
		config.DataSource = ldcomponents.StreamingDataSource().InitialReconnectDelay(firstRetry)
	}
	config.Events = ldcomponents.NoEvents()
	config.DiagnosticOptOut = true
	config.HTTP = stoppable{ctx, base.HTTP}
	config.Logging = ldcomponents.Logging().Loggers(loggers(ctx, logger, sdkKey)).
		LogDataSourceOutageAsErrorAfter(0) // never: it would leave a goroutine behind for a minute
	// Zero: it returns at once. What comes is waited for in first, which sees errors that MakeCustomClient keeps to itself.
	client, err := ld.MakeCustomClient(sdkKey, config, 0)
	if err != nil {
		stop()
		return nil, fmt.Errorf("start LaunchDarkly client: %s", redact(err.Error(), sdkKey))
	}
	f := &feed{capture: c, client: client, stop: stop, off: make(chan error, 1)}
	changes := client.GetDataSourceStatusProvider().AddStatusListener()
	f.look() // after AddStatusListener: what happened before it sends nothing
	f.watched.Go(func() {
		for range changes { // until close; somebody must always read, or the client waits
			f.look()
		}
	})
	return f, nil
}

// close ends the client and waits for what watches it. In this order: a client that is closed goes on trying to connect
// until its requests end with their context, and its status channel is closed by its own Close, which ends the loop.
func (f *feed) close() {
	f.stop()
	_ = f.client.Close() // always nil: the capture and the null event processor cannot fail
	f.watched.Wait()
}

// look passes on that the client has given up: it does so at answers such as 401, which no repetition heals. One
// error is enough, so a second finds no room and is dropped.
func (f *feed) look() {
	now := f.client.GetDataSourceStatusProvider().GetStatus()
	if now.State != interfaces.DataSourceStateOff || now.LastError.Kind == "" { // without an error, we closed it
		return
	}
	select {
	case f.off <- givenUp(now.LastError):
	default:
	}
}

// first waits for the first payload. Its error says what a person can do: while the client goes on trying, its last error is
// the best that is known.
func (f *feed) first(ctx context.Context, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	news, err := f.wait(ctx, late.C)
	switch {
	case err != nil:
		return fmt.Errorf("fetch flags: %w", err)
	case news:
		return nil
	}
	last := ""
	if e := f.client.GetDataSourceStatusProvider().GetStatus().LastError; e.Kind != "" {
		last = fmt.Sprintf(" (last error: %s)", e)
	}
	return fmt.Errorf("fetch flags: no answer from LaunchDarkly within %v%s: "+
		"check the network's way out (NAT, proxy, DNS) and the configured endpoints", limit, last)
}

// wait is where a sync and a watch spend their time. It waits for news, and says whether it came before the end. Its error is
// ctx's cause, or says that LaunchDarkly's client has given up. A nil end never comes.
func (f *feed) wait(ctx context.Context, end <-chan time.Time) (news bool, err error) {
	select {
	case <-f.news: // before anything else that is ready as well
		return true, nil
	default:
	}
	select {
	case <-f.news:
		return true, nil
	case err := <-f.off:
		return false, err
	case <-end:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// givenUp is the error when the SDK will not try again.
func givenUp(e interfaces.DataSourceErrorInfo) error {
	if e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden {
		return fmt.Errorf("HTTP status %d: %w", e.StatusCode, ErrUnauthorized)
	}
	return fmt.Errorf("LaunchDarkly's client gave up: %s: check the configured endpoints", e)
}

// stoppable makes the client's HTTP requests end with a context. Without it, the SDK's attempts to connect go on
// after the client was closed, for good if the service cannot be reached.
type stoppable struct {
	ctx   context.Context
	inner subsystems.ComponentConfigurer[subsystems.HTTPConfiguration]
}

// Build implements LaunchDarkly's interface: it wraps the transport of the client that the given configuration makes.
func (s stoppable) Build(clientContext subsystems.ClientContext) (subsystems.HTTPConfiguration, error) {
	inner := s.inner
	if inner == nil {
		inner = ldcomponents.HTTPConfiguration()
	}
	config, err := inner.Build(clientContext)
	if err != nil {
		return config, err
	}
	create := config.CreateHTTPClient
	config.CreateHTTPClient = func() *http.Client {
		client := &http.Client{}
		if create != nil {
			client = create()
		}
		base := client.Transport
		if base == nil {
			base = http.DefaultTransport
		}
		client.Transport = transport{s.ctx, base}
		return client
	}
	return config, nil
}

// transport makes each request end with ctx, and answers those that come after it without making them.
type transport struct {
	ctx  context.Context
	base http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.ctx.Err() != nil {
		// The SDK repeats a request that fails, but gives up on this status.
		return &http.Response{
			Status: "401 sync has ended", StatusCode: http.StatusUnauthorized, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody, Request: r,
		}, nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	context.AfterFunc(t.ctx, cancel) // the sync's context always ends
	return t.base.RoundTrip(r.WithContext(ctx))
}

// loggers brings the SDK's warnings and errors to slog, for as long as the sync runs.
func loggers(ctx context.Context, logger *slog.Logger, sdkKey string) ldlog.Loggers {
	var l ldlog.Loggers
	l.SetMinLevel(ldlog.Warn)
	l.SetBaseLoggerForLevel(ldlog.Warn, bridge{ctx, logger, slog.LevelWarn, sdkKey})
	l.SetBaseLoggerForLevel(ldlog.Error, bridge{ctx, logger, slog.LevelError, sdkKey})
	return l
}

// bridge is one level of the SDK's logging. It is silent once the sync has ended: the SDK's goroutines may say something
// about being stopped.
type bridge struct {
	ctx    context.Context
	logger *slog.Logger
	level  slog.Level
	sdkKey string
}

func (b bridge) Println(values ...any) { b.print(fmt.Sprintln(values...)) }

func (b bridge) Printf(format string, values ...any) { b.print(fmt.Sprintf(format, values...)) }

func (b bridge) print(message string) {
	if b.ctx.Err() == nil {
		b.logger.Log(b.ctx, b.level, "LaunchDarkly client: "+redact(strings.TrimSpace(message), b.sdkKey))
	}
}

// redact keeps the key out of the logs, whatever the SDK prints.
func redact(message, sdkKey string) string { return strings.ReplaceAll(message, sdkKey, "[SDK key]") }
