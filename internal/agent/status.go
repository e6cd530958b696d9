package agent

import (
	"context"
	"net/http"
	"time"
)

// statusLimit is the longest time that GET /status waits for the table.
const statusLimit = 2 * time.Second

// Status is the response to GET /status. The HTTP status is 200 if the agent is ready and 503 otherwise.
type Status struct {
	Ready       bool       `json:"ready"`
	Reason      string     `json:"reason,omitempty"` // why it is not ready
	Version     string     `json:"version"`
	Table       string     `json:"table,omitempty"`
	Prefix      string     `json:"prefix"`
	LastPoll    *time.Time `json:"lastPoll,omitempty"`   // when the latest poll of the journal began
	LastChange  *time.Time `json:"lastChange,omitempty"` // when the journal last announced a change to this agent
	Evaluations int64      `json:"evaluations"`          // of single flags, since the start
	Events      string     `json:"events"`               // "sent", or "off" without an SDK key
	// Queued is the number of evaluations since the latest flush of events, whether or not that flush delivered them.
	// It is nil in a process that is not frozen between invocations: there the client flushes on its own timer.
	Queued *int64 `json:"eventsQueued,omitempty"`
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusLimit)
	defer cancel()
	status := h.loader.Status(ctx)
	status.Version = h.version
	code := http.StatusOK
	if !status.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, status)
}
