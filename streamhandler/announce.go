package streamhandler

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/warmflags/warmflags/change"
)

// Announce publishes changes that no stream record caused, as a person does to make every consumer read again. It
// publishes as a [Handler] does, in as few messages as fit, and then calls [OnPublished]. Without changes, it publishes
// the empty message, which means that anything in the prefix may have changed.
//
// It returns the messages that the topic has. If it also returns an error, not everything was published, or OnPublished
// failed: announce all of it again, which costs consumers only reads. Announce does not log.
func Announce(
	ctx context.Context, publisher Publisher, prefix string, changes []change.Change, options ...Option,
) ([]change.Message, error) {
	s := newSettings(publisher, options)
	if s.err != nil {
		return nil, s.err
	}
	messages := s.makeMessages(prefix, changes)
	err := s.announce(ctx, messages)
	var published []change.Message
	for _, m := range messages {
		if m.published {
			published = append(published, m.Message)
		}
		err = errors.Join(err, m.notPassedOn)
	}
	return published, err
}

// makeMessages returns the messages for changes, with new IDs.
func (s *settings) makeMessages(prefix string, changes []change.Change) []*message {
	source := rand.Text()
	if len(changes) == 0 {
		return []*message{newEmptyMessage(messageID(source, prefix, nil), prefix, nil, time.Now().UTC().Round(0))}
	}
	g := &group{prefix: prefix}
	for _, c := range changes {
		g.items = append(g.items, &item{change: c, last: rand.Text()})
	}
	return pack(&batch{source: source, groups: []*group{g}}, s.maxSize)
}
