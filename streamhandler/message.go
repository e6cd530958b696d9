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

// message is one SNS message and the items that it covers. Publishing sets the fields below, and replaces a message
// that SNS refuses by the empty message, in the same memory and for the same items.
type message struct {
	change.Message
	body       string
	attributes map[string]types.MessageAttributeValue
	items      []*item // of its records; none for a FailureHandler's message
	kinds      []string

	published   bool
	done        bool  // published and passed to OnPublished: its items need no retry
	refusal     error // why SNS has the empty message instead; nil if it has this one
	notPassedOn error // why OnPublished can never accept it; nil otherwise
}

// pack packs a batch's changes into as few messages as the size limit allows: normally one for each prefix.
func pack(b *batch, maxSize int) []*message {
	now := time.Now().UTC().Round(0) // as it will be parsed
	var messages []*message
	for _, g := range b.groups {
		// Nearly always all changes fit, and are encoded once.
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

// newMessage returns the message for these items of one prefix, whatever its size.
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

// newEmptyMessage returns the message that means that anything in prefix may have changed. It names LaunchDarkly's
// kinds in addition to the given ones, so that it passes the filters of subscriptions that filter by kind.
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
	body, _ := m.MarshalJSON() // always encodes, as do strings
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

// messageID depends only on the records that the message covers (the last one of each item), so that a batch that is
// redelivered as a whole makes messages with the same IDs. Each part of a split has other records and so another ID; so
// may messages of a batch that is redelivered in part.
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

// size returns the message's size as SNS counts it: body, and name, type and value of each attribute, in bytes.
// https://docs.aws.amazon.com/sns/latest/api/API_MessageAttributeValue.html
func (m *message) size() int {
	n := len(m.body)
	for name, value := range m.attributes {
		n += len(name) + len(*value.DataType) + len(*value.StringValue)
	}
	return n
}

// split divides a prefix's changes, in their order, so that each part's message has at most maxSize bytes. A change
// adds its JSON, a comma, and its kind to the attribute if that is new there. That is a little too much (the first
// change has no comma) and never too little; all IDs have the same length. One change alone always fits, see
// smallestMaxSize.
func split(g *group, maxSize int, now time.Time) [][]*item {
	empty := newMessage("", g.prefix, nil, now)
	one := change.Message{ID: empty.ID, Prefix: g.prefix, Time: now, Changes: make([]change.Change, 1)}
	var parts [][]*item
	// items[start:i] is the current part, total its size, and kinds the kinds in it.
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
