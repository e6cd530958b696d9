// Package request is what asks for a sync: a message in the queue of requests, between the functions webhook and flagsync.
//
// A request is for one environment or for all. It carries no data: each sync reads everything anew. In the FIFO queue each
// environment is a message group of its own, so that none waits for another.
package request

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// GroupAll is the message group of requests for all environments. The template's schedule and the output FirstSync use it.
const GroupAll = "all"

// Request is the JSON body of a message.
type Request struct {
	// Reason is why a sync is asked for: "webhook", "schedule" or "first".
	Reason string `json:"reason"`
	// Prefix identifies one environment; it may be empty. Nil: all environments.
	Prefix *string `json:"prefix,omitempty"`
	// Cause distinguishes the requests of different causes: the hex of the SHA-256 of a webhook's body, or the id of the
	// request for all environments that this one is part of.
	Cause string `json:"cause,omitempty"`
}

// Message is a request as SQS takes it.
type Message struct {
	Body, Group, DeduplicationID string
}

// Message returns the request's message. SQS drops a second message with the same DeduplicationID within five minutes: one
// of the same cause for the same environment. So Cause must not be empty.
func (r Request) Message() (Message, error) {
	if r.Cause == "" {
		return Message{}, errors.New("make message of request: it has no cause")
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Message{}, fmt.Errorf("make message of request: %w", err)
	}
	group := r.group()
	return Message{Body: string(body), Group: group, DeduplicationID: r.Cause + "-" + group}, nil
}

// group returns the message group. A prefix can have any characters and any length, a group id only printable ASCII and at
// most 128 of them.
func (r Request) group() string {
	if r.Prefix == nil {
		return GroupAll
	}
	hash := sha256.Sum256([]byte(*r.Prefix))
	return "e-" + hex.EncodeToString(hash[:16])
}

// Parse reads a message's body. A request of earlier versions has no prefix, so it is for all environments; the body
// "first" is such a request. The error does not quote the body.
func Parse(body string) (Request, error) {
	if body == "first" {
		return Request{Reason: body}, nil
	}
	var r Request
	if err := json.Unmarshal([]byte(body), &r); err != nil || r.Reason == "" {
		return Request{}, errors.New("parse request: the body is not a JSON object with a reason")
	}
	return r, nil
}
