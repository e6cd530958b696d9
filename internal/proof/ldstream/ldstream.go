// Package ldstream simulates LaunchDarkly's streaming service without a network, as an HTTP transport in memory.
// Tests in a testing/synctest bubble, and histories, control when each event arrives.
package ldstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport answers each request with a connection in memory.
type Transport struct {
	// Answer is called in the client's goroutine for each request. It may use the connection later too, from any
	// goroutine.
	Answer func(*Connection)
}

// Connection is the service's end of one connection. It is safe for concurrent use.
type Connection struct {
	Request *http.Request
	// Closed is called when the client ended the connection; set by Answer.
	Closed func()
	// Header is the response's; set by Answer. Nil: an event stream's.
	Header http.Header

	ctx    context.Context
	ended  chan struct{} // closed when the client ended the connection
	change chan struct{} // holds a value when something below changed

	mu      sync.Mutex // guards the fields below
	status  int
	data    []byte
	err     error         // what Read returns after the data
	waiting chan struct{} // closed when the client has read everything and waits for more; nil: no Flush waits
	closed  bool
}

// RoundTrip implements [http.RoundTripper].
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := &Connection{Request: r, ctx: r.Context(), ended: make(chan struct{}), change: make(chan struct{}, 1),
		status: http.StatusOK}
	t.Answer(c)
	c.mu.Lock()
	status, err := c.status, r.Context().Err()
	if err == nil && status == 0 {
		err = c.err
	}
	c.mu.Unlock()
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	header := c.Header
	if header == nil {
		header = http.Header{"Content-Type": {"text/event-stream"}}
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Header: header, Body: c, Request: r,
	}, nil
}

// Refuse makes Answer's response one of that status.
func (c *Connection) Refuse(status int) { c.set(status, io.EOF) }

// Fail makes Answer's request fail.
func (c *Connection) Fail(err error) { c.set(0, err) }

// Break ends the connection after the client has read what was sent.
func (c *Connection) Break() { c.set(http.StatusOK, io.ErrUnexpectedEOF) }

func (c *Connection) set(status int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.err = status, err
	c.wake()
}

// Send sends an event. It does not wait for the client.
func (c *Connection) Send(event, data string) {
	// The comment after the event is only taken by a client that has handled the event: see Flush.
	c.SendText("event: " + event + "\ndata: " + data + "\n\n:\n")
}

// SendText sends text as it is.
func (c *Connection) SendText(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = append(c.data, text...)
	c.wake()
}

// Flush waits until the client has handled what was sent, or ended the connection.
func (c *Connection) Flush() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	waiting := make(chan struct{})
	c.waiting = waiting
	c.wake()
	c.mu.Unlock()
	select {
	case <-waiting:
	case <-c.ended:
	}
}

// wake wakes Read. The caller must hold mu.
func (c *Connection) wake() {
	select {
	case c.change <- struct{}{}:
	default:
	}
}

// Read implements [io.Reader] for the client.
func (c *Connection) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		if len(c.data) > 0 {
			n := copy(p, c.data)
			c.data = c.data[n:]
			c.mu.Unlock()
			return n, nil
		}
		if c.err != nil {
			defer c.mu.Unlock()
			return 0, c.err
		}
		if c.waiting != nil {
			close(c.waiting)
			c.waiting = nil
		}
		c.mu.Unlock()
		select {
		case <-c.change:
		case <-c.ended:
			return 0, io.ErrClosedPipe
		case <-c.ctx.Done():
			return 0, c.ctx.Err()
		}
	}
}

// Close implements [io.Closer] for the client.
func (c *Connection) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	close(c.ended)
	if c.Closed != nil {
		c.Closed()
	}
	return nil
}
