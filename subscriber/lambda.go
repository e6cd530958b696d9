package subscriber

import (
	"context"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"github.com/warmflags/warmflags/change"
)

// LambdaSubscriber handles the events of a function that SNS invokes. Create one with [Lambda].
type LambdaSubscriber struct {
	*receiver
	err   error     // wrong options
	first sync.Once // the first event invalidates everything
}

// Lambda returns the source for a function that SNS invokes. SNS invokes one container; the others do not receive the
// change. Messages before a container's first event were delivered to other containers, so the first event invalidates
// everything. Handle reports wrong options.
func Lambda(sink change.Sink, options ...Option) *LambdaSubscriber {
	s, err := newLambdaSettings(sink, options)
	return &LambdaSubscriber{receiver: newReceiver(s, sink), err: err}
}

// Handle is the function's handler, or a part of it. It does not call the sink's Wake, which must be called in every
// invocation of a function or in none. It returns an error only for wrong options. A message that is dropped is
// counted, because a retry by SNS would not help. Handle is safe for concurrent use.
func (s *LambdaSubscriber) Handle(_ context.Context, event events.SNSEvent) error {
	if s.err != nil {
		return s.err
	}
	// Concurrent events wait for this call, so no event continues before everything was invalidated.
	s.first.Do(func() { s.invalidateAll("first event of this container") })
	for _, record := range event.Records {
		s.receive(record.SNS.Message)
	}
	return nil
}

// Stats returns the counts so far. It is safe for concurrent use.
func (s *LambdaSubscriber) Stats() Stats { return s.stats() }
