//go:build unix

package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// region is the functions' region, unless Config.Env has another one.
const region = "eu-west-1"

// container is an execution environment: the runtime's process, the processes of external extensions, and an API
// server. After the start, one goroutine (loop) owns its state; other goroutines send to it over channels.
//
// The runtime and the extensions request the next event (asks) and get it, and the runtime posts its response
// (answers). An invocation has ended when the runtime and all extensions that got its event have requested the next
// event.
type container struct {
	config  Config
	number  int
	server  *http.Server
	runtime *process
	outside []*process // external extensions
	serving sync.WaitGroup

	asks     chan asked
	answers  chan answer
	work     chan *Invocation
	over     chan expiry
	stop     chan context.Context // end it as Lambda does, or at once when that context ends
	exits    chan *process
	admitted chan struct{} // has an element after an extension registered
	ready    chan struct{} // closed when the start succeeded
	gone     chan struct{} // closed when all processes have exited

	mu                 sync.Mutex // guards the fields below
	extensions         []*extension
	registrationClosed bool

	// Of the goroutine that starts it, and then of the loop.
	failure error                       // why it is gone
	idle    []chan<- event              // requests of the runtime that wait for an event
	waiting map[*extension]chan<- event // requests of extensions that wait for an event
	active  map[string]*Invocation      // delivered, by ID
	queue   []*Invocation               // not delivered yet
}

// expiry ends an invocation before it has ended by itself.
type expiry struct {
	invocation *Invocation
	err        error
}

func newContainer(config Config, number int) *container {
	return &container{
		config: config, number: number,
		asks: make(chan asked), answers: make(chan answer), work: make(chan *Invocation), over: make(chan expiry),
		stop: make(chan context.Context), exits: make(chan *process, 1+len(config.Extensions)),
		admitted: make(chan struct{}, maxExtensions), ready: make(chan struct{}), gone: make(chan struct{}),
		waiting: map[*extension]chan<- event{}, active: map[string]*Invocation{},
	}
}

// start starts the processes and waits until all have requested their first event. The runtime starts after the
// external extensions have registered.
func (c *container) start(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	if err := c.init(ctx); err != nil {
		c.kill(err)
		return 0, err
	}
	took = time.Since(began)
	close(c.ready)
	c.serving.Go(c.loop)
	return took, nil
}

