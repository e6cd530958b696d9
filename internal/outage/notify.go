package outage

import (
	"slices"
	"sync"

	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// notifier notifies clients of outages. A client blocks whoever notifies it while a status listener of the
// application does not read its channel, so each client has a goroutine of its own, which nothing waits for: not
// close either.
type notifier struct {
	mu        sync.Mutex // guards the fields below and those of the listeners
	down      bool
	listeners []*listener
}

// listener tracks the status last sent to a client and the status still to be sent. A client need not be notified of
// each outage, but of an end after each: what it wrote in between was lost.
type listener struct {
	sink             subsystems.DataStoreUpdateSink
	sentDown         bool
	ends, sentEnds   int  // ends of outages that there were, and that preceded the latest end which was sent
	running, removed bool // its goroutine runs; it was removed
}

// Listen notifies a client from now on, also of an outage that has begun. Stop ends that; a notification in progress
// goes on.
func (o *Outage) Listen(sink subsystems.DataStoreUpdateSink) (stop func()) {
	n := &o.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &listener{sink: sink}
	n.listeners = append(n.listeners, l)
	n.sendLocked(l)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		l.removed = true
		n.listeners = slices.DeleteFunc(n.listeners, func(other *listener) bool { return other == l })
	}
}

// announce notifies all clients that an outage began or ended, and returns at once.
func (n *notifier) announce(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		if n.down && !down {
			l.ends++
		}
	}
	n.down = down
	for _, l := range n.listeners {
		n.sendLocked(l)
	}
}

// sendLocked starts the goroutine that notifies a client, if there is something to send.
func (n *notifier) sendLocked(l *listener) {
	if l.running || l.sentDown == n.down && l.sentEnds == l.ends {
		return
	}
	l.running = true
	go n.send(l)
}

// send alternates between both states until the client was sent the latest.
func (n *notifier) send(l *listener) {
	for {
		n.mu.Lock()
		if l.removed || l.sentDown == n.down && l.sentEnds == l.ends {
			l.running = false
			n.mu.Unlock()
			return
		}
		l.sentDown = !l.sentDown
		down := l.sentDown
		if !down {
			l.sentEnds = l.ends
		}
		n.mu.Unlock()
		// Writes of a client that is not in daemon mode may have been lost: it should send its data again.
		l.sink.UpdateStatus(interfaces.DataStoreStatus{Available: !down, NeedsRefresh: !down})
	}
}
