//go:build unix

package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Config configures a function.
type Config struct {
	Bootstrap  string        // the executable
	Args       []string      // its arguments; Lambda gives none
	Extensions []string      // executables of external extensions, with arguments; an extension's name is its file's
	Env        []string      // added to what Lambda sets, and wins: "NAME=value"
	Name       string        // of the function; empty means "function"
	Timeout    time.Duration // of an invocation; 0 means 3 seconds, Lambda's default
	InitLimit  time.Duration // of a start; 0 means 10 seconds, as in Lambda
	Output     io.Writer     // gets stdout and stderr of all containers; nil discards them
	Awake      bool          // containers are not frozen between invocations

	// Concurrency makes it a function on Lambda Managed Instances, whose containers run so many invocations at a time
	// and are never frozen. 0 means an ordinary function.
	Concurrency int
	// PatientShutdown lets the processes of a container that is shut down take their time, which Lambda limits to 500
	// ms without and 2 seconds with external extensions.
	PatientShutdown bool
}

// Function is a function with its containers. Make one with [New]. It is safe for concurrent use.
type Function struct {
	config Config

	mu       sync.Mutex // guards the fields below
	ready    []*slot    // containers, in the order in which they were used last
	started  int
	begun    int // invocations
	closed   bool
	invoking sync.WaitGroup // invocations that have not ended
}

// slot is a container and how many invocations use it.
type slot struct {
	*container
	busy int // guarded by Function.mu
}

// Result is the result of an invocation.
type Result struct {
	Payload   []byte        // the answer
	Container int           // the number of the container that ran it, from 1
	Cold      bool          // the container was started for it
	Init      time.Duration // from the container's start until its processes asked for their first event; 0 unless Cold
	Took      time.Duration // from the event's delivery, with a thaw before it, to the answer
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

// ErrClosed is the error of invocations after [Function.Close].
var ErrClosed = errors.New("function is closed")

// New returns a function. It starts nothing.
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

// Invoke sends an event to the most recently used container that can take another invocation, or to a new one. It
// returns the response when the invocation has ended. If the function failed, the error is an [*Error]. If ctx ends
// first, the container is ended.
func (f *Function) Invoke(ctx context.Context, event []byte) (Result, error) {
	return f.Begin(ctx, event).End(context.WithoutCancel(ctx))
}

// Begin is like Invoke, but does not wait.
func (f *Function) Begin(ctx context.Context, event []byte) *Invocation {
	i := newInvocation(ctx, event)
	s, first, err := f.take(i)
	if err != nil {
		i.end(err)
		close(i.released)
		return i
	}
	i.result.Container, i.result.Cold = s.number, first
	go func() {
		defer f.invoking.Done()
		defer close(i.released)
		f.run(ctx, s, i, first)
	}()
	return i
}

// run runs an invocation in a container, which it starts first if the invocation is the container's first one.
func (f *Function) run(ctx context.Context, s *slot, i *Invocation, first bool) {
	if first {
		took, err := s.start(ctx)
		if err != nil {
			f.drop(s)
			i.end(err)
			return
		}
		i.result.Init = took
	}
	select {
	case <-s.container.ready:
	case <-s.gone:
	}
	select {
	case s.work <- i:
		<-i.ended
	case <-s.gone:
		i.end(s.failure)
	}
	select {
	case <-s.gone:
		f.drop(s)
	default:
		f.release(s)
	}
}

// take returns a container that can take another invocation. Its first invocation starts it.
func (f *Function) take(i *Invocation) (s *slot, first bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false, ErrClosed
	}
	f.invoking.Add(1)
	f.begun++
	for n := len(f.ready) - 1; n >= 0; n-- {
		if f.ready[n].busy < max(1, f.config.Concurrency) {
			s = f.ready[n]
			break
		}
	}
	if s == nil {
		f.started++
		s, first = &slot{container: newContainer(f.config, f.started)}, true
		f.ready = append(f.ready, s)
	}
	s.busy++
	i.id = fmt.Sprintf("%08d-%d", s.number, f.begun)
	return s, first, nil
}

// release records that an invocation no longer uses the container.
func (f *Function) release(s *slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.busy--
	for n, other := range f.ready {
		if other == s {
			f.ready = append(append(f.ready[:n:n], f.ready[n+1:]...), s)
			return
		}
	}
}

// drop removes a container that has ended.
func (f *Function) drop(s *slot) {
	f.mu.Lock()
	for n, other := range f.ready {
		if other == s {
			f.ready = append(f.ready[:n:n], f.ready[n+1:]...)
			break
		}
	}
	f.mu.Unlock()
	s.end(context.Background())
}

// Started returns how many containers were started so far.
func (f *Function) Started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

// Recycle ends all containers that are idle, as Lambda does: see [Config.PatientShutdown]. When ctx ends, it kills
// their processes.
func (f *Function) Recycle(ctx context.Context) {
	f.mu.Lock()
	var idle, busy []*slot
	for _, s := range f.ready {
		if s.busy == 0 {
			idle = append(idle, s)
		} else {
			busy = append(busy, s)
		}
	}
	f.ready = busy
	f.mu.Unlock()
	var ending sync.WaitGroup
	for _, s := range idle {
		ending.Go(func() { s.end(ctx) })
	}
	ending.Wait()
}

// Close waits for running invocations and kills all containers. It may be called more than once.
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.invoking.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Recycle(ctx)
}
