package outage

import (
	"slices"
	"sync"

	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// notifier notifies clients of outages. A client's UpdateStatus blocks while a status listener of the application does
// not read its channel. Therefore each client has its own goroutine, and nothing waits for that goroutine, not even
// close.
type notifier struct {
	mu        sync.Mutex // guards the fields below and those of the listeners
	down      bool
	listeners []*listener
}

// listener tracks the status last sent to a client and the status still to be sent. Several outages may be reported as
// one, but after each outage the client is sent an end: its writes during the outage were lost, and it must send them
// again.
type listener struct {
	sink             subsystems.DataStoreUpdateSink
	sentDown         bool // the last status sent was "down"
	ends, sentEnds   int  // the number of outages that ended, and that number when an end was last sent
	running, removed bool // its goroutine is running; it was removed
}

// Listen notifies a client of outages from now on, including one in progress. Stop ends this; it does not wait for a
// notification in progress.
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

// announce notifies all clients that an outage began or ended. It does not block.
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

// send sends both states in turn until the client has the latest one.
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
		// Writes of a client that is not in daemon mode may have been lost. NeedsRefresh makes it send its data again.
		l.sink.UpdateStatus(interfaces.DataStoreStatus{Available: !down, NeedsRefresh: !down})
	}
}
