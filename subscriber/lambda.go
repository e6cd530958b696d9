package subscriber

import (
	"context"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"github.com/warmflags/warmflags/change"
)

// LambdaSubscriber is created by [Lambda].
type LambdaSubscriber struct {
	*receiver
	err   error     // wrong options
	first sync.Once // the first event invalidates everything
}

// Lambda returns the source for a function that SNS invokes. SNS invokes one container, and the others do not receive
// the change. Messages before a container's first event went elsewhere, so that event invalidates everything. Wrong
// options are reported by Handle.
func Lambda(sink change.Sink, options ...Option) *LambdaSubscriber {
	s, err := newLambdaSettings(sink, options)
	return &LambdaSubscriber{receiver: newReceiver(s, sink), err: err}
}

// Handle is the function's handler, or a part of it. It does not call the sink's Wake: Wake must be called in every
// invocation of a function or in none. The returned error is only about wrong options; a message that is dropped is
// counted, because no retry by SNS would make it readable. Handle is safe for concurrent use.
func (s *LambdaSubscriber) Handle(_ context.Context, event events.SNSEvent) error {
	if s.err != nil {
		return s.err
	}
	// Concurrent events wait for the first one: none continues before everything was invalidated.
	s.first.Do(func() { s.invalidateAll("first event of this container") })
	for _, record := range event.Records {
		s.receive(record.SNS.Message)
	}
	return nil
}

// Stats returns the counts so far. It is safe for concurrent use.
func (s *LambdaSubscriber) Stats() Stats { return s.stats() }
