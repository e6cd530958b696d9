package sim

import (
	"slices"
	"time"
)

// This file is the second half of the model: when the cache may read the table, and how long a call may wait.

// fresh reports whether item x is certainly cached and fresh, so that a Get must not read. It returns false where a
// promise leaves the cache a choice.
func (w *world) fresh(x int, now stamp) bool {
	i := w.items[x]
	for n := len(i.over) - 1; n >= 0; n-- {
		r := i.over[n]
		if r.begin.n < i.invalidated.n {
			return false // all earlier reads started before the invalidation too
		}
		if !r.done || r.failed || r.pos[x] < 0 {
			continue
		}
		forgotten := w.subject.Forgets && i.rows[r.pos[x]].state == absent
		if r.item < 0 && w.overlapped(r, x) {
			return false
		}
		return !forgotten && !r.contested[x] && !i.failing && w.sound(r, now)
	}
	return false
}

// sound reports whether a read succeeded, so that the cache must use its values, and is not older than the TTL.
func (w *world) sound(r *read, now stamp) bool {
	return r.done && !r.failed && !r.maybe && w.script.TTL != 0 && r.end.n < now.n &&
		r.freezes[0] == r.freezes[1] && r.wakes[0] == r.wakes[1] && r.backs[0] == w.backs && !w.sawFailure &&
		(w.script.TTL < 0 || !older(r, now, w.script.TTL-w.early()-1))
}

// checkNeed determines which reads the call may cause.
func (w *world) checkNeed(c *call, now stamp) {
	if c.item >= 0 {
		c.hit = w.fresh(c.item, now)
		return
	}
	for n := len(w.reads) - 1; n >= 0 && !c.base; n-- {
		r := w.reads[n]
		if r.begin.n < w.allInv.n {
			break
		}
		c.base = r.item < 0 && r.kind == c.kind && w.sound(r, now)
	}
	c.hit = c.base
	for x := range w.items {
		c.stale[x] = c.covers(x) && !w.fresh(x, now)
		c.hit = c.hit && !c.stale[x]
	}
}

// checkBegin checks that a read may start now.
func (w *world) checkBegin(r *read) {
	if w.inProgress(r.kind, r.item) != nil {
		w.brokef(1, "a read of %s starts while another is in progress", w.readName(r))
	}
	if r.item < 0 && w.building[r.kind] {
		w.building[r.kind] = false
		return
	}
	sharing := 0
	for _, c := range append(w.recentlyReturned(), w.calls...) {
		if c.kind == r.kind && w.needs(c, r) {
			sharing++
		}
	}
	if sharing == 0 && !w.background(r) {
		w.brokef(5, "read %d of %s starts, but no call needs it", r.id, w.readName(r))
	}
}

// recentlyReturned returns the calls that ended before a read which they may have waited for. A read that they
// requested may still start after that read.
func (w *world) recentlyReturned() []*call {
	w.returned = slices.DeleteFunc(w.returned, func(c *call) bool {
		return c.end.step < w.step &&
			!slices.ContainsFunc(c.ahead, func(r *read) bool { return !r.done || r.end.step >= w.step })
	})
	return slices.Clone(w.returned)
}

// needs reports whether the call can be the reason for a read that starts now. It cannot if the read is of another item
// or kind, if the value it needs was fresh when it started, or if a read that ended since has provided the value.
func (w *world) needs(c *call, r *read) bool {
	whole := c.item >= 0 && r.item < 0 && w.wasWhole(r.kind)
	if c.item >= 0 && c.item != r.item && !whole || c.hit && c.inStep {
		return false
	}
	if c.base && c.inStep && (r.item < 0 && !w.manyStale(c) || r.item >= 0 && !c.stale[r.item]) {
		return false
	}
	if w.script.TTL == 0 && c.item < 0 && r.item >= 0 {
		return true // with TTL 0, a value that an overlapping read made unusable is read again
	}
	reads := w.reads
	if r.item >= 0 {
		reads = w.items[r.item].over
	}
	for n := len(reads) - 1; n >= 0; n-- {
		if q := reads[n]; q.kind == c.kind && (r.item >= 0 || q.item < 0) && w.answers(q, c, r) {
			return false
		}
	}
	return true
}

// manyStale reports whether a GetAll may read its collection again because many of its items are stale.
func (w *world) manyStale(c *call) bool {
	n := 0
	for _, stale := range c.stale {
		if stale {
			n++
		}
	}
	return w.subject.ManyStale > 0 && n > w.subject.ManyStale
}

// answers reports whether the ended read q provided the value for which the call would need r: it ended during the
// call, started after the latest invalidation, and has a value that the cache must keep. In case of doubt it returns
// false, and r may start.
func (w *world) answers(q *read, c *call, r *read) bool {
	invalidated := w.allInv.n
	switch {
	case c.item >= 0 && (q.item >= 0 || r.item < 0):
		invalidated = c.inv[c.item]
	case r.item >= 0:
		invalidated = w.items[r.item].invalidated.n
	}
	if !q.done || q.end.n < c.begin.n || q.begin.n < invalidated ||
		w.script.TTL == 0 && (q.begin.n < c.begin.n || q.item != r.item || q.begin.step == r.begin.step) {
		return false
	}
	if q.item != r.item && q.end.step == r.begin.step && len(c.joined) > 0 && !slices.Contains(c.joined, q) {
		return false // the read it had joined has just ended, and q and r may have started in either order
	}
	if r.item < 0 && q.item < 0 && w.subject.ManyStale > 0 {
		n := 0
		for x := range w.items {
			if c.covers(x) && c.inv[x] > q.begin.n {
				n++
			}
		}
		if n > w.subject.ManyStale {
			return false // many items were invalidated during q
		}
	}
	if r.item >= 0 && (q.contested[r.item] || q.item < 0 && w.overlapped(q, r.item) || (q.item < 0 || c.item < 0) &&
		(q.failed || q.maybe)) {
		return false // a GetAll may repeat a read that failed for another call
	}
	// As in sound: if the wall clock was set back since, the cache may have seen before that q was past its TTL.
	return q.freezes[0] == q.freezes[1] && q.wakes[0] == q.wakes[1] && q.backs[0] == w.backs &&
		(q.item == c.item && c.item >= 0 || w.script.TTL <= 0 || !older(q, r.begin, w.script.TTL-w.early()-1))
}

