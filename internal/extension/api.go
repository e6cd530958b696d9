package extension

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// API is Lambda's extensions API for one registered extension. Create one with [Register].
type API struct {
	client  *http.Client // without a timeout: the answer to a request for the next event can take hours
	baseURL string
	id      string // the extension's ID
}

// Types of an [Event].
const (
	Invoke   = "INVOKE"
	Shutdown = "SHUTDOWN" // not sent to internal extensions
)

// Event is an event that Lambda sends to an extension.
type Event struct {
	Type       string `json:"eventType"`
	RequestID  string `json:"requestId"`
	DeadlineMs int64  `json:"deadlineMs"` // Unix time at which the invocation or the shutdown must have ended
}

// Register registers an extension for some types of events. The name of an external extension must be the name of its
// executable file. Lambda refuses a registration after the function has asked for its first invocation.
func Register(ctx context.Context, address, name string, events []string) (*API, error) {
	a := &API{
		client: &http.Client{Transport: &http.Transport{}}, baseURL: "http://" + address + "/2020-01-01/extension/",
	}
	body, err := json.Marshal(map[string][]string{"events": events})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.baseURL+"register", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Lambda-Extension-Name", name)
	header, _, err := a.do(request)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	a.id = header.Get("Lambda-Extension-Identifier")
	return a, nil
}

// Next asks for the next event, and waits for it. For Lambda, this call also means that the extension has finished the
// previous event.
func (a *API) Next(ctx context.Context) (Event, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.baseURL+"event/next", nil)
	if err != nil {
		return Event{}, err
	}
	request.Header.Set("Lambda-Extension-Identifier", a.id)
	_, body, err := a.do(request)
	if err != nil {
		return Event{}, fmt.Errorf("ask for the next event: %w", err)
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("read event %q: %w", body, err)
	}
	return e, nil
}

// do returns the header and the body of an answer.
func (a *API) do(request *http.Request) (http.Header, []byte, error) {
	response, err := a.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return response.Header, body, nil
}
