package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// deduplication is how long a FIFO queue refuses a message that it had before.
const deduplication = 5 * time.Minute

// queue is guarded by SQS.mu.
type queue struct {
	name, url, arn string
	attributes     map[string]string // those that can be set, with their defaults
	tags           map[string]string
	messages       []*message      // in the order of arrival
	sent           map[string]sent // by de-duplication ID, what a FIFO queue remembers
	changed        chan struct{}   // closed, and replaced, when a receiver may find more than before
}

// message is one message in a queue.
type message struct {
	id, body   string
	attributes map[string]types.MessageAttributeValue
	group      string    // of FIFO queues
	sent       time.Time // SentTimestamp
	visible    time.Time // not to be received before
	receives   int
	handle     string // the latest receipt handle
}

type sent struct {
	id string
	at time.Time
}

func (q *queue) fifo() bool { return q.attributes["FifoQueue"] == "true" }

func (q *queue) seconds(attribute string) time.Duration {
	n, err := strconv.Atoi(q.attributes[attribute])
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// wake makes waiting receivers look again.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// send adds a message, and returns its ID, or that of the one it duplicates.
func (q *queue) send(m *message, deduplicationID string, now time.Time) string {
	q.expire(now)
	m.id, m.sent, m.visible = newID(), now, now
	if q.fifo() {
		if known, ok := q.sent[deduplicationID]; ok {
			return known.id
		}
		q.sent[deduplicationID] = sent{m.id, now}
	}
	q.messages = append(q.messages, m)
	q.wake()
	return m.id
}

// expire forgets messages after their retention, and what need not be de-duplicated any more.
func (q *queue) expire(now time.Time) {
	oldest := now.Add(-q.seconds("MessageRetentionPeriod"))
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return m.sent.Before(oldest) })
	maps.DeleteFunc(q.sent, func(_ string, s sent) bool { return now.Sub(s.at) >= deduplication })
}

// receive hides up to limit messages for the visibility timeout, and returns them. Without any, it returns when to look
// again if the queue does not change before; zero for never.
func (q *queue) receive(limit int, now time.Time, deadLetters *queue) (list []*message, next time.Time) {
	q.expire(now)
	blocked := map[string]bool{} // groups of which a message is hidden: a FIFO queue gives out no other of theirs
	for _, m := range q.messages {
		if m.visible.After(now) {
			blocked[m.group] = true
			if next.IsZero() || m.visible.Before(next) {
				next = m.visible
			}
		}
	}
	var buried []*message
	for _, m := range q.messages {
		switch {
		case len(list) == limit, m.visible.After(now), q.fifo() && blocked[m.group]:
		case deadLetters != nil && m.receives >= q.maxReceives():
			buried = append(buried, m)
		default:
			m.receives++
			m.visible, m.handle = now.Add(q.seconds("VisibilityTimeout")), fmt.Sprintf("%s#%d", m.id, m.receives)
			list = append(list, m)
		}
	}
	for _, m := range buried {
		q.remove(m)
		m.handle, m.visible = "", now
		deadLetters.messages = append(deadLetters.messages, m)
		deadLetters.wake()
	}
	return list, next
}

// find returns the message that a receipt handle belongs to, and whether it is the latest one; nil if it is gone.
func (q *queue) find(handle string) (m *message, latest bool, err error) {
	id, _, ok := strings.Cut(handle, "#")
	if !ok {
		return nil, false, &types.ReceiptHandleIsInvalid{Message: aws.String(fmt.Sprintf("The input receipt handle "+
			"%q is not a valid receipt handle.", handle))}
	}
	for _, m := range q.messages {
		if m.id == id {
			return m, m.handle == handle, nil
		}
	}
	return nil, false, nil
}

func (q *queue) remove(m *message) {
	q.messages = slices.DeleteFunc(q.messages, func(other *message) bool { return other == m })
	if q.fifo() {
		q.wake() // its group may go on
	}
}

// delete deletes a received message. In a standard queue an older receipt handle than the latest deletes nothing; in a
// FIFO queue an expired one is refused.
func (q *queue) delete(handle string, now time.Time) error {
	m, latest, err := q.find(handle)
	if err != nil || m == nil {
		return err
	}
	if q.fifo() && (!latest || !m.visible.After(now)) {
		return invalidValue("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
			handle)
	}
	if latest {
		q.remove(m)
	}
	return nil
}

// redrive is a queue's RedrivePolicy.
type redrive struct {
	Target   string      `json:"deadLetterTargetArn"`
	Receives json.Number `json:"maxReceiveCount"`
}

func (q *queue) redrive() (r redrive) {
	_ = json.Unmarshal([]byte(q.attributes["RedrivePolicy"]), &r) // checked when it was set
	return r
}

func (q *queue) maxReceives() int {
	n, _ := strconv.Atoi(q.redrive().Receives.String()) // checked when it was set
	return n
}

// counts returns how many messages can be received, and how many are hidden.
func (q *queue) counts(now time.Time) (visible, hidden int) {
	q.expire(now)
	for _, m := range q.messages {
		if m.visible.After(now) {
			hidden++
		} else {
			visible++
		}
	}
	return visible, hidden
}

func contentHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
