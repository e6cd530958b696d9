package cachedstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

// This file runs the reads, of items and of collections alike. A lane is the place of one thing that can be read: one key, or
// all of one kind. In it reads follow each other:
//
//  1. joinLocked puts a call on the read in progress, if that began late enough, or else on the next, and begins one where
//     none is;
//  2. beginLocked gives the read its tick and its time limit, and a goroutine;
//  3. end, once for each flight, has the reader keep what was found (or fail), frees those who wait, and begins the next.
//
// So a call waits for two reads at most: one that is in progress and will not do, and its own. Any number of calls, and any
// number of invalidations meanwhile, add none. (Without a cache a third is possible: see itemReader.keep.)

var (
	errAbandoned = errors.New("read took too long and was abandoned")
	errClosed    = errors.New("store is closed")
	errTooOld    = errors.New("the last known value is older than MaxStale, and the table cannot be read")
)

// flight is one read of the table, and the calls that wait for it. All fields but done are guarded by cache.mu
// until done is closed, and never change after: those who waited look at item and err without the lock. Start is 0 as
// long as it is a lane's next: any call may wait for that one.
type flight struct {
	lane *lane
	read reader
	done chan struct{} // closed when the read ended

	start   uint64      // tick at which it began
	began   instant     // when it began
	freezes int         // that had been seen when it began
	limit   *time.Timer // abandons it
	ended   bool
	first   *flight // it is another try of this one, and answers it too; that one may be another try itself

	item ldstoretypes.ItemDescriptor // the answer to those who joined, where one item was read
	err  error
}

// reader is what a flight reads: one item or a collection. A flight ends with one call of keep, of fail, or of
// answered where that is true, and of no other of these.
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

// lane makes reads of one thing follow each other: flight is in progress, and next begins when it has ended; there is no
// next without a flight. An abandoned read is in no lane any more: it can still be under way in the store when the
// next one begins, and is not looked at when it returns. Guarded by cache.mu.
type lane struct {
	flight, next *flight
}

// frozenLocked reports whether the process stood still since the read began: what it brings is as old as that. Now must come
// from nowLocked, so that a freeze which ended just now is counted.
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

// beginLocked begins the read of f, which is its lane's flight. Its age and its order count from here, before the table is
// asked: whatever the table answers is from then or later. In a closed cache it fails at once instead, without a goroutine.
func (s *cache) beginLocked(f *flight) {
	s.tick++
	f.start, f.began = s.tick, s.nowLocked()
	f.freezes = s.freezes // after nowLocked, which may just have seen one: that one was before this read
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
		// In this order: a store that heeds ctx would otherwise end the flight first, with "context canceled".
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

// answer frees those who wait, for this flight and for those that it tried again. Its item and err are final.
func (f *flight) answer() {
	close(f.done)
	for first := f.first; first != nil; first = first.first {
		first.item, first.err = f.item, f.err
		close(first.done)
	}
}

// againLocked makes a read again, which is the next one where calls wait for that already. Those who wait for f stay
// until then.
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
// abandoned read comes back after all, does nothing. The order matters: what was found is kept, and fresh is set, before
// those who wait are freed and before the lane is given on, all in one hold of the lock.
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
