//go:build unix

package runtimeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
)

// maxExtensions is Lambda's limit for one function.
const maxExtensions = 10

// extension is a registered extension: an external one is a process of its own, an internal one is part of the
// runtime's process. Its fields do not change after it registered.
type extension struct {
	name, id         string
	external         bool
	invoke, shutdown bool // the events that it registered for
}

// register registers an extension, by the rules of Lambda: all before the runtime asks for its first event; SHUTDOWN
// only for external ones; on Managed Instances no events for internal ones, and no INVOKE at all.
func (c *container) register(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Events []string `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, "InvalidRequestFormat", err.Error())
		return
	}
	name := r.Header.Get("Lambda-Extension-Name")
	x := &extension{name: name}
	for _, path := range c.config.Extensions {
		x.external = x.external || filepath.Base(strings.Fields(path)[0]) == name
	}
	for _, e := range request.Events {
		switch {
		case e == "INVOKE" && c.config.Concurrency == 0:
			x.invoke = true
		case e == "SHUTDOWN" && x.external:
			x.shutdown = true
		default:
			refuse(w, "Extension.InvalidEventType", e+" is not for this extension")
			return
		}
	}
	if message := c.admit(x); message != "" {
		refuse(w, "Extension.InvalidExtensionState", message)
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", x.id)
	reply(w, http.StatusOK, map[string]string{
		"functionName": c.config.Name, "functionVersion": "$LATEST", "handler": "bootstrap",
	})
}

// admit adds an extension, or returns why Lambda refuses it.
func (c *container) admit(x *extension) (refused string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.registrationClosed {
		return "extension registration closed already"
	}
	if len(c.extensions) == maxExtensions {
		return "too many extensions"
	}
	for _, other := range c.extensions {
		if other.name == x.name || x.name == "" {
			return "an extension with this name is registered already"
		}
	}
	x.id = fmt.Sprintf("%08d-%s", c.number, x.name)
	c.extensions = append(c.extensions, x)
	if x.external {
		c.admitted <- struct{}{}
	}
	return ""
}

// extension returns the extension with that ID, or nil.
func (c *container) extension(id string) *extension {
	for _, x := range c.registered() {
		if x.id == id {
			return x
		}
	}
	return nil
}

// registered returns the extensions that have registered so far.
func (c *container) registered() []*extension {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*extension(nil), c.extensions...)
}

func (c *container) closeRegistration() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registrationClosed = true
}
