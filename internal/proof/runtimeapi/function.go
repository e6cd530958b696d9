//go:build unix

package runtimeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Config says what function to run.
type Config struct {
	Bootstrap string        // the executable
	Args      []string      // its arguments; Lambda gives none
	Env       []string      // added to what Lambda sets, and wins: "NAME=value"
	Name      string        // of the function; empty: "function"
	Timeout   time.Duration // of an invocation; 0: 3 seconds, Lambda's default
	InitLimit time.Duration // of a start; 0: 10 seconds (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html)
	Output    io.Writer     // gets stdout and stderr of all containers; nil: nobody
	Awake     bool          // containers are not frozen between invocations
}

// Function is a function with its containers. Make one with [New]. It is safe for concurrent use.
type Function struct {
	config Config

	mu       sync.Mutex // guards the fields below
	idle     []*container
	started  int
	closed   bool
	invoking sync.WaitGroup // containers that are neither idle nor ended
}

// Result is what came of an invocation.
type Result struct {
	Payload   []byte        // the answer
	Container int           // which one ran it, from 1
	Cold      bool          // it was started for this
	Init      time.Duration // from the process's start until it asked for its first event; 0 unless Cold
	Took      time.Duration // from the event's delivery, a thaw before it included, to the answer
}

// Error is a failure of the function: what it reported, or that it exited or ran out of time.
type Error struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
	Init    bool   `json:"-"` // it failed in its start
}

// Error names the type and the message, as the function or Lambda gave them.
func (e *Error) Error() string { return fmt.Sprintf("function failed: %s: %s", e.Type, e.Message) }

// Types of an [Error] that Lambda itself makes.
const (
	TypeTimeout = "Sandbox.Timedout"
	TypeExit    = "Runtime.ExitError"
)

// ErrClosed is [Function.Invoke]'s error after [Function.Close].
var ErrClosed = errors.New("function is closed")

// New makes a function. It starts nothing.
func New(config Config) *Function {
	if config.Timeout == 0 {
		config.Timeout = 3 * time.Second
	}
	if config.InitLimit == 0 {
		config.InitLimit = 10 * time.Second
	}
	if config.Name == "" {
		config.Name = "function"
	}
	return &Function{config: config}
}

// Invoke sends an event to a container that is idle, the one that was idle for the shortest time, or to a new one, and
// returns its answer when that container is frozen again. Its error is an [*Error] when the function failed. When ctx
// ends before, the container is ended.
func (f *Function) Invoke(ctx context.Context, event []byte) (Result, error) {
	c, cold, err := f.take()
	if err != nil {
		return Result{}, err
	}
	defer f.invoking.Done()
	result := Result{Container: c.number, Cold: cold}
	if cold {
		if err := c.start(ctx); err != nil {
			c.end()
			return result, err
		}
		result.Init = c.initTime
	}
	result.Payload, result.Took, err = c.invoke(ctx, event)
	if c.exited() {
		c.end()
		return result, err
	}
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.idle = append(f.idle, c)
	}
	f.mu.Unlock()
	if closed {
		c.end()
	}
	return result, err
}

// take returns an idle container, or a new one that is not started.
func (f *Function) take() (c *container, cold bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false, ErrClosed
	}
	f.invoking.Add(1)
	if n := len(f.idle); n > 0 {
		c = f.idle[n-1]
		f.idle = f.idle[:n-1]
		return c, false, nil
	}
	f.started++
	return newContainer(f.config, f.started), true, nil
}

// Started is how many containers were started so far.
func (f *Function) Started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

// Recycle ends all containers that are idle.
func (f *Function) Recycle() {
	f.mu.Lock()
	idle := f.idle
	f.idle = nil
	f.mu.Unlock()
	for _, c := range idle {
		c.end()
	}
}

// Close waits for invocations that are under way, and ends all containers. It can be called twice.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.invoking.Wait()
	f.Recycle()
}

// reported is the error in a body that a function posted.
func reported(body []byte, typeHeader string, init bool) *Error {
	e := &Error{}
	if json.Unmarshal(body, e) != nil || e.Type == "" && e.Message == "" {
		e.Message = string(body)
	}
	if e.Type == "" {
		e.Type = typeHeader
	}
	e.Init = init
	return e
}
