//go:build unix

package runtimeapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// region is where functions believe to be, unless Config.Env says otherwise.
const region = "eu-west-1"

// container is one process, and the runtime API that only it talks to. One invocation at a time uses it.
//
// The conversation: the process asks for the next event (asked), gets it (events), and posts its answer (answers). That it
// asks again ends the invocation.
type container struct {
	config   Config
	number   int
	server   *http.Server
	process  *exec.Cmd
	serving  sync.WaitGroup
	initTime time.Duration
	requests int // invocations so far

	asked   chan struct{} // the process waits for an event
	events  chan event
	answers chan answer
	gone    chan struct{} // closed when the process has exited
}

// event is an invocation's.
type event struct {
	id       string
	payload  []byte
	deadline time.Time
}

// answer is what the process posted; err for an error.
type answer struct {
	id      string
	payload []byte
	err     *Error
}

func newContainer(config Config, number int) *container {
	return &container{
		config: config, number: number,
		asked: make(chan struct{}), events: make(chan event), answers: make(chan answer), gone: make(chan struct{}),
	}
}

// start starts the process, and waits until it asks for its first event.
func (c *container) start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		close(c.gone)
		return fmt.Errorf("start runtime API: %w", err)
	}
	c.server = &http.Server{Handler: c.routes(), ReadHeaderTimeout: time.Minute}
	c.serving.Go(func() { _ = c.server.Serve(listener) })

	c.process = exec.Command(c.config.Bootstrap, c.config.Args...) //nolint:gosec // what the test says
	c.process.Env = c.environment(listener.Addr().String())
	c.process.Stdout, c.process.Stderr = c.config.Output, c.config.Output
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all it starts is frozen and ended with it
	began := time.Now()
	if err := c.process.Start(); err != nil {
		c.process = nil
		close(c.gone)
		return fmt.Errorf("start %q: %w", c.config.Bootstrap, err)
	}
	c.serving.Go(func() {
		_ = c.process.Wait()
		close(c.gone)
	})
	timer := time.NewTimer(c.config.InitLimit)
	defer timer.Stop()
	select {
	case <-c.asked:
		c.initTime = time.Since(began)
		return nil
	case a := <-c.answers:
		if a.err == nil {
			return &Error{Type: "Runtime.UnexpectedAnswer", Message: "an answer before it asked for an event", Init: true}
		}
		return a.err
	case <-c.gone:
		return &Error{Type: TypeExit, Message: "the process exited in its start: " + c.process.ProcessState.String(), Init: true}
	case <-timer.C:
		return &Error{Type: TypeTimeout, Message: fmt.Sprintf("the start took more than %v", c.config.InitLimit), Init: true}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// environment is what Lambda sets (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html), with
// credentials that nobody knows.
func (c *container) environment(api string) []string {
	return append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"AWS_LAMBDA_FUNCTION_NAME=" + c.config.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=/var/task",
		"TZ=:UTC",
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
	}, c.config.Env...)
}

// invoke has the process handle an event. It is thawed before, and frozen again when it asks for the next one. After
// an error that is not the function's own, the process has exited.
func (c *container) invoke(ctx context.Context, payload []byte) ([]byte, time.Duration, error) {
	c.requests++
	began := time.Now()
	e := event{fmt.Sprintf("%08d-%d", c.number, c.requests), payload, began.Add(c.config.Timeout)}
	timer := time.NewTimer(c.config.Timeout)
	defer timer.Stop()
	c.signal(syscall.SIGCONT)
	var got *answer
	var took time.Duration
	events := c.events
	for {
		select {
		case events <- e:
			events = nil
		case a := <-c.answers:
			if a.id == e.id {
				got, took = &a, time.Since(began)
			}
		case <-c.asked:
			if got == nil {
				return nil, 0, c.kill(&Error{Type: "Runtime.NoAnswer", Message: "the process asked for the next event without an answer"})
			}
			if !c.config.Awake {
				c.signal(syscall.SIGSTOP)
			}
			return got.result(took)
		case <-c.gone:
			if got != nil { // as after a panic: it reports, and exits
				return got.result(took)
			}
			return nil, 0, &Error{Type: TypeExit, Message: "the process exited: " + c.process.ProcessState.String()}
		case <-timer.C:
			return nil, 0, c.kill(&Error{Type: TypeTimeout, Message: fmt.Sprintf("no answer after %v", c.config.Timeout)})
		case <-ctx.Done():
			return nil, 0, c.kill(ctx.Err())
		}
	}
}

func (a *answer) result(took time.Duration) ([]byte, time.Duration, error) {
	if a.err != nil {
		return nil, took, a.err
	}
	return a.payload, took, nil
}

// routes is the runtime API.
func (c *container) routes() http.Handler {
	const api = "/2018-06-01/runtime/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api+"invocation/next", c.next)
	mux.HandleFunc("POST "+api+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		c.posted(w, r, func(body []byte) answer { return answer{id: r.PathValue("id"), payload: body} })
	})
	mux.HandleFunc("POST "+api+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		c.posted(w, r, func(body []byte) answer {
			return answer{id: r.PathValue("id"), err: reported(body, r.Header.Get("Lambda-Runtime-Function-Error-Type"), false)}
		})
	})
	mux.HandleFunc("POST "+api+"init/error", func(w http.ResponseWriter, r *http.Request) {
		c.posted(w, r, func(body []byte) answer {
			return answer{err: reported(body, r.Header.Get("Lambda-Runtime-Function-Error-Type"), true)}
		})
	})
	return mux
}

// next holds the process's request until there is an event.
func (c *container) next(w http.ResponseWriter, r *http.Request) {
	var e event
	select {
	case c.asked <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	select {
	case e = <-c.events:
	case <-r.Context().Done():
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", e.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":000000000000:function:"+c.config.Name)
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
	_, _ = w.Write(e.payload)
}

// posted takes in what the process posts. A body that ends in an error, which a streamed answer's does, says so in its
// trailer.
func (c *container) posted(w http.ResponseWriter, r *http.Request, read func(body []byte) answer) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := read(body)
	if t := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); t != "" {
		a.err = &Error{Type: t, Message: "the answer ended in an error"}
	}
	w.WriteHeader(http.StatusAccepted)
	if err := http.NewResponseController(w).Flush(); err != nil { // before the answer counts: the process may be ended then
		return
	}
	select {
	case c.answers <- a:
	case <-r.Context().Done():
	}
}

// signal signals all of the process's group.
func (c *container) signal(s syscall.Signal) {
	if c.process != nil {
		_ = syscall.Kill(-c.process.Process.Pid, s) // it may be gone
	}
}

// kill ends the process, and returns err.
func (c *container) kill(err error) error {
	c.signal(syscall.SIGKILL)
	<-c.gone
	return err
}

func (c *container) exited() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// end ends the process, if it has not, and its runtime API.
func (c *container) end() {
	if !c.exited() {
		_ = c.kill(nil)
	}
	if c.server != nil {
		_ = c.server.Close() // what it still serves is nobody's
	}
	c.serving.Wait()
}
