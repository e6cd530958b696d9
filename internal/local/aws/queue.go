package aws

import (
	"crypto/md5" //nolint:gosec // SQS's checksums are MD5
	"crypto/sha256"
	"encoding/binary"
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
	created        time.Time
	modified       time.Time
	purged         time.Time
	messages       []*message // in the order of arrival
	sent           map[string]sent
	changed        chan struct{} // closed, and replaced, when a receiver may find more than before
	sequence       int64
}

// message is one message in a queue.
type message struct {
	id, body        string
	attributes      map[string]types.MessageAttributeValue
	group           string // of FIFO queues, and optional elsewhere
	deduplicationID string
	sequence        string
	source          string    // the queue that it is a dead letter of
	sent            time.Time // SentTimestamp
	visible         time.Time // not to be received before
	received        time.Time // first
	receives        int
	handle          string // the latest receipt handle
}

// sent is a message that a FIFO queue remembers.
type sent struct {
	id, sequence string
	at           time.Time
}

func (q *queue) fifo() bool { return q.attributes["FifoQueue"] == "true" }

func (q *queue) seconds(attribute string) time.Duration {
	n, err := strconv.Atoi(q.attributes[attribute])
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// wake tells waiting receivers to look again.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// send adds a message, or returns the one it duplicates. m's id, times and sequence are set here.
func (q *queue) send(m *message, delay time.Duration, now time.Time) sent {
	q.expire(now)
	made := sent{id: newID(), at: now}
	if q.fifo() {
		q.sequence++
		made.sequence = fmt.Sprintf("%020d", q.sequence)
		key := m.deduplicationID
		if q.attributes["DeduplicationScope"] == "messageGroup" {
			key = m.group + "\x00" + key
		}
		if known, ok := q.sent[key]; ok {
			return known
		}
		q.sent[key] = made
	}
	m.id, m.sequence, m.sent, m.visible = made.id, made.sequence, now, now.Add(delay)
	q.messages = append(q.messages, m)
	q.wake()
	return made
}

// expire forgets messages after their retention, and what need not be de-duplicated any more.
func (q *queue) expire(now time.Time) {
	oldest := now.Add(-q.seconds("MessageRetentionPeriod"))
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return m.sent.Before(oldest) })
	maps.DeleteFunc(q.sent, func(_ string, s sent) bool { return now.Sub(s.at) >= deduplication })
}

// receive takes up to limit messages out of sight, for so long. With none, it says when to look again, if the queue
// does not change before; zero for never.
func (q *queue) receive(limit int, timeout time.Duration, now time.Time, deadLetters *queue) (list []*message, next time.Time) {
	q.expire(now)
	blocked := q.busyGroups(now)
	var moved []*message
	for _, m := range q.messages {
		if len(list) == limit {
			break
		}
		if m.visible.After(now) {
			blocked[m.group] = true // a delayed message holds up those after it
			if next.IsZero() || m.visible.Before(next) {
				next = m.visible
			}
			continue
		}
		if q.fifo() && blocked[m.group] {
			continue
		}
		if deadLetters != nil && m.receives >= q.maxReceives() {
			moved = append(moved, m)
			continue
		}
		m.receives++
		if m.receives == 1 {
			m.received = now
		}
		m.visible, m.handle = now.Add(timeout), fmt.Sprintf("%s#%d", m.id, m.receives)
		list = append(list, m)
	}
	for _, m := range moved {
		q.remove(m)
		deadLetters.bury(m, q.arn, now)
	}
	return list, next
}

// busyGroups are the groups with a message that somebody has; a FIFO queue gives out no other of theirs.
func (q *queue) busyGroups(now time.Time) map[string]bool {
	busy := map[string]bool{}
	for _, m := range q.messages {
		if q.fifo() && m.receives > 0 && m.visible.After(now) {
			busy[m.group] = true
		}
	}
	return busy
}

// bury takes in a dead letter. It keeps its id, its receive count and the time that it was sent at.
func (q *queue) bury(m *message, source string, now time.Time) {
	m.source, m.handle, m.visible = source, "", now
	if q.fifo() {
		q.sequence++
		m.sequence = fmt.Sprintf("%020d", q.sequence)
	}
	q.messages = append(q.messages, m)
	q.wake()
}

// find returns the message that a receipt handle belongs to, and whether it is the latest one; nil if it is gone.
func (q *queue) find(handle string) (m *message, latest bool, err error) {
	id, _, ok := strings.Cut(handle, "#")
	if !ok {
		return nil, false, &types.ReceiptHandleIsInvalid{Message: aws.String(fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", handle))}
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

// redrive is a queue's RedrivePolicy.
type redrive struct {
	Target   string      `json:"deadLetterTargetArn"`
	Receives json.Number `json:"maxReceiveCount"`
}

func (q *queue) redrive() (r redrive, ok bool) {
	policy := strings.ReplaceAll(q.attributes["RedrivePolicy"], `\"`, `"`)
	return r, policy != "" && json.Unmarshal([]byte(policy), &r) == nil
}

func (q *queue) maxReceives() int {
	r, _ := q.redrive()
	n, err := strconv.Atoi(r.Receives.String())
	if err != nil || n < 1 {
		return 10
	}
	return n
}

// counts are the messages that can be received, that somebody has, and that are delayed.
func (q *queue) counts(now time.Time) (visible, inFlight, delayed int) {
	q.expire(now)
	for _, m := range q.messages {
		switch {
		case !m.visible.After(now):
			visible++
		case m.receives > 0:
			inFlight++
		default:
			delayed++
		}
	}
	return visible, inFlight, delayed
}

func contentHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func bodyMD5(body string) *string {
	sum := md5.Sum([]byte(body)) //nolint:gosec // SQS's checksum
	return aws.String(hex.EncodeToString(sum[:]))
}

// attributesMD5 is SQS's checksum of message attributes, or nil without any
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html).
func attributesMD5(attributes map[string]types.MessageAttributeValue) *string {
	if len(attributes) == 0 {
		return nil
	}
	h := md5.New() //nolint:gosec // SQS's checksum
	part := func(b []byte) {
		_ = binary.Write(h, binary.BigEndian, uint32(len(b)))
		_, _ = h.Write(b)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		part([]byte(name))
		part([]byte(aws.ToString(a.DataType)))
		if a.StringValue != nil {
			_, _ = h.Write([]byte{1})
			part([]byte(*a.StringValue))
		} else {
			_, _ = h.Write([]byte{2})
			part(a.BinaryValue)
		}
	}
	return aws.String(hex.EncodeToString(h.Sum(nil)))
}
