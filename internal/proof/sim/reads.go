package sim

import (
	"slices"
	"time"
)

// The second half of the model: when the cache may read the table, and how long a call may wait.

// fresh says whether item x is certainly cached and fresh: a Get must not read. Where a promise leaves a cache
// a choice it says no.
func (w *world) fresh(x int, now stamp) bool {
	i := w.items[x]
	for n := len(i.over) - 1; n >= 0; n-- {
		r := i.over[n]
		if r.begin.n < i.invalidated.n {
			return false // as are all before
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

// sound says whether a read ended well, and so that a cache has to believe it, and is no older than the TTL.
func (w *world) sound(r *read, now stamp) bool {
	return r.done && !r.failed && !r.maybe && w.script.TTL != 0 && r.end.n < now.n &&
		r.freezes[0] == r.freezes[1] && r.wakes[0] == r.wakes[1] && r.backs[0] == w.backs && !w.sawFailure &&
		(w.script.TTL < 0 || !older(r, now, w.script.TTL-w.early()-1))
}

// judgeNeed decides which reads the call may cause.
func (w *world) judgeNeed(c *call, now stamp) {
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

// judgeBegin checks a read that begins now.
func (w *world) judgeBegin(r *read) {
	if w.under(r.kind, r.item) != nil {
		w.brokef(1, "a read of %s begins while another is under way", w.readName(r))
	}
	if r.item < 0 && w.building[r.kind] {
		w.building[r.kind] = false
		return
	}
	sharing := 0
	for _, c := range append(w.leftReads(), w.calls...) {
		if c.kind == r.kind && w.needs(c, r) {
			sharing++
		}
	}
	if sharing == 0 && !w.unasked(r) {
		w.brokef(5, "read %d of %s begins, and no call needs it", r.id, w.readName(r))
	}
}

// leftReads returns the calls that returned before a read ended which they may have waited for: one that waits for that
// read in turn may still begin on their behalf.
func (w *world) leftReads() []*call {
	w.left = slices.DeleteFunc(w.left, func(c *call) bool {
		return c.end.step < w.step &&
			!slices.ContainsFunc(c.ahead, func(r *read) bool { return !r.done || r.end.step >= w.step })
	})
	return slices.Clone(w.left)
}

// needs says whether the call can be the reason for a read that begins now. It cannot when the read is of something
// else, when what it asks for was fresh as it began, or when a read that ended since has settled it.
func (w *world) needs(c *call, r *read) bool {
	whole := c.item >= 0 && r.item < 0 && w.wasWhole(r.kind)
	if c.item >= 0 && c.item != r.item && !whole || c.hit && c.inStep {
		return false
	}
	if c.base && c.inStep && (r.item < 0 && !w.manyStale(c) || r.item >= 0 && !c.stale[r.item]) {
		return false
	}
	if w.script.TTL == 0 && c.item < 0 && r.item >= 0 {
		return true // without a cache, what an overlapping read made useless is read again
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

// manyStale says whether a GetAll may read its collection again because many of its items are stale.
func (w *world) manyStale(c *call) bool {
	n := 0
	for _, stale := range c.stale {
		if stale {
			n++
		}
	}
	return w.subject.ManyStale > 0 && n > w.subject.ManyStale
}

// answers says whether the read q, which ended, settled what the call would want r for: it ended during the call,
// began after what it has to be newer than, and brought what a cache must keep. In each case of doubt it says no, and
// r may begin.
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
		return false // what it had joined has only just ended, and the two reads may have begun in either order
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
		return false // a GetAll may try again what failed for another call
	}
	// As in sound: what the wall clock has taken back since, the cache may have seen to be past its TTL before.
	return q.freezes[0] == q.freezes[1] && q.wakes[0] == q.wakes[1] && q.backs[0] == w.backs &&
		(q.item == c.item && c.item >= 0 || w.script.TTL <= 0 || !older(q, r.begin, w.script.TTL-w.early()-1))
}

// spread is how long after an invalidation a service may still read again for it, if the item is not fresh.
const spread = 10 * time.Second

// unasked says whether a cache may begin this read without a call, as a service does: of what was invalidated since
// it was read last, or was read in vain.
func (w *world) unasked(r *read) bool {
	now := r.begin
	if w.subject.NoStatus && w.isDown() {
		return true // a probe
	}
	if r.item < 0 {
		for n := len(w.reads) - 1; n >= 0 && !w.script.Lambda; n-- {
			if last := w.reads[n]; last.item < 0 && last.kind == r.kind {
				for _, i := range w.items { // one of its items, which a read of the kind reads too
					recent := i.invalidated.n > last.begin.n || i.invalidated.n > 0 &&
						now.mono-i.invalidated.mono <= spread
					if i.kind == r.kind && recent && !w.sound(last, now) {
						return true
					}
				}
				return w.allInv.n > last.begin.n || last.vain() || now.mono-w.allInv.mono <= spread &&
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
			continue // it began beside this one, for the same reason
		}
		last := i.over[n]
		if i.invalidated.n > last.begin.n || last.vain() ||
			now.mono-i.invalidated.mono <= spread && (n < len(i.over)-1 || !w.fresh(x, now)) {
			return true
		}
	}
	return false
}

// vain says whether a read ended and did not bring what counts as fresh.
func (r *read) vain() bool {
	return r.done && (r.failed || r.maybe || r.freezes[0] < r.freezes[1] || r.wakes[0] < r.wakes[1])
}

// judgeWaiting checks the calls that have not returned although nothing moves any more.
func (w *world) judgeWaiting(now stamp) {
	for _, c := range w.calls {
		first := c.inStep
		c.inStep = false
		switch {
		case c.hit && first:
			w.brokef(5, "call %d, %s, waits though what it asks for is cached and fresh", c.id, w.callName(c))
		case c.prompt && first:
			w.brokef(4, "call %d, %s, waits though the store is known to be down", c.id, w.callName(c))
		case !w.mayWait(c):
			w.brokef(2, "call %d, %s, still waits: for nothing, another key, or a third read", c.id, w.callName(c))
		case now.mono-c.begin.mono > 2*readLimit && c.item >= 0 &&
			w.script.TTL != 0, now.mono-c.begin.mono > 4*readLimit:
			w.brokef(2, "call %d, %s, has waited for %v", c.id, w.callName(c), now.mono-c.begin.mono)
		}
	}
}

// wasWhole reports whether a read of the whole kind ended well: then a Get that finds nothing fresh may read the kind
// again.
func (w *world) wasWhole(kind int) bool {
	for _, r := range w.reads {
		if r.item < 0 && r.kind == kind && r.done && !r.failed {
			return true
		}
	}
	return false
}

// overlapped reports whether the item's own read was under way when the read r of its kind began: a cache may then
// wait for the item's read, because two reads that overlap cannot be ordered.
func (w *world) overlapped(r *read, x int) bool {
	for _, q := range w.items[x].over {
		if q != r && q.item == x && q.begin.step <= r.begin.step && (!q.done || q.end.step >= r.begin.step) {
			return true
		}
	}
	return false
}

// mayWait says whether there is a read under way that the call may wait for: one that was when it began, or
// the next after that. A read of the whole kind may wait for reads of its items, and a Get for that.
func (w *world) mayWait(c *call) bool {
	if c.item >= 0 {
		for _, r := range w.items[c.item].over {
			if r.begin.n > c.begin.n && r.done && r.begin.step > c.begin.step && !w.overlapped(r, c.item) {
				return false
			}
		}
	}
	for _, r := range w.flying {
		if r.done || r.kind != c.kind {
			continue
		}
		if c.item >= 0 || r.item < 0 && c.wholes < 3 || r.item >= 0 && c.singles[r.item] < 2 {
			return true
		}
	}
	return false
}

// noteEnd lets the calls that wait know that one more read has ended.
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
