package flagsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/launchdarkly/eventsource"
)

const (
	// defaultStreamURI is the URI of LaunchDarkly's commercial instance. The EU instance has
	// https://stream.eu.launchdarkly.com, and the federal instance https://stream.launchdarkly.us.
	defaultStreamURI = "https://stream.launchdarkly.com"
	// readTimeout ends a connection without data: LaunchDarkly sends a comment every three minutes.
	readTimeout = 5 * time.Minute
)

// maxEventBytes is the maximum size of an event, because a whole event is in memory: about six times its size, of the
// function's 512 MB. Only tests change it.
var maxEventBytes int64 = 64 << 20

// ErrUnauthorized is the cause of [Syncer.Sync]'s error if LaunchDarkly refuses the SDK key: it was rotated or
// mistyped, or it is a mobile key or an API key.
var ErrUnauthorized = errors.New("LaunchDarkly refused the SDK key: it must be the environment's current " +
	"server-side SDK key")

// errFinal is the cause of errors of the stream that no retry can fix.
var errFinal = errors.New("no retry can fix this")

// final marks an error that no retry can fix, without changing its text.
type final struct{ error }

func (f final) Is(target error) bool { return target == errFinal }
func (f final) Unwrap() error        { return f.error }

// connection is the configuration of a connection to LaunchDarkly's stream.
type connection struct {
	uri, filter string
	client      *http.Client // nil: the feed makes one
}

// checkURI returns an error if uri is not an http or https URI.
func checkURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil {
		return fmt.Errorf("stream URI: %w", err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("stream URI %q is not an http or https URI such as %s", uri, defaultStreamURI)
	}
	return nil
}

// request returns the request for the stream of the environment that sdkKey identifies.
func (c connection) request(ctx context.Context, sdkKey string) (*http.Request, error) {
	if strings.ContainsFunc(sdkKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, final{errors.New("the SDK key contains invalid characters")} // not quoted: it is secret
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.uri, "/")+"/all", http.NoBody)
	if err != nil {
		return nil, final{fmt.Errorf("stream URI: %w", err)}
	}
	if c.filter != "" {
		query := r.URL.Query()
		query.Set("filter", c.filter)
		r.URL.RawQuery = query.Encode()
	}
	r.Header.Set("Authorization", sdkKey)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cache-Control", "no-cache")
	r.Header.Set("User-Agent", "warmflags-flagsync")
	return r, nil
}

// checkStatus returns an error if the response is not an event stream. The error is final if no retry can fix it, and
// wraps ErrUnauthorized if LaunchDarkly refuses the key.
func checkStatus(r *http.Response) error {
	switch code := r.StatusCode; {
	case code == http.StatusOK:
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "text/event-stream" {
			return fmt.Errorf("the response has the type %q and is not an event stream: check the stream URI",
				r.Header.Get("Content-Type"))
		}
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return final{fmt.Errorf("HTTP status %d: %w", code, ErrUnauthorized)}
	case code == http.StatusBadRequest || code == http.StatusRequestTimeout || code == http.StatusTooManyRequests:
		return fmt.Errorf("HTTP status %s", r.Status)
	case code >= 400 && code < 500:
		return final{fmt.Errorf("HTTP status %s: check the stream URI", r.Status)}
	default:
		return fmt.Errorf("HTTP status %s", r.Status)
	}
}

// readEvents calls handle for each event of body until the first error, which it returns. It calls noteData, in
// another goroutine, when data arrives. It closes the body. When it returns, the decoder's goroutine has ended.
func readEvents(body io.ReadCloser, noteData func(), handle func(eventsource.Event) error) (err error) {
	limited := &limitedBody{ReadCloser: body, noteData: noteData}
	limited.left.Store(maxEventBytes)
	decoder := eventsource.NewDecoderWithOptions(limited, eventsource.DecoderOptionReadTimeout(readTimeout))
	var event eventsource.Event
	decoded := error(nil) // the decoder's last error; any error except its read timeout means that its goroutine ended
	defer func() {
		_ = body.Close()
		for decoded == nil || errors.Is(decoded, eventsource.ErrReadTimeout) {
			_, decoded = decoder.Decode()
		}
	}()
	for {
		if event, decoded = decoder.Decode(); decoded != nil {
			return fmt.Errorf("read LaunchDarkly's stream: %w", decoded)
		}
		limited.left.Store(maxEventBytes)
		if err := handle(event); err != nil {
			return err
		}
	}
}

// limitedBody is a response body that fails if an event is too large. The decoder reads it in a separate goroutine.
type limitedBody struct {
	io.ReadCloser
	noteData func()       // called after each read
	left     atomic.Int64 // number of bytes that the current event may still have
}

// Read implements [io.Reader].
func (l *limitedBody) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if n > 0 {
		l.noteData()
	}
	if l.left.Add(-int64(n)) < 0 {
		return 0, final{fmt.Errorf("an event has more than %d bytes", maxEventBytes)}
	}
	return n, err
}
