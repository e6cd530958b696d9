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

// A connection that failed is retried soon, because a sync waits for it, and then less and less often. A connection
// that lasted for goodAfter begins with the first pause again.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
	goodAfter  = time.Minute
)

// feed reads LaunchDarkly's stream into its inbox, over one connection after the other, until it is closed or an
// error comes that no retry can fix. Each connection begins with a put: nothing relies on the last event's ID.
type feed struct {
	*inbox
	connection
	sdkKey  string
	logger  *slog.Logger
	stop    context.CancelFunc
	stopped chan error    // receives the error that no retry can fix
	ended   chan struct{} // closed when the feed's goroutine has ended
	own     bool          // the client is the feed's own

	mu       sync.Mutex // guards the following
	failed   error      // why the last attempt failed; nil while connected
	answered bool       // the last attempt was answered as it should be
}

// listen starts a feed. Its caller closes it.
func listen(ctx context.Context, c connection, sdkKey string, logger *slog.Logger) *feed {
	ctx, stop := context.WithCancel(ctx)
	f := &feed{
		inbox: newInbox(), connection: c, sdkKey: sdkKey, logger: logger, stop: stop,
		stopped: make(chan error, 1), ended: make(chan struct{}),
	}
	if f.client == nil {
		// its own connections, which close ends; proxies from the environment
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

// run connects until ctx ends or an error comes that no retry can fix.
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
		if attempts == 2 && f.putSeen() { // one line for an outage; before the first put, the sync's error says it
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

// connect makes one connection and reads it until it breaks. It returns the number of puts.
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
	err = readEvents(response.Body, func(e eventsource.Event) error {
		u, err := parseEvent(e.Event(), e.Data())
		switch {
		case err != nil:
			return err
		case u.whole:
			puts++
			f.put(u)
		case len(u.items) == 0 || puts == 0: // what comes before this connection's put is in it
			f.ignore()
		default:
			f.patch(u)
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

// first waits for the first payload. Its error says what a person can do about it.
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answered {
		return fmt.Errorf("fetch flags: connected, but no flags came within %v: "+
			"a Relay Proxy that is not initialized yet answers like this", limit)
	}
	last := ""
	if f.failed != nil {
		last = fmt.Sprintf(" (last error: %v)", f.failed)
	}
	return fmt.Errorf("fetch flags: no answer from LaunchDarkly within %v%s: "+
		"check the network access (NAT, proxy, DNS) and the stream URI", limit, last)
}

// wait waits for news, and reports whether it came before the end. Its error is ctx's cause, or one of the stream
// that no retry can fix. A nil end never comes.
func (f *feed) wait(ctx context.Context, end <-chan time.Time) (news bool, err error) {
	select {
	case <-f.news: // before anything else that is ready as well
		return true, nil
	default:
	}
	select {
	case <-f.news:
		return true, nil
	case err := <-f.stopped:
		return false, err
	case <-end:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
