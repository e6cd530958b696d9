package subscriber

import (
	"context"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"github.com/warmflags/warmflags/change"
)

// LambdaSubscriber is made by [Lambda].
type LambdaSubscriber struct {
	*receiver
	err   error     // wrong options
	begin sync.Once // the first event: invalidates everything
}

// Lambda is the source for a function that SNS invokes. SNS picks one container: the others do not hear of the
// change. What came before the container's first event went elsewhere, so that event invalidates everything.
// Wrong options are reported by Handle.
func Lambda(sink change.Sink, options ...Option) *LambdaSubscriber {
	s, err := newSettings(ofLambda, "", sink, options)
	return &LambdaSubscriber{receiver: newReceiver(s, sink), err: err}
}

// Handle is the function's handler, or part of it. It does not call the sink's Wake, which is for those who call it in each
// invocation, whatever that is for. Its error is only ever about wrong options: what cannot be
// read is dropped and counted, because SNS's repetition would not make it readable. Safe for concurrent use.
func (l *LambdaSubscriber) Handle(_ context.Context, event events.SNSEvent) error {
	if l.err != nil {
		return l.err
	}
	// Concurrent events wait here for the first: none goes on before everything was invalidated.
	l.begin.Do(func() { l.invalidateAll("first event of this container") })
	for _, record := range event.Records {
		l.receive(record.SNS.Message)
	}
	return nil
}

// Stats returns the counts so far. It is safe for concurrent use.
func (l *LambdaSubscriber) Stats() Stats { return l.stats() }
