package streamhandler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/warmflags/warmflags/change"
)

// message is one SNS message and the items that it covers. If SNS refuses a message, publish overwrites it with the
// empty message for the same items.
type message struct {
	change.Message
	body       string
	attributes map[string]types.MessageAttributeValue
	items      []*item // the covered items; empty for a FailureHandler's message
	kinds      []string

	// The fields below are set by publishing.

	published   bool
	done        bool  // published and passed to OnPublished: its items need no retry
	refusal     error // why SNS refused the original message, if this is the empty message in its place; nil otherwise
	notPassedOn error // why OnPublished refused it as invalid; nil otherwise
}

// pack packs a batch's changes into as few messages as the size limit allows: normally one for each prefix.
func pack(b *batch, maxSize int) []*message {
	now := time.Now().UTC().Round(0) // UTC without a monotonic reading, as a parsed message has it
	var messages []*message
	for _, g := range b.groups {
		// Usually all changes fit into one message and are encoded once.
		m := newMessage(b.source, g.prefix, g.items, now)
		if m.size() <= maxSize {
			messages = append(messages, m)
			continue
		}
		for _, items := range split(g, maxSize, now) {
			messages = append(messages, newMessage(b.source, g.prefix, items, now))
		}
	}
	return messages
}

// newMessage returns the message for the items of one prefix. It does not limit the size.
func newMessage(source, prefix string, items []*item, now time.Time) *message {
	m := &message{items: items}
	m.Message = change.Message{ID: messageID(source, prefix, items), Prefix: prefix, Time: now}
	m.Changes = make([]change.Change, len(items))
	for i, it := range items {
		m.Changes[i] = it.change
		if !slices.Contains(m.kinds, it.change.Kind) {
			m.kinds = append(m.kinds, it.change.Kind)
		}
	}
	return m.encode()
}

// newEmptyMessage returns the message which means that anything in prefix may have changed. It names LaunchDarkly's
// kinds in addition to the given ones, so that subscriptions that filter by kind receive it.
func newEmptyMessage(id, prefix string, kinds []string, now time.Time) *message {
	m := &message{kinds: slices.Clone(kinds)}
	m.Message = change.Message{ID: id, Prefix: prefix, Time: now}
	for _, kind := range []string{change.KindFeatures, change.KindSegments} {
		if !slices.Contains(m.kinds, kind) {
			m.kinds = append(m.kinds, kind)
		}
	}
	return m.encode()
}

// encode sets body and attributes. A subscription's filter policy can use the attributes
// (https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html).
func (m *message) encode() *message {
	body, _ := m.MarshalJSON() // never fails; nor does a list of strings
	kinds, _ := json.Marshal(m.kinds)
	m.body = string(body)
	m.attributes = map[string]types.MessageAttributeValue{
		"kind": {DataType: aws.String("String.Array"), StringValue: aws.String(string(kinds))},
	}
	if m.Prefix != "" {
		m.attributes["prefix"] = types.MessageAttributeValue{
			DataType: aws.String("String"), StringValue: aws.String(m.Prefix),
		}
	}
	return m
}

// messageID returns an ID that depends only on the stream, the prefix and the last record of each item in the message.
// So a batch that is redelivered as a whole makes messages with the same IDs. The parts of a split message have
// different IDs. After a partial redelivery, IDs may differ.
func messageID(source, prefix string, items []*item) string {
	text := make([]byte, 0, 256+32*len(items))
	text = strconv.AppendQuote(text, source)
	text = append(text, ' ')
	text = strconv.AppendQuote(text, prefix)
	for _, it := range items {
		text = append(text, ' ')
		text = append(text, it.last...)
	}
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:16])
}

// size returns the message's size in bytes as SNS counts it: the body, and name, type and value of each attribute.
// https://docs.aws.amazon.com/sns/latest/api/API_MessageAttributeValue.html
func (m *message) size() int {
	n := len(m.body)
	for name, value := range m.attributes {
		n += len(name) + len(*value.DataType) + len(*value.StringValue)
	}
	return n
}

// split divides a prefix's changes, in their order, so that each part's message has at most maxSize bytes. The size of
// a change is counted as its JSON, a comma and, if its kind is new in the part, the kind in the attribute. This count
// is never too low, and a little too high because the first change has no comma. All IDs have the same length. A single
// change always fits, see smallestMaxSize.
func split(g *group, maxSize int, now time.Time) [][]*item {
	empty := newMessage("", g.prefix, nil, now)
	one := change.Message{ID: empty.ID, Prefix: g.prefix, Time: now, Changes: make([]change.Change, 1)}
	var parts [][]*item
	// items[start:i] is the current part, total is its size, and kinds are its kinds.
	start, total, kinds := 0, empty.size(), map[string]bool{}
	for i, it := range g.items {
		one.Changes[0] = it.change
		body, _ := one.MarshalJSON()
		inBody := len(body) - len(empty.body) + 1
		quoted, _ := json.Marshal(it.change.Kind)
		inAttribute := len(quoted) + 1
		cost := inBody
		if !kinds[it.change.Kind] {
			cost += inAttribute
		}
		if i > start && total+cost > maxSize {
			parts = append(parts, g.items[start:i])
			start, total, cost = i, empty.size(), inBody+inAttribute
			clear(kinds)
		}
		total += cost
		kinds[it.change.Kind] = true
	}
	return append(parts, g.items[start:])
}