func (c *container) init(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start runtime API: %w", err)
	}
	c.server = &http.Server{Handler: c.routes(), ReadHeaderTimeout: time.Minute}
	c.serving.Go(func() { _ = c.server.Serve(listener) })
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.InitLimit,
		&Error{Type: TypeTimeout, Message: fmt.Sprintf("the start took more than %v", c.config.InitLimit), Init: true})
	defer cancel()
	for _, command := range c.config.Extensions {
		p, err := c.launch(command, nil, listener.Addr().String())
		if err != nil {
			return err
		}
		c.outside = append(c.outside, p)
	}
	for range c.config.Extensions {
		if err := c.await(ctx, c.admitted); err != nil {
			return err
		}
	}
	if c.runtime, err = c.launch(c.config.Bootstrap, c.config.Args, listener.Addr().String()); err != nil {
		return err
	}
	c.runtime.name = "the process"
	for !c.initialized() {
		if err := c.await(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// initialized reports whether the runtime and all extensions have requested their first event.
func (c *container) initialized() bool {
	return len(c.idle) > 0 && len(c.waiting) == len(c.registered())
}

// await handles one step of the start: a request for an event, or a value on wanted.
func (c *container) await(ctx context.Context, wanted <-chan struct{}) error {
	select {
	case <-wanted:
	case a := <-c.asks:
		c.take(a)
	case a := <-c.answers:
		if a.err == nil {
			return &Error{Type: "Runtime.UnexpectedAnswer",
				Message: "an answer before it asked for an event", Init: true}
		}
		return a.err
	case p := <-c.exits:
		return &Error{Type: TypeExit, Message: p.name + " exited in its start: " + p.state(), Init: true}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// take records that the runtime or an extension waits for an event.
func (c *container) take(a asked) {
	if a.extension == nil {
		c.idle = append(c.idle, a.event)
		return
	}
	c.waiting[a.extension] = a.event
}

// loop runs invocations until the container has ended.
func (c *container) loop() {
	c.rest()
	for {
		var err error
		select {
		case i := <-c.work:
			c.signal(syscall.SIGCONT)
			c.queue = append(c.queue, i)
			c.deliver()
		case a := <-c.asks:
			c.take(a)
			err = c.settle(a.extension == nil)
			c.deliver()
		case a := <-c.answers:
			c.answered(a)
		case e := <-c.over:
			if c.active[e.invocation.id] != nil {
				err = e.err
			}
		case p := <-c.exits:
			err = &Error{Type: TypeExit, Message: p.name + " exited: " + p.state()}
		case ctx := <-c.stop:
			c.shutDown(ctx)
			err = ErrClosed
		}
		if err != nil {
			c.kill(err)
			return
		}
	}
}

// deliver delivers queued invocations to waiting requests of the runtime.
func (c *container) deliver() {
	for len(c.queue) > 0 && len(c.idle) > 0 {
		i := c.queue[0]
		c.queue = c.queue[1:]
		c.active[i.id] = i
		i.began = time.Now()
		e := event{invocation: i, deadlineMs: i.began.Add(c.config.Timeout).UnixMilli()}
		i.limit = time.AfterFunc(c.config.Timeout, func() {
			c.expire(i, &Error{Type: TypeTimeout, Message: fmt.Sprintf("not ended after %v", c.config.Timeout)})
		})
		i.canceled = context.AfterFunc(i.ctx, func() { c.expire(i, i.ctx.Err()) })
		for x, waits := range c.waiting {
			if x.invoke {
				waits <- e
				delete(c.waiting, x)
			}
		}
		c.idle[0] <- e
		c.idle = c.idle[1:]
	}
}

func (c *container) expire(i *Invocation, err error) {
	select {
	case c.over <- expiry{i, err}:
	case <-i.ended:
	case <-c.gone:
	}
}

// answered handles a response. With several concurrent invocations, each ends with its response.
func (c *container) answered(a answer) {
	i := c.active[a.id]
	if i == nil || i.hasAnswer() {
		return
	}
	i.answer(a)
	if c.config.Concurrency > 0 {
		c.finish(i, nil)
	}
}

// settle ends the invocation if the runtime and its extensions have requested the next event.
func (c *container) settle(runtime bool) error {
	if c.config.Concurrency > 0 {
		return nil
	}
	for _, i := range c.active {
		if runtime && !i.hasAnswer() {
			return &Error{Type: "Runtime.NoAnswer", Message: "the process asked for the next event without an answer"}
		}
		if len(c.idle) > 0 && len(c.waiting) == len(c.registered()) {
			c.rest()
			c.finish(i, nil)
		}
	}
	return nil
}

// rest freezes the processes, except on Managed Instances.
func (c *container) rest() {
	if !c.config.Awake && c.config.Concurrency == 0 {
		c.signal(syscall.SIGSTOP)
	}
}

func (c *container) finish(i *Invocation, err error) {
	delete(c.active, i.id)
	if i.limit != nil {
		i.limit.Stop()
		i.canceled()
	}
	i.end(err)
}

// kill ends all processes with SIGKILL, and all invocations with err. An invocation that has its response ends
// without an error if the process exited by itself, for example after a panic, which the runtime reports before it
// exits.
func (c *container) kill(err error) {
	c.failure = err
	c.signal(syscall.SIGKILL)
	for _, p := range c.processes() {
		<-p.exited
	}
	close(c.gone)
	var exit *Error
	exited := errors.As(err, &exit) && exit.Type == TypeExit
	for _, i := range c.active {
		if exited && i.hasAnswer() {
			c.finish(i, nil)
		} else {
			c.finish(i, err)
		}
	}
	for _, i := range c.queue {
		c.finish(i, err)
	}
}

// shutdown limits: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
const (
	runtimeLimit  = 500 * time.Millisecond // without external extensions
	sharedLimit   = 300 * time.Millisecond // of the runtime, with external extensions
	shutdownLimit = 2 * time.Second        // in all, with external extensions
)

// shutDown ends the processes as Lambda does. Without extensions, that is only SIGKILL. Otherwise the runtime gets
// SIGTERM and some time; then the external extensions get the SHUTDOWN event and the rest of the time. With
// Config.PatientShutdown, they have time until ctx ends.
func (c *container) shutDown(ctx context.Context) {
	if len(c.registered()) == 0 {
		return
	}
	deadline, limit := time.Now().Add(shutdownLimit), sharedLimit
	if len(c.outside) == 0 {
		limit = runtimeLimit
	}
	c.signal(syscall.SIGCONT)
	_ = syscall.Kill(-c.runtime.pid, syscall.SIGTERM)
	c.wait(ctx, limit, c.runtime)
	for x, waits := range c.waiting {
		if x.shutdown {
			waits <- event{shutdown: true, deadlineMs: deadline.UnixMilli()}
		}
	}
	for _, p := range c.outside {
		c.wait(ctx, time.Until(deadline), p)
	}
}

// wait waits until a process has exited, or for the limit.
func (c *container) wait(ctx context.Context, limit time.Duration, p *process) {
	if !c.config.PatientShutdown {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	for {
		select {
		case <-p.exited:
			return
		case <-ctx.Done():
			return
		case a := <-c.asks: // a request that waits forever
			c.take(a)
		case a := <-c.answers:
			c.answered(a)
		}
	}
}

// end ends the container as Lambda does, or at once when ctx ends, and waits until it has ended.
func (c *container) end(ctx context.Context) {
	select {
	case c.stop <- ctx:
		<-c.gone
	case <-c.gone:
	}
	if c.server != nil {
		_ = c.server.Close() // nothing waits for what it still serves
	}
	c.serving.Wait()
}
