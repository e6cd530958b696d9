//go:build unix

package runtimeapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// asked is a request of the runtime or an extension for the next event. The container's loop answers it.
type asked struct {
	extension *extension // nil: the runtime
	event     chan<- event
}

// event is an invocation's event, or an extension's SHUTDOWN event.
type event struct {
	invocation *Invocation
	deadlineMs int64
	shutdown   bool
}

// answer is the response that the process posted; err is set for an error.
type answer struct {
	id      string
	payload []byte
	err     *Error
}

// routes are the runtime API and the extensions API.
func (c *container) routes() http.Handler {
	const runtime, extensions = "/2018-06-01/runtime/", "/2020-01-01/extension/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtime+"invocation/next", c.nextInvocation)
	mux.HandleFunc("POST "+runtime+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		c.posted(w, r, func(body []byte) answer { return answer{id: r.PathValue("id"), payload: body} })
	})
	mux.HandleFunc("POST "+runtime+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		c.posted(w, r, func(body []byte) answer {
			return answer{id: r.PathValue("id"),
				err: reported(body, r.Header.Get("Lambda-Runtime-Function-Error-Type"), false)}
		})
	})
	for path, header := range map[string]string{
		runtime + "init/error":    "Lambda-Runtime-Function-Error-Type",
		extensions + "init/error": "Lambda-Extension-Function-Error-Type",
		extensions + "exit/error": "Lambda-Extension-Function-Error-Type",
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			c.posted(w, r, func(body []byte) answer { return answer{err: reported(body, r.Header.Get(header), true)} })
		})
	}
	mux.HandleFunc("POST "+extensions+"register", c.register)
	mux.HandleFunc("GET "+extensions+"event/next", c.nextExtensionEvent)
	return mux
}

// next passes a request for the next event to the loop and returns the event.
func (c *container) next(r *http.Request, x *extension) (event, bool) {
	events := make(chan event, 1)
	select {
	case c.asks <- asked{x, events}:
	case <-r.Context().Done():
		return event{}, false
	}
	select {
	case e := <-events:
		return e, true
	case <-r.Context().Done():
		return event{}, false
	}
}

// nextInvocation answers the runtime's request when there is an event.
func (c *container) nextInvocation(w http.ResponseWriter, r *http.Request) {
	c.closeRegistration()
	e, ok := c.next(r, nil)
	if !ok {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", e.invocation.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadlineMs, 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", c.arn())
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
	_, _ = w.Write(e.invocation.payload)
}

// nextExtensionEvent answers an extension's request when there is an event for it.
func (c *container) nextExtensionEvent(w http.ResponseWriter, r *http.Request) {
	x := c.extension(r.Header.Get("Lambda-Extension-Identifier"))
	if x == nil {
		refuse(w, "Extension.UnknownExtensionIdentifier", "unknown extension")
		return
	}
	e, ok := c.next(r, x)
	if !ok {
		return
	}
	body := map[string]any{"eventType": "INVOKE", "deadlineMs": e.deadlineMs}
	if e.shutdown {
		body["eventType"], body["shutdownReason"] = "SHUTDOWN", "spindown"
	} else {
		body["requestId"], body["invokedFunctionArn"] = e.invocation.id, c.arn()
	}
	reply(w, http.StatusOK, body)
}

// posted handles a response that the process posts. The trailer of a streamed response can report an error.
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
	select {
	case c.answers <- a: // before the process goes on: it may exit then
		w.WriteHeader(http.StatusAccepted)
	case <-r.Context().Done():
	}
}

func (c *container) arn() string {
	return "arn:aws:lambda:" + region + ":000000000000:function:" + c.config.Name
}

// refuse sends Lambda's response to an extension's request that is not accepted.
func refuse(w http.ResponseWriter, errorType, message string) {
	reply(w, http.StatusForbidden, map[string]string{"errorType": errorType, "errorMessage": message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// reported returns the error in a response body that a function posted.
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
