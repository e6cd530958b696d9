// Package request defines requests to sync: the messages in the queue between the functions webhook and flagsync.
//
// A request is for one environment or for all. It has no flag data, because each sync reads everything again. In the
// FIFO queue each environment has its own message group, so that no environment waits for another.
package request

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// GroupAll is the message group of requests for all environments. The template's schedule and the output FirstSync use
// it.
const GroupAll = "all"

// Request is the JSON body of a message.
type Request struct {
	// Reason is why a sync is requested: "webhook", "schedule" or "first".
	Reason string `json:"reason"`
	// Prefix identifies one environment; it may be empty. Nil: all environments.
	Prefix *string `json:"prefix,omitempty"`
	// Cause identifies what caused the request: the hex SHA-256 of a webhook's body, or the ID of the request for all
	// environments of which this one is a part.
	Cause string `json:"cause,omitempty"`
}

// Message has the parts of an SQS message.
type Message struct {
	Body, Group, DeduplicationID string
}

// Message returns the request's message. SQS drops a second message with the same DeduplicationID, which means with the
// same cause and environment, within five minutes. It returns an error if Cause is empty.
func (r Request) Message() (Message, error) {
	if r.Cause == "" {
		return Message{}, errors.New("make message of request: the request has no cause")
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Message{}, fmt.Errorf("make message of request: %w", err)
	}
	group := r.group()
	return Message{Body: string(body), Group: group, DeduplicationID: r.Cause + "-" + group}, nil
}

// group returns the message group. It hashes the prefix, because a prefix can have any characters and any length, and a
// group ID only up to 128 printable ASCII characters.
func (r Request) group() string {
	if r.Prefix == nil {
		return GroupAll
	}
	hash := sha256.Sum256([]byte(*r.Prefix))
	return "e-" + hex.EncodeToString(hash[:16])
}

// Parse parses a message's body. A request of an earlier version, such as the body "first", has no prefix, so it is for
// all environments. The error does not quote the body.
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