// spread is how long after an invalidation a service may still read an item in the background.
const spread = 10 * time.Second

// background reports whether a cache may start this read without a call, as a service does: the item was invalidated
// after its last read, or its last read was unusable.
func (w *world) background(r *read) bool {
	now := r.begin
	if w.subject.NoStatus && w.isDown() {
		return true // a check of the table
	}
	if r.item < 0 {
		for n := len(w.reads) - 1; n >= 0 && !w.script.Lambda; n-- {
			if last := w.reads[n]; last.item < 0 && last.kind == r.kind {
				for _, i := range w.items { // a read of the kind also reads each of its items
					recent := i.invalidated.n > last.begin.n || i.invalidated.n > 0 &&
						now.mono-i.invalidated.mono <= spread
					if i.kind == r.kind && recent && !w.sound(last, now) {
						return true
					}
				}
				return w.allInv.n > last.begin.n || last.unusable() || now.mono-w.allInv.mono <= spread &&
					!w.sound(last, now)
			}
		}
		return false
	}
	for x, i := range w.items {
		if w.script.Lambda || !r.covers(x) || len(i.over) == 0 {
			continue
		}
		n := len(i.over) - 1
		for ; n > 0 && i.over[n].begin.mono == now.mono && i.over[n].item != r.item; n-- {
			continue // it started at the same time as r, for the same reason
		}
		last := i.over[n]
		if i.invalidated.n > last.begin.n || last.unusable() ||
			now.mono-i.invalidated.mono <= spread && (n < len(i.over)-1 || !w.fresh(x, now)) {
			return true
		}
	}
	return false
}

// unusable reports whether a read ended without a value that counts as fresh.
func (r *read) unusable() bool {
	return r.done && (r.failed || r.maybe || r.freezes[0] < r.freezes[1] || r.wakes[0] < r.wakes[1])
}

// checkWaiting checks the calls that have not returned although all goroutines are blocked.
func (w *world) checkWaiting(now stamp) {
	for _, c := range w.calls {
		first := c.inStep
		c.inStep = false
		switch {
		case c.hit && first:
			w.brokef(5, "call %d, %s, waits although the values it needs are cached and fresh", c.id, w.callName(c))
		case c.prompt && first:
			w.brokef(4, "call %d, %s, waits although the store is known to be down", c.id, w.callName(c))
		case !w.mayWait(c):
			w.brokef(2, "call %d, %s, still waits: for no read, for another key, or for a third read", c.id,
				w.callName(c))
		case now.mono-c.begin.mono > 2*readLimit && c.item >= 0 &&
			w.script.TTL != 0, now.mono-c.begin.mono > 4*readLimit:
			w.brokef(2, "call %d, %s, has waited for %v", c.id, w.callName(c), now.mono-c.begin.mono)
		}
	}
}

// wasWhole reports whether a read of the whole kind succeeded before. If so, a Get that finds no fresh value may read
// the kind again.
func (w *world) wasWhole(kind int) bool {
	for _, r := range w.reads {
		if r.item < 0 && r.kind == kind && r.done && !r.failed {
			return true
		}
	}
	return false
}

// overlapped reports whether a read of the item itself was in progress when r, a read of its kind, started. A cache may
// then wait for the item's read, because two reads that overlap cannot be ordered.
func (w *world) overlapped(r *read, x int) bool {
	for _, q := range w.items[x].over {
		if q != r && q.item == x && q.begin.step <= r.begin.step && (!q.done || q.end.step >= r.begin.step) {
			return true
		}
	}
	return false
}

// mayWait reports whether there is a read in progress that the call may wait for: a read that was in progress when the
// call started, or the next one. A read of the whole kind may wait for reads of its items, and a Get for a read of the
// whole kind.
func (w *world) mayWait(c *call) bool {
	if c.item >= 0 {
		for _, r := range w.items[c.item].over {
			if r.begin.n > c.begin.n && r.done && r.begin.step > c.begin.step && !w.overlapped(r, c.item) {
				return false
			}
		}
	}
	for _, r := range w.inFlight {
		if r.done || r.kind != c.kind {
			continue
		}
		if c.item >= 0 || r.item < 0 && c.wholes < 3 || r.item >= 0 && c.singles[r.item] < 2 {
			return true
		}
	}
	return false
}

// noteEnd records for the waiting calls that one more read has ended.
func (w *world) noteEnd(r *read) {
	for _, c := range w.calls {
		switch {
		case c.item >= 0 || c.kind != r.kind:
		case r.item >= 0:
			c.singles[r.item]++
		default:
			c.wholes++
			c.singles = [items]int{}
		}
	}
}
