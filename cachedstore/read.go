package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

var (
	errAbandoned = errors.New("read took too long and was abandoned")
	errClosed    = errors.New("store is closed")
	errTooOld    = errors.New("the last known value is older than MaxStale, and the table cannot be read")
)

// flight is one read of the table, and the calls that wait for it. All fields but done are guarded by cache.mu
// until done is closed, and never change after.
type flight struct {
	lane *lane
	read reader
	done chan struct{} // closed when the read ended

	start   uint64      // tick at which it began
	began   instant     // when it began
	freezes int         // that had been seen when it began
	limit   *time.Timer // abandons it
	ended   bool
	first   *flight // it is another try of this one, and answers it too

	item ldstoretypes.ItemDescriptor // the answer to those who joined, where one item was read
	err  error
}

// reader is what a flight reads: one item or a collection.
type reader interface {
	// read asks the table, without a lock.
	read(ctx context.Context) (any, error)
	// answered reports whether a flight need not begin any more, and answers it, under cache.mu.
	answered(f *flight, now instant) bool
	// keep stores what was read, under cache.mu. It reports whether that is an answer to those who joined; if not,
	// the read is made again.
	keep(f *flight, found any, now instant) bool
	// fail answers those who joined when the read failed, under cache.mu.
	fail(f *flight, err error, now instant)
}

// lane makes reads of one thing follow each other: flight is in progress, and next begins when it has ended.
// Guarded by cache.mu.
type lane struct {
	flight, next *flight
}

// frozenLocked reports whether the process stood still since the read began: what it brings is as old as that.
func (s *cache) frozenLocked(f *flight, now instant) bool {
	return f.freezes < s.freezes || f.began.frozen(now)
}

// joinLocked returns a read whose answer is good for a call that starts now, where reads that began at tick
// or before are not: the read in progress, the one after it, or a new one.
func (s *cache) joinLocked(l *lane, r reader, tick uint64) *flight {
	switch {
	case l.flight != nil && l.flight.start > tick && !s.frozenLocked(l.flight, s.nowLocked()):
		return l.flight
	case l.next != nil:
		return l.next
	}
	f := &flight{lane: l, read: r, done: make(chan struct{})}
	if l.flight != nil {
		l.next = f
		return f
	}
	l.flight = f
	s.beginLocked(f)
	return f
}

func (s *cache) beginLocked(f *flight) {
	s.tick++
	f.start, f.began = s.tick, s.nowLocked()
	f.freezes = s.freezes
	if s.closed {
		f.ended = true
		f.read.fail(f, errClosed, f.began)
		f.lane.flight = nil
		f.answer()
		return
	}
	s.stats.Reads++
	ctx, cancel := context.WithCancel(s.life) // for stores that look at one
	f.limit = time.AfterFunc(s.options.readLimit, func() {
		s.end(f, nil, errAbandoned)
		cancel()
	})
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer cancel()
		found, err := guarded(ctx, f.read)
		s.end(f, found, err)
	}()
}

// guarded reads, and turns a panic of the store into an error, so that those who wait are freed.
func guarded(ctx context.Context, r reader) (found any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store panicked: %v", p)
		}
	}()
	return r.read(ctx)
}

// answer frees those who wait.
func (f *flight) answer() {
	close(f.done)
	for first := f.first; first != nil; first = first.first {
		first.item, first.err = f.item, f.err
		close(first.done)
	}
}

// againLocked makes a read again, which is the next one where calls wait for that already.
func (s *cache) againLocked(f *flight) {
	l := f.lane
	l.flight, l.next = l.next, nil
	if l.flight == nil {
		l.flight = &flight{lane: l, read: f.read, done: make(chan struct{})}
	}
	l.flight.first = f
	s.beginLocked(l.flight)
}

// end closes a flight with what it found, or as failed, and begins the next. The second end of a flight, when an
// abandoned read comes back after all, does nothing.
func (s *cache) end(f *flight, found any, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	f.limit.Stop()
	s.tick++
	now := s.nowLocked()
	if err == nil {
		if !f.read.keep(f, found, now) {
			s.againLocked(f)
			return
		}
	} else {
		s.stats.Errors++
		f.read.fail(f, err, now)
		s.failedLocked(err)
	}
	f.answer()
	next := f.lane.next
	f.lane.flight, f.lane.next = next, nil
	switch {
	case next == nil:
	case next.read.answered(next, now):
		next.ended = true
		f.lane.flight = nil
		next.answer()
	default:
		s.beginLocked(next)
	}
}
