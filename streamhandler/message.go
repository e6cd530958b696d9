package streamhandler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/warmflags/warmflags/change"
)

// message is one SNS message and the items that it covers.
type message struct {
	change.Message
	input *sns.PublishInput
	items []*item
	// done is published and, where there is an After, accepted by it: its items need no retry.
	published, done bool
}

// pack puts a batch's changes in as few messages as the size limit allows: normally one for each prefix.
func pack(b *batch, topic string, maxSize int) ([]*message, error) {
	now := time.Now().UTC().Round(0) // as it will be parsed
	var messages []*message
	for _, g := range b.groups {
		// Nearly always it fits whole, and needs encoding once.
		m, err := newMessage(b.source, g.prefix, topic, g.items, now)
		if err != nil {
			return nil, err
		}
		if size(m.input) <= maxSize {
			messages = append(messages, m)
			continue
		}
		parts, err := split(g, maxSize, now)
		if err != nil {
			return nil, err
		}
		for _, items := range parts {
			m, err := newMessage(b.source, g.prefix, topic, items, now)
			if err != nil {
				return nil, err
			}
			messages = append(messages, m)
		}
	}
	return messages, nil
}

// newMessage makes the message of these items of one prefix, of whatever size.
func newMessage(source, prefix, topic string, items []*item, now time.Time) (*message, error) {
	m := &message{items: items}
	m.Message = change.Message{ID: messageID(source, prefix, items), Prefix: prefix, Time: now}
	m.Changes = make([]change.Change, len(items))
	kinds := []string{}
	for i, it := range items {
		m.Changes[i] = it.change
		if !slices.Contains(kinds, it.change.Kind) {
			kinds = append(kinds, it.change.Kind)
		}
	}
	body, err := json.Marshal(m.Message)
	if err != nil {
		return nil, fmt.Errorf("encode message of prefix %q: %w", prefix, err)
	}
	m.input = &sns.PublishInput{
		TopicArn:          aws.String(topic),
		Message:           aws.String(string(body)),
		MessageAttributes: attributes(prefix, kinds),
	}
	return m, nil
}

// attributes are what a subscription's filter policy can ask for, so that a queue hears of its own prefix only.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
func attributes(prefix string, kinds []string) map[string]types.MessageAttributeValue {
	kindsJSON, _ := json.Marshal(kinds) // strings always encode
	attributes := map[string]types.MessageAttributeValue{
		"kind": {DataType: aws.String("String.Array"), StringValue: aws.String(string(kindsJSON))},
	}
	if prefix != "" {
		attributes["prefix"] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(prefix)}
	}
	return attributes
}

// messageID depends on the records that the message tells of and on nothing else, so that a batch that is
// delivered again makes messages of the same IDs. Each part of a split has other records, hence another ID.
func messageID(source, prefix string, items []*item) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q", source, prefix)
	for _, it := range items {
		hash.Write([]byte{' '})
		hash.Write([]byte(it.last))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// size is what SNS counts of a message: the body, and the name, type and value of each attribute, in bytes.
// https://docs.aws.amazon.com/sns/latest/api/API_MessageAttributeValue.html
func size(input *sns.PublishInput) int {
	n := len(*input.Message)
	for name, value := range input.MessageAttributes {
		n += len(name) + len(*value.DataType) + len(*value.StringValue)
	}
	return n
}

// split divides a prefix's changes, in their order, so that each part's message has at most maxSize bytes. A change
// adds to a message what it adds to an empty one, a comma, and its kind to the attribute if that is new there.
func split(g *group, maxSize int, now time.Time) ([][]*item, error) {
	empty, err := newMessage("", g.prefix, "", nil, now)
	if err != nil {
		return nil, err
	}
	var parts [][]*item
	// items[start:i] is the part that is being filled; total is its size, and kinds are the kinds in it.
	start, total, kinds := 0, size(empty.input), map[string]bool{}
	for i, it := range g.items {
		alone, err := newMessage("", g.prefix, "", g.items[i:i+1], now)
		if err != nil {
			return nil, err
		}
		inBody := len(*alone.input.Message) - len(*empty.input.Message) + 1
		inBoth := size(alone.input) - size(empty.input) + 1
		cost := inBody
		if !kinds[it.change.Kind] {
			cost = inBoth + 1
		}
		if i > start && total+cost > maxSize {
			parts = append(parts, g.items[start:i])
			start, total, cost = i, size(empty.input), inBoth+1
			clear(kinds)
		}
		total += cost
		kinds[it.change.Kind] = true
	}
	return append(parts, g.items[start:]), nil
}
