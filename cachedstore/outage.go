package cachedstore

import (
	"errors"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/interfaces"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
)

// The pauses between the poller's looks at a table that is down: doubled from the first to the last, and on from one outage
// to the next where the table was not well for long.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 10 * time.Second
	// steady is how long the table must have been well before the next outage polls quickly again.
	steady = 30 * time.Second
)

// outage is what is known of the table's health. Guarded by cache.mu. A read or write that fails starts one goroutine,
// the poller, which asks the table: when it answers, only the read was unlucky (throttled, or of a row that cannot be
// read). Otherwise the table is down, and the poller lives until it is up again. It alone has the SDK's clients
// told, so that they hear of each end after its beginning.
//
// A write that failed is lost, however well the table is: a client that writes sends its data again only when it hears of
// an outage's end. So a lost write is announced as an outage too, in which reads go on.
type outage struct {
	down      bool          // nothing can be read
	unwritten bool          // a write was lost, and no outage's end was announced since
	polling   bool          // the poller lives
	wait      time.Duration // the poller's next pause
	up        instant       // when the latest outage ended
	cause     error
	poke      chan struct{} // makes the poller look at once; buffered, 1
	listeners []*listener
}

// decodeError is an item that was read but not understood: the table is well.
type decodeError struct{ err error }

func (e *decodeError) Error() string { return e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }

// failedLocked notes that a read or write of the table failed. An item that cannot be decoded is logged and no more: asking
// whether the table is well would only show that it is. While the poller lives it need not be told: it finds out itself.
func (s *cache) failedLocked(err error) {
	var broken *decodeError
	if errors.As(err, &broken) {
		s.loggers.Errorf("cachedstore: %s; it is served as last known", err)
		return
	}
	o := &s.outage
	o.cause = err
	if o.polling || s.closed {
		return
	}
	o.polling = true
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.poll()
	}()
}

// poll asks whether the table is down, and lives as long as it is. It announces both ends of an outage.
func (s *cache) poll() {
	o := &s.outage
	for {
		up := s.available()
		s.mu.Lock()
		cause := o.cause
		if up && !o.unwritten {
			o.polling = false
			s.mu.Unlock()
			s.loggers.Warnf("cachedstore: %s; the table can be read otherwise", cause)
			return
		}
		if o.wait == 0 || o.up.age(s.clock()) > steady {
			o.wait = firstPoll
		}
		s.mu.Unlock()
		if up {
			s.loggers.Warnf("cachedstore: %s; the table can be read, and clients are asked to write again", cause)
		} else {
			s.goDown()
		}
		s.announce(true)
		if !s.awaitRecovery() {
			return // closed
		}
		s.announce(false)
		s.mu.Lock()
		if !o.unwritten {
			o.polling = false // a read that failed since then starts another poller when it is tried again
			s.mu.Unlock()
			return
		}
		s.mu.Unlock() // a write was lost since: nobody tries that again before it is told
	}
}

// goDown begins to serve last known values without a read, unless that has begun.
func (s *cache) goDown() {
	s.mu.Lock()
	was, cause := s.outage.down, s.outage.cause
	s.outage.down = true
	s.mu.Unlock()
	if !was {
		s.loggers.Warnf("cachedstore: the table cannot be read, last known values are served until it can: %s", cause)
	}
}

// awaitRecovery returns true when the table is up again, false when the store was closed. Then every key and collection may be
// read at once, whatever pause it was in. The state changes here, under the lock; clients hear of it after. Where only a
// write was lost, the table may go down while it waits.
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
			wasDown := s.outage.down
			s.outage.down, s.outage.unwritten, s.outage.up = false, false, s.clock()
			for _, c := range s.collections {
				c.failures = 0
				c.slots.each(func(sl *slot) { sl.failures = 0 })
			}
			s.mu.Unlock()
			if wasDown {
				s.loggers.Warn("cachedstore: the table can be read again")
			}
			return true
		}
		s.goDown()
		s.announce(true) // to clients that were built meanwhile
	}
}

// available asks the table, for as long as a read may take. A panic is a no. An answer that comes too late goes into the buffer
// and is not looked at.
func (s *cache) available() bool {
	answer := make(chan bool, 1)
	s.running.Add(1) // by a goroutine that is counted itself: never from zero
	go func() {
		defer s.running.Done()
		defer func() {
			if p := recover(); p != nil {
				s.loggers.Errorf("cachedstore: store panicked: %v", p)
				answer <- false
			}
		}()
		answer <- s.core.IsStoreAvailable()
	}()
	timer := time.NewTimer(s.options.readLimit)
	defer timer.Stop()
	select {
	case yes := <-answer:
		return yes
	case <-timer.C:
	case <-s.life.Done():
	}
	return false
}

// listener is a client's status: what it shall hear, and what it was told last. Guarded by cache.mu. The poller says what it
// shall hear; a goroutine of its own tells it, one status after the other, because a client keeps whoever tells it waiting
// while nobody reads its status channel. That must keep neither the poller nor other clients. It need not hear of each
// outage, but of an end after each: what it wrote in between was lost.
type listener struct {
	sink        subsystems.DataStoreUpdateSink
	down, told  bool
	ends, heard int  // of outages: that there were, and that were before the latest end that it was told of
	telling     bool // its goroutine lives
}

// announce has the clients told that have not heard it yet.
func (s *cache) announce(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.outage.listeners {
		if l.down && !down {
			l.ends++
		}
		l.down = down
		if l.told != down && !l.telling {
			l.telling = true
			s.running.Add(1) // by the poller, which is counted itself
			go func() {
				defer s.running.Done()
				s.tell(l)
			}()
		}
	}
}

// tell tells a client, in turns, that the table is down and that it is up, until it has heard the latest.
func (s *cache) tell(l *listener) {
	for {
		s.mu.Lock()
		if l.told == l.down && l.heard == l.ends {
			l.telling = false
			s.mu.Unlock()
			return
		}
		l.told = !l.told
		down := l.told
		if !down {
			l.heard = l.ends
		}
		s.mu.Unlock()
		// Writes of a client that is not in daemon mode may have been lost: it should send its data again.
		l.sink.UpdateStatus(interfaces.DataStoreStatus{Available: !down, NeedsRefresh: !down})
	}
}

// pokeLocked makes the poller look at once, where it lives.
func (s *cache) pokeLocked() {
	if !s.outage.down {
		return
	}
	select {
	case s.outage.poke <- struct{}{}:
	default: // it will look already
	}
}
