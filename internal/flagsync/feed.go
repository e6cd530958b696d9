package flagsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/launchdarkly/eventsource"
)

// The first retry of a failed connection comes soon, because a sync waits for it. Then the pause doubles, up to
// lastRetry. After a connection that lasted for goodAfter, the pause starts at firstRetry again.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
	goodAfter  = time.Minute
)

// maxExtension is how many times as long as its limit the wait for the first payload can be, while data arrives.
const maxExtension = 6

// feed reads LaunchDarkly's stream into its inbox, one connection after the other, until it is closed or fails with
// an error that no retry can fix. Each connection begins with a put, so the feed does not use the last event's ID.
type feed struct {
	*inbox
	connection
	sdkKey  string
	logger  *slog.Logger
	stop    context.CancelFunc
	stopped chan error    // receives the error that no retry can fix
	ended   chan struct{} // closed when the feed's goroutine has ended
	own     bool          // the feed made its HTTP client

	mu       sync.Mutex // guards the fields below
	failed   error      // the error of the last attempt; nil while connected
	answered bool       // the last attempt got a valid response
	lastData time.Time  // when data arrived last; zero if none did
}

// listen starts a feed. The caller must close it.
func listen(ctx context.Context, c connection, sdkKey string, logger *slog.Logger) *feed {
	ctx, stop := context.WithCancel(ctx)
	f := &feed{
		inbox: newInbox(), connection: c, sdkKey: sdkKey, logger: logger, stop: stop,
		stopped: make(chan error, 1), ended: make(chan struct{}),
	}
	if f.client == nil {
		// A clone has its own connections, which close closes. It takes proxies from the environment.
		transport := http.DefaultTransport.(*http.Transport).Clone()
		f.client, f.own = &http.Client{Transport: transport}, true
	}
	go func() {
		defer close(f.ended)
		f.run(ctx)
	}()
	return f
}

// close ends the feed and waits for its goroutines.
func (f *feed) close() {
	f.stop()
	<-f.ended
	if f.own {
		f.client.CloseIdleConnections()
	}
}

// run connects until ctx ends or an attempt fails with an error that no retry can fix.
func (f *feed) run(ctx context.Context) {
	pause := firstRetry
	for attempts := 1; ; attempts++ {
		began := time.Now()
		puts, err := f.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errFinal) {
			f.stopped <- err
			return
		}
		f.setState(false, err)
		if puts > 0 {
			attempts = 1
		}
		if attempts == 2 && f.putSeen() { // one line per outage; before the first put, the sync's error reports it
			f.logger.WarnContext(ctx, "LaunchDarkly's stream is interrupted; connecting again", "error", err)
		}
		if time.Since(began) >= goodAfter {
			pause = firstRetry
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastRetry)
	}
}

// connect makes one connection and reads it until it breaks. It returns the number of puts that it read.
func (f *feed) connect(ctx context.Context) (puts int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := f.request(ctx, f.sdkKey)
	if err != nil {
		return 0, err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("connect to LaunchDarkly: %w", err)
	}
	if err := checkStatus(response); err != nil {
		_ = response.Body.Close()
		return 0, err
	}
	f.setState(true, nil)
	err = readEvents(response.Body, f.noteData, func(e eventsource.Event) error {
		u, err := parseEvent(e.Event(), e.Data())
		switch {
		case err != nil:
			return err
		case u.whole:
			puts++
			f.put(u)
		case len(u.items) == 0 || puts == 0: // changes before this connection's put are included in the put
			f.ignore()
		default:
			return f.patch(u)
		}
		return nil
	})
	return puts, err
}

func (f *feed) setState(answered bool, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered, f.failed = answered, failed
}

func (f *feed) noteData() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastData = time.Now()
}

// first waits for the first payload. It gives up after limit without data, and at the latest after maxExtension times
// limit: a large payload can take a small function longer than limit. Its error has advice for the person who reads
// it.
func (f *feed) first(ctx context.Context, limit time.Duration) error {
	last := time.Now().Add(maxExtension * limit)
	for left := limit; left > 0; {
		received, err := f.wait(ctx, time.After(left))
		switch {
		case err != nil:
			return fmt.Errorf("fetch flags: %w", err)
		case received:
			return nil
		}
		f.mu.Lock()
		left = min(time.Until(f.lastData.Add(limit)), time.Until(last))
		f.mu.Unlock()
	}
	return f.noPayload(limit)
}

// noPayload returns the error of a feed that received no payload in time.
func (f *feed) noPayload(limit time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answered {
		return fmt.Errorf("fetch flags: connected, but received no flags within %v: "+
			"the cause can be a Relay Proxy that is not initialized yet", limit)
	}
	last := ""
	if f.failed != nil {
		last = fmt.Sprintf(" (last error: %v)", f.failed)
	}
	return fmt.Errorf("fetch flags: no answer from LaunchDarkly within %v%s: "+
		"check the network access (NAT, proxy, DNS) and the stream URI", limit, last)
}

// wait waits until the inbox has something, and reports whether that happened before end. A nil end means no limit.
// The error is ctx's cause, or the stream's error that no retry can fix.
func (f *feed) wait(ctx context.Context, end <-chan time.Time) (received bool, err error) {
	select {
	case <-f.updates: // takes precedence if other cases are ready too
		return true, nil
	default:
	}
	select {
	case <-f.updates:
		return true, nil
	case err := <-f.stopped:
		return false, err
	case <-end:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
