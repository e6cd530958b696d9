package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flip is one change of a flag in LaunchDarkly. Its times are guarded by board.mu.
type flip struct {
	flag, version int
	alone         bool // no other flip was on its way

	at, queued, streamed time.Time
	seen                 []sighting    // by consumer
	unseen               int           // consumers that have not seen it
	done                 chan struct{} // closed when all have
}

type sighting struct{ invalidated, evaluated time.Time }

// board records the flips and evaluations of a run.
type board struct {
	mu        sync.Mutex // guards the fields below, and every flip's
	flips     []*flip
	open      map[int][]*flip // by flag: those that some consumer has not seen
	consumers int
	lone      int
	stale     int
	examples  []string // of stale reads
	syncs     int

	firstStale chan struct{} // closed by the first stale read
}

func newBoard(consumers int) *board {
	return &board{open: map[int][]*flip{}, consumers: consumers, firstStale: make(chan struct{})}
}

// begin records a flip before it is made, because no client can see it earlier.
func (b *board) begin(flag int, alone bool) *flip {
	f := &flip{flag: flag, alone: alone, seen: make([]sighting, b.consumers), unseen: b.consumers,
		done: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	if alone {
		b.lone++
	}
	f.at = time.Now()
	return f
}

// made opens the flip, now that its version is known.
func (b *board) made(f *flip, version int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.version = version
	b.flips = append(b.flips, f)
	b.open[f.flag] = append(b.open[f.flag], f)
}

func (b *board) queued(f *flip) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.queued = time.Now()
}

// each calls do for the open flips of a flag up to a version.
func (b *board) each(flag, version int, do func(*flip)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.open[flag][:0:0]
	for _, f := range b.open[flag] {
		if f.version <= version {
			do(f)
		}
		if f.unseen > 0 {
			left = append(left, f)
		}
	}
	b.open[flag] = left
}

func (b *board) streamed(flag, version int) {
	now := time.Now()
	b.each(flag, version, func(f *flip) {
		if f.streamed.IsZero() {
			f.streamed = now
		}
	})
}

func (b *board) invalidated(consumer, flag, version int) {
	now := time.Now()
	b.each(flag, version, func(f *flip) {
		if s := &f.seen[consumer]; s.invalidated.IsZero() {
			s.invalidated = now
		}
	})
}

func (b *board) evaluated(consumer, flag, version int) {
	now := time.Now()
	b.each(flag, version, func(f *flip) {
		if s := &f.seen[consumer]; s.evaluated.IsZero() {
			s.evaluated = now
			if f.unseen--; f.unseen == 0 {
				close(f.done)
			}
		}
	})
}

// waiting lists the flags whose flips a consumer has not seen.
func (b *board) waiting(consumer int, flags []int) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	flags = flags[:0]
	for flag, flips := range b.open {
		for _, f := range flips {
			if f.seen[consumer].evaluated.IsZero() {
				flags = append(flags, flag)
				break
			}
		}
	}
	return flags
}

func (b *board) staleRead(consumer, flag, got, want int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stale++; b.stale == 1 {
		close(b.firstStale)
	}
	if len(b.examples) < 3 {
		b.examples = append(b.examples,
			fmt.Sprintf("consumer %d evaluated flag-%d as version %d after it was notified of version %d", consumer,
				flag, got, want))
	}
}

func (b *board) synced() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.syncs++
}

// await waits until all consumers have seen the flips, patience has passed, or fault is closed; nil never is. A flip
// that is unseen then may still be seen.
func (b *board) await(ctx context.Context, flips []*flip, patience time.Duration, fault <-chan struct{}) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, f := range flips {
		select {
		case <-f.done:
		case <-timer.C:
			return nil
		case <-fault:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// fault describes a stale read, or else a flip that some consumers have not seen. It returns "" if there is none.
func (b *board) fault(flips []*flip) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.examples) > 0 {
		return "stale read: " + b.examples[0]
	}
	for _, f := range flips {
		if f.unseen > 0 {
			return fmt.Sprintf("lost: %d of %d consumers never evaluated flag-%d as version %d or later", f.unseen,
				b.consumers, f.flag, f.version)
		}
	}
	return ""
}
