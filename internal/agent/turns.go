package agent

import (
	"context"
	"sync"
)

// turns runs a function for callers that each need a run that began after their call. Runs do not overlap. Callers
// that arrive during a run share the next one.
type turns struct {
	run func()

	mu      sync.Mutex    // guards the fields below
	running bool          // the goroutine of loop exists
	next    chan struct{} // closed at the end of the next run; nil if no caller waits for it
}

// wait waits for the end of a run that began after the call, or until ctx ends.
func (t *turns) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.next == nil {
		t.next = make(chan struct{})
	}
	ended := t.next
	if !t.running {
		t.running = true
		go t.loop() // ends when no caller waits
	}
	t.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turns) loop() {
	for {
		t.mu.Lock()
		ended := t.next
		t.next = nil
		t.running = ended != nil
		t.mu.Unlock()
		if ended == nil {
			return
		}
		t.run()
		close(ended)
	}
}
