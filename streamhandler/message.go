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

// message is one SNS message and the items that it covers. Pack makes it and never changes what it says; publishing sets the
// three marks below, and where SNS refuses it, puts the empty message in its place, in the same memory, for the same items.
type message struct {
	change.Message
	body       string
	attributes map[string]types.MessageAttributeValue
	items      []*item // none for the empty message
	kinds      []string

	published bool
	done      bool  // published and, where there is an After, accepted by it: its items need no retry
	refusal   error // why SNS has the empty message instead; nil if it has this one
}

// pack puts a batch's changes in as few messages as the size limit allows: normally one for each prefix.
func pack(b *batch, maxSize int) []*message {
	now := time.Now().UTC().Round(0) // as it will be parsed
	var messages []*message
	for _, g := range b.groups {
		// Nearly always it fits whole, and needs encoding once.
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

// newMessage makes the message of these items of one prefix, of whatever size.
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

// newEmptyMessage makes the message that says that anything of prefix may have changed. It names LaunchDarkly's kinds
// besides those given, so that subscriptions that filter by kind get it.
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

// encode makes body and attributes. The attributes are what a subscription's filter policy can ask for
// (https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html).
func (m *message) encode() *message {
	m.body = string(encoded(m.Message))
	kinds, _ := json.Marshal(m.kinds) // strings always encode
	m.attributes = map[string]types.MessageAttributeValue{
		"kind": {DataType: aws.String("String.Array"), StringValue: aws.String(string(kinds))},
	}
	if m.Prefix != "" {
		m.attributes["prefix"] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(m.Prefix)}
	}
	return m
}

// encoded is a message's JSON.
func encoded(m change.Message) []byte {
	b, _ := m.MarshalJSON() // always encodes
	return b
}

// messageID depends on the records that the message tells of (the last of each item) and on nothing else, so that a
// batch that is delivered again as a whole makes messages of the same IDs. Each part of a split has other records,
// hence another ID; what comes again after a batch was published in part may have one too.
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

// size is what SNS counts of a message: the body, and the name, type and value of each attribute, in bytes.
// https://docs.aws.amazon.com/sns/latest/api/API_MessageAttributeValue.html
func (m *message) size() int {
	n := len(m.body)
	for name, value := range m.attributes {
		n += len(name) + len(*value.DataType) + len(*value.StringValue)
	}
	return n
}

// split divides a prefix's changes, in their order, so that each part's message has at most maxSize bytes. A change
// adds to a message what it adds to an empty one, a comma, and its kind to the attribute if that is new there. That is a
// little too much (the first has no comma) and never too little; IDs are all of one length. One change alone always
// fits, by smallestMaxSize.
func split(g *group, maxSize int, now time.Time) [][]*item {
	empty := newMessage("", g.prefix, nil, now)
	one := change.Message{ID: empty.ID, Prefix: g.prefix, Time: now, Changes: make([]change.Change, 1)}
	var parts [][]*item
	// items[start:i] is the part that is being filled; total is its size, and kinds are the kinds in it.
	start, total, kinds := 0, empty.size(), map[string]bool{}
	for i, it := range g.items {
		one.Changes[0] = it.change
		inBody := len(encoded(one)) - len(empty.body) + 1
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
