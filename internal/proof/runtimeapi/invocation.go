//go:build unix

package runtimeapi

import (
	"context"
	"time"
)

// Invocation is an invocation that was begun. Its methods are safe for concurrent use.
type Invocation struct {
	id      string
	payload []byte
	ctx     context.Context

	// Of the container's loop.
	began    time.Time
	limit    *time.Timer
	canceled func() bool

	hasResult chan struct{} // closed when there is an answer
	ended     chan struct{} // closed when the container is idle again, or gone
	released  chan struct{} // closed when the function can use the container for another invocation
	result    Result        // set before hasResult or ended is closed, as is Billed before ended
	answerErr error
	err       error
}

func newInvocation(ctx context.Context, payload []byte) *Invocation {
	return &Invocation{
		payload: payload, ctx: ctx, hasResult: make(chan struct{}), ended: make(chan struct{}),
		released: make(chan struct{}),
	}
}

// Answer waits for the response. The caller of a function gets it at that moment. If the function failed, the error
// is an [*Error].
func (i *Invocation) Answer(ctx context.Context) (Result, error) {
	select {
	case <-i.hasResult:
		return i.result, i.answerErr
	default:
	}
	select {
	case <-i.hasResult:
		return i.result, i.answerErr
	case <-i.ended:
		return i.result, i.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// End waits until the invocation has ended: the runtime and the extensions that got its event wait for the next one,
// and the container is frozen. It returns what Answer does, or how the container failed after the answer.
func (i *Invocation) End(ctx context.Context) (Result, error) {
	select {
	case <-i.released:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	if i.err != nil {
		return i.result, i.err
	}
	return i.result, i.answerErr
}

// Ended reports whether the invocation has ended.
func (i *Invocation) Ended() bool {
	select {
	case <-i.ended:
		return true
	default:
		return false
	}
}

func (i *Invocation) hasAnswer() bool {
	select {
	case <-i.hasResult:
		return true
	default:
		return false
	}
}

// answer sets the answer.
func (i *Invocation) answer(a answer) {
	i.result.Took = time.Since(i.began)
	if a.err != nil {
		i.answerErr = a.err
	} else {
		i.result.Payload = a.payload
	}
	close(i.hasResult)
}

// end ends the invocation; err says why it did not end by itself.
func (i *Invocation) end(err error) {
	i.err = err
	close(i.ended)
}
