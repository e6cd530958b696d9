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

// deduplication is the time for which a FIFO queue drops duplicates of a message.
const deduplication = 5 * time.Minute

// queue is a queue. SQS.mu guards it.
type queue struct {
	name, url, arn string
	attributes     map[string]string // the attributes that can be set, with their defaults
	tags           map[string]string
	messages       []*message      // in the order of arrival
	sent           map[string]sent // recent messages of a FIFO queue, by deduplication ID
	changed        chan struct{}   // closed and replaced when there may be more messages to receive
}

// message is one message in a queue.
type message struct {
	id, body   string
	attributes map[string]types.MessageAttributeValue
	group      string    // the message group, in FIFO queues
	sent       time.Time // SentTimestamp
	visible    time.Time // the message cannot be received before this time
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

// wake makes waiting receivers check the queue again.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// send adds a message and returns its ID. For a duplicate, it returns the ID of the first message.
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

// expire removes messages and deduplication IDs that are older than their retention.
func (q *queue) expire(now time.Time) {
	oldest := now.Add(-q.seconds("MessageRetentionPeriod"))
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return m.sent.Before(oldest) })
	maps.DeleteFunc(q.sent, func(_ string, s sent) bool { return now.Sub(s.at) >= deduplication })
}

// receive hides up to limit messages for the visibility timeout and returns them. If there are none, it returns when
// the next hidden message becomes visible, or the zero time if there is no such message.
func (q *queue) receive(limit int, now time.Time, deadLetters *queue) (list []*message, next time.Time) {
	q.expire(now)
	blocked := map[string]bool{} // groups with a hidden message: a FIFO queue delivers no other message of the group
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

// find returns the message of a receipt handle, and whether the handle is the message's latest; nil if the message no
// longer exists.
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
		q.wake() // the next message of the group can be received now
	}
}

// delete deletes a received message. In a standard queue, a receipt handle that is not the latest deletes nothing. In
// a FIFO queue, an expired receipt handle is refused.
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
	_ = json.Unmarshal([]byte(q.attributes["RedrivePolicy"]), &r) // CreateQueue and SetQueueAttributes checked it
	return r
}

func (q *queue) maxReceives() int {
	n, _ := strconv.Atoi(q.redrive().Receives.String()) // CreateQueue and SetQueueAttributes checked it
	return n
}

// counts returns the number of messages that can be received and the number of hidden ones.
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
