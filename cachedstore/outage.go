package cachedstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 10 * time.Second
	// steady is how long the table must have been well before the next outage polls quickly again.
	steady = 30 * time.Second
)

// outage is what is known of the table's health. Guarded by cache.mu. One goroutine, the poller, lives while
// the table is down; it alone tells the SDK's clients, so that they hear of each end after its beginning.
type outage struct {
	down    bool
	polling bool          // the poller lives
	wait    time.Duration // the poller's next pause
	up      instant       // when the latest outage ended
	cause   error
	poke    chan struct{} // makes the poller look at once; buffered, 1
	sinks   []subsystems.DataStoreUpdateSink
}

// decodeError is an item that was read but not understood: the table is well.
type decodeError struct{ err error }

func (e *decodeError) Error() string { return e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }

// failedLocked notes that a read or write of the table failed.
func (s *cache) failedLocked(err error) {
	var broken *decodeError
	if errors.As(err, &broken) {
		s.loggers.Errorf("cachedstore: %s; it is served as last known", err)
		return
	}
	if s.outage.down || s.closed {
		return
	}
	o := &s.outage
	o.down, o.cause = true, err
	if o.wait == 0 || o.up.age(s.clock()) > steady {
		o.wait = firstPoll
	}
	if !o.polling {
		o.polling = true
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			s.poll()
		}()
	}
}

// poll lives as long as the table is down, and announces both ends of each outage.
func (s *cache) poll() {
	for {
		s.mu.Lock()
		if !s.outage.down || s.closed {
			s.outage.polling = false
			s.mu.Unlock()
			return
		}
		cause := s.outage.cause
		s.mu.Unlock()
		s.loggers.Warnf("cachedstore: the table cannot be read, last known values are served until it can: %s", cause)
		s.announce(interfaces.DataStoreStatus{Available: false})
		if !s.awaitRecovery() {
			continue
		}
		s.loggers.Warn("cachedstore: the table can be read again")
		// Writes of a client that is not in daemon mode may have been lost: it should send its data again.
		s.announce(interfaces.DataStoreStatus{Available: true, NeedsRefresh: true})
	}
}

// awaitRecovery returns true when the table is up again, false when the store was closed.
func (s *cache) awaitRecovery() bool {
	for {
		s.mu.Lock()
		wait := s.outage.wait
		s.outage.wait = min(2*wait, lastPoll)
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.outage.poke:
			timer.Stop()
		case <-s.life.Done():
			timer.Stop()
			return false
		}
		if s.available() {
			s.mu.Lock()
			s.outage.down, s.outage.up = false, s.clock()
			s.mu.Unlock()
			return true
		}
	}
}

// available asks the table, and takes a panic for a no.
func (s *cache) available() (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			s.loggers.Errorf("cachedstore: %s", fmt.Errorf("store panicked: %v", p))
		}
	}()
	return s.core.IsStoreAvailable()
}

func (s *cache) announce(status interfaces.DataStoreStatus) {
	s.mu.Lock()
	sinks := append([]subsystems.DataStoreUpdateSink(nil), s.outage.sinks...)
	s.mu.Unlock()
	for _, sink := range sinks {
		sink.UpdateStatus(status)
	}
}
